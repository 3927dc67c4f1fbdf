"""Free answers side by side: what the page holds of them, and the table in Markdown."""

from symtune.report.lab.content import (
  Answered,
  Content,
  Section,
  SideBySide,
  content_to_markdown,
)
from symtune.report.lab.page import write_page
from symtune.report.tables import Column, Table

ANSWERS = SideBySide(
  models=("before", "<after>"),
  questions=(
    Answered(
      where="alpaca · rows:1",
      asked=(("Instruction", "Is 1 < 2?"), ("Input", ""), ("Reference", "yes")),
      answers=("$no & never", "yes"),
      notes=("ROUGE-L 0.0", "ROUGE-L 100.0"),
      right=(False, True),
    ),
  ),
  sample="1 of 9 questions.",
  table=Table(title="Some", columns=(Column(title="task"),), rows=(("rows:1",),)),
)
CONTENT = Content(
  title="Answers",
  remarks=(),
  sections=(Section(title="Side by side", parts=(ANSWERS,)),),
  results=None,
  headlines=(),
)


def test_the_page_holds_every_answer_as_text(tmp_path):
  write_page(tmp_path / "report.html", CONTENT, {})
  page = (tmp_path / "report.html").read_text()
  assert '<details class="asked" data-right="01">' in page
  assert "Is 1 &lt; 2?" in page
  assert "$no &amp; never" in page
  assert "<b>Input:</b>" not in page  # empty
  assert '<option value="1" selected>&lt;after&gt;</option>' in page
  assert "<after>" not in page
  assert "1 of 9 questions." in page


def test_markdown_has_the_table():
  assert content_to_markdown(CONTENT).endswith("| rows:1 |\n")
