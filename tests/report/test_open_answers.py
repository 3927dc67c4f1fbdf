"""Generated answers: beside what fixed rules answer, and what they are if no label."""

import dataclasses

import pytest

from symtune.report.open_answers import generated_table, rule_table
from symtune.report.report import write_report
from symtune.report.results import pair_rows


def _cells(table):
  titles = [column.title for column in table.columns]
  return [dict(zip(titles, row, strict=True)) for row in table.rows]


def _generated(row, text, **changes):
  """The row as if its choice had been generated."""
  prediction = row.choices.index(text) if text in row.choices else None
  return dataclasses.replace(
    row,
    kind="generate",
    text=text,
    log_likelihoods=(),
    tokens=(),
    prediction=prediction,
    correct=prediction == row.label,
    **changes,
  )


@pytest.fixture
def open_rows(make_rows):
  """Two functions of two questions: one ignores its input, one drops an element."""
  pairs = {
    "constant": [("[9]", "[9]", "[9]", "[1, 2]"), ("[9]", "[9]", "[9]", "[9]")],
    "drop": [("[3]", "[4]", "[3]", "[2, 3]"), ("[5]", "[7]", "[6]", "[1, 5]")],
  }
  rows = []
  for name, answers in (("before", "[9]"), ("after", None)):
    for task, questions in pairs.items():
      made = make_rows(name, 0, task, [1, 1], "list_functions", "some", num_classes=1)
      for row, (right, *references) in zip(made, questions, strict=True):
        row = dataclasses.replace(
          row, choices=(right,), references=tuple(references), chance=0.0
        )
        rows.append(_generated(row, answers or right))
  return rows


def test_fixed_rules_stand_beside_the_accuracy_of_open_questions(open_rows):
  (cells,) = _cells(rule_table(pair_rows(open_rows)))
  assert cells["setting"] == "list functions: some"
  assert (cells["tasks"], cells["n"]) == ("2", "4")
  # Of the constant function two of two, of the other none.
  assert cells["last output"] == "50.0"
  assert cells["most frequent output"] == "75.0"
  assert cells["input"] == "25.0"
  assert cells["before (step 0)"].startswith("50.0 [")
  assert cells["after (step 0)"].startswith("100.0 [")


def test_what_a_generated_answer_is(make_rows):
  """A model that keeps to the words it knows is wrong, and the report says why."""
  rows = make_rows("a", 0, "t", [1] * 4, "unrelated_labels", "foo bar, generated")
  natural = ("good film", "bad film")
  texts = ("Bad  Film", "a", "something else", "good film")
  made = [
    _generated(row, text, natural=natural)
    for row, text in zip(rows, texts, strict=True)
  ]
  ranked = make_rows("a", 0, "t", [1] * 4, "unrelated_labels", "foo bar")
  (cells,) = _cells(generated_table(pair_rows(made + ranked)))
  assert cells["setting"] == "unrelated labels: foo bar, generated"
  shares = [cells[t].split(" ")[0] for t in ("shown label", "natural label", "neither")]
  assert shares == ["25.0", "50.0", "25.0"]
  assert cells["n"] == "4"


def test_natural_labels_that_are_shown_are_not_told_apart(make_rows):
  rows = make_rows("a", 0, "t", [1] * 2, "flip_share", "000% flipped, generated")
  made = [_generated(row, text) for row, text in zip(rows, ("b", "x"), strict=True)]
  (cells,) = _cells(generated_table(pair_rows(made)))
  assert cells["shown label"].startswith("50.0 [")
  assert cells["natural label"] == ""
  assert cells["neither"].startswith("50.0 [")


def test_report_has_both_tables_only_where_something_was_generated(
  open_rows, make_rows, write_rows, tmp_path
):
  def report(rows):
    write_rows(tmp_path, rows)
    write_report(tmp_path)
    return (tmp_path / "report.md").read_text()

  ranked = make_rows("a", 0, "t", [1, 0])
  text = report(ranked)
  assert "rules without insight are right, in %" not in text
  assert "What generated answers are" not in text
  text = report(open_rows)
  assert "## Open questions: how often rules without insight are right, in %" in text
  assert "| list functions: some | 2 | 4 | 50.0 | 75.0 | 25.0 | 50.0 [" in text
  assert "What generated answers are" not in text
  written = [_generated(row, "a") for row in ranked]
  assert "## What generated answers are, in % [95% interval]" in report(written)
