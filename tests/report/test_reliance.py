"""How much rests on label names, and its change: hand-computed cases."""

import pytest

from symtune.report.labels.reliance import measure_reliance
from symtune.report.labels.tables import (
  READING,
  TITLE,
  reliance_change_table,
  reliance_table,
)
from symtune.report.report import write_report
from symtune.report.results import pair_rows

SHARES = {  # right of ten, with the task's own labels and with symbols
  "before": {"labels": 9, "neither": 3},
  "after": {"labels": 9, "neither": 8},
  "later": {"labels": 8, "neither": 8},
}


def _right(count):
  return [1] * count + [0] * (10 - count)


def _rows(make_rows, names=("before", "after")):
  return [
    row
    for step, name in enumerate(names)
    for setting, count in SHARES[name].items()
    for row in make_rows(name, step, "t", _right(count), setting=setting)
  ]


def _by_measure(rows):
  return {one.measure: one for one in measure_reliance(pair_rows(rows))}


def test_what_labels_add_and_how_tuning_changes_it(make_rows):
  (one,) = measure_reliance(pair_rows(_rows(make_rows)))
  assert one.measure == "natural minus symbols"
  assert [level.value for level in one.levels] == pytest.approx([0.6, 0.1])
  (change,) = one.changes
  assert change.difference == pytest.approx((0.9 - 0.8) - (0.9 - 0.3))
  assert change.low < change.difference < change.high
  # Queries 3 to 7 become right with symbols: five questions change, all by -1.
  assert change.p_value == pytest.approx(2 / 2**5)
  assert (one.n, change.n) == (10, 10)


def test_a_model_that_changes_in_both_settings_alike_has_no_change(make_rows):
  """More accuracy is not less reliance: only the difference of differences counts."""
  rows = []
  for step, (name, first, last) in enumerate((("before", 2, 5), ("after", 5, 8))):
    rows += make_rows(name, step, "t", _right(first), setting="neither")
    rows += make_rows(name, step, "t", _right(last), setting="labels")
  (one,) = measure_reliance(pair_rows(rows))
  assert [level.value for level in one.levels] == pytest.approx([0.3, 0.3])
  (change,) = one.changes
  assert change.difference == pytest.approx(0.0)
  assert change.p_value == 1.0
  assert change.low < 0.0 < change.high


def test_nonce_words_and_flips_are_measured_where_they_are_asked(make_rows):
  rows = []
  for step, (name, natural, nonce, flipped) in enumerate(
    (("before", 10, 4, 2), ("after", 10, 8, 7))
  ):
    of = {"probe": "label_semantics"}
    rows += make_rows(name, step, "t", _right(natural), setting="natural", **of)
    rows += make_rows(name, step, "t", _right(nonce), setting="nonce", **of)
    rows += make_rows(
      name, step, "t", _right(flipped), "flipped_labels", "flipped", prior=1
    )
  found = _by_measure(rows)
  assert list(found) == ["natural minus nonce", "override rate, flipped labels"]
  nonce, override = found.values()
  assert [level.value for level in nonce.levels] == pytest.approx([0.6, 0.2])
  assert nonce.changes[0].difference == pytest.approx(-0.4)
  assert [level.value for level in override.levels] == pytest.approx([0.2, 0.7])
  assert override.changes[0].difference == pytest.approx(0.5)
  # McNemar of five better and none worse: 2 / 2^5; Holm: times two measures.
  assert override.changes[0].p_value == pytest.approx(0.0625)
  assert override.holm_p_values[0] == pytest.approx(0.125)
  assert [one.is_difference for one in (nonce, override)] == [True, False]


def test_only_questions_of_both_settings_count(make_rows):
  rows = _rows(make_rows)
  for step, name in enumerate(("before", "after")):
    rows += make_rows(name, step, "alone", [1, 1], setting="labels")
  (one,) = measure_reliance(pair_rows(rows))
  assert one.tasks == ("t",)
  assert one.levels[0].value == pytest.approx(0.6)


def test_results_without_these_settings_have_no_measure(make_rows):
  assert measure_reliance(pair_rows(make_rows("a", 0, "t", [1, 0]))) == ()
  # Flips of which the words imply nothing do not tell what is followed.
  rows = make_rows("a", 0, "t", [1, 0], "flipped_labels", "flipped")
  assert measure_reliance(pair_rows(rows)) == ()


def test_tables_show_levels_and_changes(make_rows):
  results = pair_rows(_rows(make_rows))
  table = reliance_table(measure_reliance(results), results.checkpoints)
  (row,) = table.rows
  cells = dict(zip([c.title for c in table.columns], row, strict=True))
  assert cells["before (step 0)"].startswith("+60.0 [")
  assert cells["after (minus before)"].startswith("-50.0 [")
  results = pair_rows(_rows(make_rows, names=tuple(SHARES)))
  found = measure_reliance(results)
  assert len(reliance_table(found, results.checkpoints).columns) == 3 + 3
  shown = reliance_change_table(found, results.checkpoints).rows
  assert [row[1:3] for row in shown] == [
    ("after (minus before)", shown[0][2]),
    ("later (minus before)", shown[1][2]),
  ]
  assert shown[0][2].startswith("-50.0 [")
  assert shown[1][2].startswith("-60.0 [")


def test_every_report_opens_with_it(run_dir, make_rows, write_rows):
  first, second = write_report(run_dir)
  assert str(first.title) == TITLE
  assert "Accuracy" in str(second.title)
  text = (run_dir / "report.md").read_text()
  assert text.index(f"## {TITLE}") < text.index("## Accuracy in %")
  assert READING in text
  assert TITLE in (run_dir / "report.html").read_text()
  write_rows(run_dir, make_rows("a", 0, "t", [1, 0]))
  (only,) = write_report(run_dir)
  assert "Accuracy" in str(only.title)
  assert "Label reliance" not in (run_dir / "report.md").read_text()
