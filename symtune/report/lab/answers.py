"""SideBySide -> the section of report.html that shows and filters free answers."""

import html
import pathlib
import string

from symtune.report.lab.content import Answered, SideBySide

_FILES = pathlib.Path(__file__).parent


def answers_to_html(answers: SideBySide) -> str:
  """The section's HTML, with its script.

  Args:
    answers: the questions, all of which are in the page.
  """
  section = string.Template((_FILES / "answers.html").read_text(encoding="utf-8"))
  last = len(answers.models) - 1
  models = [
    f'<option value="{place}"{" selected" if place == last else ""}>'
    f"{html.escape(name)}</option>"
    for place, name in enumerate(answers.models)
  ]
  return section.substitute(
    sample=html.escape(answers.sample),
    models="".join(models),
    questions="".join(_question(one, answers.models) for one in answers.questions),
    script=(_FILES / "answers.js").read_text(encoding="utf-8"),
  )


def _question(question: Answered, models: tuple[str, ...]) -> str:
  marks = "".join(
    f'<span class="{_verdict(right)}">{"✓" if right else "✗"}</span>'
    for right in question.right
  )
  first = next((text for _, text in question.asked if text), "")
  asked = "".join(
    f"<p><b>{html.escape(title)}:</b> {html.escape(text)}</p>"
    for title, text in question.asked
    if text
  )
  cards = "".join(
    f"<div><h4>{html.escape(model)}</h4><p>{html.escape(text)}</p>"
    f'<p class="verdict {_verdict(right)}">{html.escape(note)}</p></div>'
    for model, text, note, right in zip(
      models, question.answers, question.notes, question.right, strict=True
    )
  )
  digits = "".join(str(int(right)) for right in question.right)
  return (
    f'<details class="asked" data-right="{digits}"><summary>'
    f'<span class="quiet">{html.escape(question.where)}</span> {marks} '
    f"{html.escape(first)}</summary>{asked}"
    f'<div class="answers">{cards}</div></details>\n'
  )


def _verdict(is_right: bool) -> str:
  return "right" if is_right else "wrong"
