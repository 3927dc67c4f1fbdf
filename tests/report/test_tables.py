"""Tables say what can be computed by hand, the same on paper and on screen."""

import dataclasses
import io

import pytest
import rich.console

from symtune.probe.results import collect
from symtune.report.results import pair_rows, question_hash
from symtune.report.summary import summarize_settings, summarize_tasks
from symtune.report.tables import (
  change_table,
  headline_table,
  task_table,
  to_markdown,
  to_terminal,
)


def _headline(rows):
  results = pair_rows(rows)
  return headline_table(summarize_settings(results), results.checkpoints)


def _by_task(rows):
  results = pair_rows(rows)
  return task_table(summarize_tasks(results), results.checkpoints)


def _rows_by_first_cells(table, count):
  titles = [column.title for column in table.columns]
  return {
    row[:count] if count > 1 else row[0]: dict(zip(titles, row, strict=True))
    for row in table.rows
  }


def test_headline_holds_means_over_tasks(both_checkpoints):
  neither = _rows_by_first_cells(_headline(both_checkpoints), 1)["neither"]
  assert neither["tasks"] == "2"
  assert neither["n"] == "14"
  assert neither["chance"] == "37.5"  # (1/2 + 1/4) / 2
  assert neither["before (step 0)"].startswith("42.5 [")  # (1/10 + 3/4) / 2
  assert neither["after (step 40)"].startswith("82.5 [")  # (9/10 + 3/4) / 2
  assert neither["after (minus before)"].startswith("+40.0 [")  # (8/10 + 0) / 2
  assert neither["p"] == "0.021"  # McNemar of 9 better and 1 worse
  assert neither["p (Holm)"] == "0.107"  # times five settings, all alike
  # Student's t over the changes 0.8 and 0 is 40 +- 12.7062 * 40: beyond what can be
  assert neither["new tasks"] == "[-100.0, 100.0]"
  assert float(neither["detectable"]) > 0


def test_no_difference_is_detectable_with_hardly_any_answers(make_rows):
  rows = [
    row
    for name, step in (("before", 0), ("after", 4))
    for seed, right in ((0, [1, 0, 1]), (1, [step > 0, 1, 0]))
    for row in make_rows(name, step, "ten", right, seed=seed)
  ]
  (summary,) = summarize_settings(pair_rows(rows))
  assert summary.changes[0].detectable > 1.0
  (row,) = _rows_by_first_cells(_headline(rows), 1).values()
  assert row["detectable"] == "none"


def test_flipped_labels_come_last(both_checkpoints):
  table = _headline(both_checkpoints)
  assert [row[0] for row in table.rows] == [
    "instruction + labels",
    "labels",
    "instruction",
    "neither",
    "flipped labels",
  ]
  assert table.rows[-1][1:4] == ("1", "10", "50.0")


def test_tasks_have_wilson_intervals(both_checkpoints):
  rows = _rows_by_first_cells(_by_task(both_checkpoints), 2)
  assert len(rows) == 4 * 2 + 1
  ten = rows["neither", "ten"]
  # (0.9 + z^2/20 +- z sqrt(0.09/10 + z^2/400)) / (1 + z^2/10) = 0.5958, 0.9821
  assert ten["after (step 40)"] == "90.0 [59.6, 98.2]"
  assert ten["before (step 0)"] == "10.0 [1.8, 40.4]"
  assert ten["after (minus before)"].startswith("+80.0 [")
  four = rows["neither", "four"]
  assert four["chance"] == "25.0"
  assert (four["after (minus before)"], four["p"]) == ("+0.0 [-42.7, 42.7]", "1.000")
  assert four["new tasks"] == ""  # one task tells nothing of others


def test_more_seeds_of_the_same_answers_change_no_interval(make_rows):
  rows = make_rows("before", 0, "ten", [1] * 9 + [0])
  again = make_rows("before", 0, "ten", [1] * 9 + [0], seed=1)
  for table in (_headline, _by_task):
    assert table(rows).rows[0][-1] == table(rows + again).rows[0][-1]
    assert table(rows + again).rows[0][2] == "20"


def test_a_single_checkpoint_has_no_difference(make_rows):
  table = _headline(make_rows("before", 0, "ten", [1, 0, 1, 0]))
  titles = [column.title for column in table.columns]
  assert titles == ["setting", "tasks", "n", "chance", "before (step 0)"]


