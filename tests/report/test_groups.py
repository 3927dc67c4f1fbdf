"""Groups of tasks stand apart, with means and intervals of their own tasks."""

import dataclasses
import io
import itertools

import numpy as np
import pytest
import rich.console

from symtune.report.report import write_report
from symtune.report.results import pair_rows
from symtune.report.summary import summarize_groups, summarize_settings
from symtune.report.tables import change_table, group_table, to_terminal

TITLE = "Accuracy in % by group of tasks [95% interval]"


@pytest.fixture
def grouped(make_rows):
  """Before and after: two tasks of one group, one of another, and one of none."""
  rows = []
  for name, step, first, second, third in (
    ("before", 0, [0, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1]),
    ("after", 40, [1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]),
  ):
    rows += make_rows(name, step, "ants", first, group="small")
    rows += make_rows(name, step, "bees", second, group="small", num_classes=4)
    rows += make_rows(name, step, "cats", third, group="large")
    rows += make_rows(name, step, "dots", [1, 0])
  return rows


def _cells(table):
  titles = [column.title for column in table.columns]
  return {row[:2]: dict(zip(titles, row, strict=True)) for row in table.rows}


def test_a_group_has_the_mean_of_its_tasks(grouped):
  results = pair_rows(grouped)
  table = group_table(summarize_groups(results), results.checkpoints)
  cells = _cells(table)
  assert list(cells) == [
    ("neither", "large"),
    ("neither", "small"),
    ("neither", "(no group)"),
  ]
  small = cells["neither", "small"]
  assert (small["tasks"], small["n"], small["chance"]) == ("2", "8", "37.5")
  assert small["before (step 0)"].startswith("37.5 [")  # (1/4 + 2/4) / 2
  assert small["after (step 40)"].startswith("87.5 [")  # (4/4 + 3/4) / 2
  assert small["after (minus before)"].startswith("+50.0 [")
  # 3 + 1 better and none worse: McNemar's 2 / 2^4; Holm's of three rows
  assert (small["p"], small["p (Holm)"]) == ("0.125", "0.375")
  large = cells["neither", "large"]
  assert large["after (minus before)"].startswith("-75.0 [")
  assert (large["p"], large["p (Holm)"]) == ("0.250", "0.500")
  assert large["new tasks"] == ""  # one task tells nothing of others
  assert cells["neither", "(no group)"]["n"] == "2"


def test_the_table_fits_a_terminal_of_80_characters(make_rows):
  rows = [
    row
    for name, step in (("before", 0), ("after", 700))
    for group in ("known categories", "unseen categories")
    for row in make_rows(
      name, step, group[:5], [step > 0, 1, 0] * 400, setting="instruction", group=group
    )
  ]
  results = pair_rows(rows)
  table = group_table(summarize_groups(results), results.checkpoints)
  console = rich.console.Console(width=80, file=io.StringIO(), record=True)
  console.print(to_terminal(table))
  shown = console.export_text()
  assert max(map(len, shown.splitlines())) <= 80
  for row in table.rows:
    for column, cell in zip(table.columns, row, strict=True):
      if column.is_number and not column.is_detail:
        for part in cell.replace(" [", "\n[").split("\n"):
          assert part in shown


def test_a_group_is_as_if_its_tasks_were_all(grouped):
  """All but Holm's correction, which is for the whole table."""
  by_group = {s.group: s for s in summarize_groups(pair_rows(grouped))}
  for group, found in by_group.items():
    alone = [row for row in grouped if row.group == group]
    (expected,) = summarize_settings(pair_rows(alone))
    same = {"group": None, "holm_p_values": expected.holm_p_values}
    assert dataclasses.replace(found, **same) == expected


def test_the_headline_is_over_all_tasks(grouped):
  plain = [dataclasses.replace(row, group=None) for row in grouped]
  headlines = [summarize_settings(pair_rows(rows)) for rows in (grouped, plain)]
  assert headlines[0] == headlines[1]
  assert headlines[0][0].tasks == ("ants", "bees", "cats", "dots")


def test_a_setting_without_groups_is_left_out(grouped, make_rows):
  rows = [
    row
    for name, step in (("before", 0), ("after", 40))
    for row in make_rows(name, step, "made", [1, 0], "turing_concepts", "exact")
  ]
  found = summarize_groups(pair_rows(grouped + rows))
  assert {s.probe for s in found} == {"settings"}
  assert summarize_groups(pair_rows(rows)) == ()


def test_the_interval_for_new_tasks_respects_what_a_group_shares(make_rows):
  """Pairs of categories of which some are easy, so that tasks fare alike."""
  gain = dict(zip("abcd", (0, 0, 8, 10), strict=True))  # better answers of 20

  def width(has_shares):
    rows = []
    for name, step in (("before", 0), ("after", 40)):
      for pair in itertools.combinations("abcd", 2):
        right = sum(gain[c] for c in pair) if step else 0
        of = {"group": "pairs", "shares": pair if has_shares else ()}
        answers = [1] * right + [0] * (20 - right)
        rows += make_rows(name, step, "".join(pair), answers, **of)
      rows += make_rows(name, step, "other", [step > 0] * 20, group="other")
    pairs = {s.group: s for s in summarize_groups(pair_rows(rows))}["pairs"]
    assert len(pairs.tasks) == 6
    low, high = pairs.changes[0].new_tasks
    return high - low

  # Without sharing it is Student's: changes of (0, 8, 10, 8, 10, 18) / 20 and 5 degrees
  # of freedom, t = 2.5706.
  error = np.std(np.array([0, 8, 10, 8, 10, 18]) / 20, ddof=1) / np.sqrt(6)
  assert width(False) == pytest.approx(2 * 2.5706 * error, rel=1e-4)
  assert width(True) > 1.5 * width(False)


def test_report_shows_groups_after_the_headline_and_on_the_terminal(
  grouped, write_rows, tmp_path
):
  write_rows(tmp_path, grouped)
  headline, groups = write_report(tmp_path)
  assert "mean over tasks" in str(headline.title)
  assert str(groups.title) == TITLE
  assert groups.row_count == 3
  sections = (tmp_path / "report.md").read_text().split("\n## ")
  assert sections[1].startswith("Accuracy in %, mean over tasks")
  assert sections[2].startswith(TITLE)
  assert "| neither | small | 2 | 8 | 37.5 | 37.5 [" in sections[2]


def test_a_single_group_has_no_table_of_its_own(grouped, write_rows, tmp_path):
  write_rows(tmp_path, [row for row in grouped if row.group != "large"])
  assert len(write_report(tmp_path)) == 1
  assert TITLE not in (tmp_path / "report.md").read_text()


def test_several_checkpoints_have_differences_by_group(
  grouped, make_rows, write_rows, tmp_path
):
  later = [
    dataclasses.replace(row, checkpoint="last", identity="last", step=80)
    for row in grouped
    if row.checkpoint == "after"
  ]
  write_rows(tmp_path, grouped + later)
  results = pair_rows(grouped + later)
  table = change_table(summarize_groups(results), results.checkpoints, by_group=True)
  row = table.rows[2]
  assert row[:3] == ("neither", "small", "after (minus before)")
  assert row[3].startswith("+50.0 [")
  assert len(write_report(tmp_path)) == 2
  text = (tmp_path / "report.md").read_text()
  assert text.index(TITLE) < text.index(f"## {table.title}")
  assert "| neither | small | last (minus before) | +50.0 [" in text