def test_each_later_checkpoint_is_compared_with_the_first(make_rows):
  rows = [
    row
    for name, step, correct in (
      ("before", 0, [1, 0, 0, 0]),
      ("step 20", 20, [1, 1, 1, 1]),
      ("after", 40, [1, 1, 1, 0]),
    )
    for row in make_rows(name, step, "ten", correct)
  ]
  row = _rows_by_first_cells(_headline(rows), 1)["neither"]
  assert row["step 20"].startswith("100.0 [")
  assert "p" not in row
  results = pair_rows(rows)
  table = change_table(summarize_settings(results), results.checkpoints)
  rows_by_pair = _rows_by_first_cells(table, 2)
  assert set(rows_by_pair) == {
    ("neither", "step 20 (minus before)"),
    ("neither", "after (minus before)"),
  }
  found = rows_by_pair["neither", "after (minus before)"]
  assert found["difference"].startswith("+50.0 [")
  assert (found["p"], found["p (Holm)"]) == ("0.500", "0.500")


def test_numbers_never_show_a_negative_zero(make_rows):
  rows = make_rows("before", 0, "big", [1] * 5000 + [0] * 5000)
  rows += make_rows("after", 40, "big", [1] * 4999 + [0] * 5001)
  row = _rows_by_first_cells(_headline(rows), 1)["neither"]
  assert row["after (minus before)"].startswith("+0.0 [")


def test_markdown_and_terminal_have_the_same_cells_but_for_details(both_checkpoints):
  for whole in (_headline(both_checkpoints), _by_task(both_checkpoints)):
    kept = [i for i, column in enumerate(whole.columns) if not column.is_detail]
    table = dataclasses.replace(
      whole,
      columns=tuple(whole.columns[i] for i in kept),
      rows=tuple(tuple(row[i] for i in kept) for row in whole.rows),
    )
    assert to_terminal(whole).columns == to_terminal(table).columns
    lines = to_markdown(table).splitlines()
    shown = to_terminal(table)
    columns = [[column.header, *column.cells] for column in shown.columns]
    texts = [[cell.plain.replace("\n", " ") for cell in cells] for cells in columns]
    for number, cells in enumerate(zip(*texts, strict=True)):
      line = lines[0 if number == 0 else number + 1]
      assert line == "| " + " | ".join(cells) + " |"
    assert len(lines) == len(table.rows) + 2


def test_markdown_escapes_pipes(make_rows):
  text = to_markdown(_headline(make_rows("a|b", 0, "ten", [1, 0])))
  assert "a\\|b (step 0)" in text


@pytest.mark.parametrize("width", [80, 200])
def test_terminal_shows_every_cell_whole(both_checkpoints, width):
  table = _headline(both_checkpoints)
  console = rich.console.Console(width=width, file=io.StringIO(), record=True)
  console.print(to_terminal(table))
  text = console.export_text()
  assert "…" not in text
  for row in table.rows:
    shown = zip(table.columns, row, strict=True)
    for cell in [cell for column, cell in shown if not column.is_detail][1:]:
      for part in cell.replace(" [", "\n[").split("\n"):
        assert part in text


def test_a_question_that_two_probes_ask_is_one_hypothesis(make_rows):
  """Holm's p of a setting does not grow because another probe asks the same."""

  def rows(probe, setting, better, asked_as=None):
    of = {"probe": probe, "setting": setting, "asked_as": asked_as}
    return make_rows("before", 0, "ten", [0] * better + [1] * (10 - better), **of) + (
      make_rows("after", 4, "ten", [1] * 10, **of)
    )

  labels = rows("settings", "labels", 6)  # McNemar of 6 better, none worse: 2 / 2^6
  other = rows("settings", "neither", 8)
  natural = rows("label_semantics", "natural", 6, ("settings", "labels"))

  def corrected(table):
    return {row[0]: row[-1] for row in table.rows}

  for table in (_headline, _by_task):
    alone = corrected(table(labels + other))
    assert alone == {"labels": "0.031", "neither": "0.016"}
    both = corrected(table(labels + other + natural))
    assert both == {**alone, "label semantics: natural": "0.031"}
  different = rows("label_semantics", "natural", 6)
  assert corrected(_headline(labels + other + different))["labels"] == "0.062"


def test_equal_prompts_with_other_right_answers_are_two_hypotheses(make_rows):
  of = {"probe": "flip_share", "setting": "100% flipped"}
  asked = make_rows("a", 0, "ten", [1, 0], **of)
  other = [dataclasses.replace(row, label=1, correct=not row.correct) for row in asked]
  hashes = [question_hash([collect(rows)]) for rows in (asked, asked, other)]
  assert hashes[0] == hashes[1] != hashes[2]
