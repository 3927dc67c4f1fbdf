"""Arms side by side: numbers by hand, the same questions only, and honest intervals."""

import dataclasses

import numpy as np
import pytest

from symtune.cli.sweep.arms import compare_runs
from symtune.errors import SymtuneError
from symtune.experiment.arms import Arm, Arms
from symtune.report.arms.compare import ALL_TASKS, ArmResults, compare_arms
from symtune.report.arms.figure import draw_arms
from symtune.report.arms.tables import arm_tables, describe_intervals
from symtune.report.results import pair_rows
from symtune.report.summary import summarize_settings

# Right answers of ten, by task and seed.
BEFORE = {"a": (5, 4), "b": (5, 6), "c": (2, 2)}
TUNED = {"a": (9, 8), "b": (7, 10), "c": (4, 3)}
WORSE = {"a": (3, 4), "b": (5, 4), "c": (1, 1)}
GROUPS = {"a": "seen", "b": "seen", "c": "new"}


@pytest.fixture(scope="module")
def make_arm(make_rows):
  """An arm from numbers of right answers, before and after."""

  def make(name, after, before=BEFORE, groups=GROUPS, seeds=(0, 1), change=None):
    rows = [
      row
      for checkpoint, step, counts in (("before", 0, before), ("after", 9, after))
      for task, rights in counts.items()
      for seed, right in zip(seeds, rights, strict=True)
      for row in make_rows(
        checkpoint,
        step,
        task,
        [1] * right + [0] * (10 - right),
        seed=seed,
        group=groups.get(task),
      )
    ]
    return ArmResults(name=name, results=pair_rows(list(map(change or _same, rows))))

  return make


def _same(row):
  return row


@pytest.fixture(scope="module")
def both(make_arm):
  return compare_arms([make_arm("tuned", TUNED), make_arm("worse", WORSE)])


def test_means_over_tasks_and_seeds_by_hand(both):
  assert [(r.group, r.tasks, r.n) for r in both.rows] == [
    (ALL_TASKS, ("a", "b", "c"), 60),
    ("new", ("c",), 20),
    ("seen", ("a", "b"), 40),
  ]
  means = [
    [[estimate.mean for estimate in row.accuracy] for row in summaries]
    for summaries in both.by_arm
  ]
  np.testing.assert_allclose(
    means,
    [
      [[0.4, (0.85 + 0.85 + 0.35) / 3], [0.2, 0.35], [0.5, 0.85]],
      [[0.4, 0.3], [0.2, 0.1], [0.5, 0.4]],
    ],
  )


def test_differences_by_hand(both):
  from_before = [[row.changes[0].difference for row in arm] for arm in both.by_arm]
  np.testing.assert_allclose(
    from_before, [[0.85 / 3, 0.15, 0.35], [-0.1, -0.1, -0.1]], atol=1e-12
  )
  from_first = [row.changes[0].difference for row in both.between]
  np.testing.assert_allclose(from_first, [0.3 - 2.05 / 3, -0.25, -0.45])
  np.testing.assert_allclose(
    both.by_seed,
    [
      [[8 / 30, 0.2, 0.3], [9 / 30, 0.1, 0.4]],
      [[-3 / 30, -0.1, -0.1], [-3 / 30, -0.1, -0.1]],
    ],
    atol=1e-12,
  )


def test_the_joined_seeds_have_the_statistics_of_one_run_with_all_seeds(make_arm, both):
  alone = make_arm("tuned", TUNED, groups={}).results
  assert both.by_arm[0][0].accuracy == summarize_settings(alone)[0].accuracy
  change = both.by_arm[0][0].changes[0]
  assert change == summarize_settings(alone)[0].changes[0]
  assert change.low < change.difference < change.high


def test_p_values_are_corrected_for_the_whole_table(both):
  raw = [row.changes[0].p_value for arm in both.by_arm for row in arm]
  corrected = [row.holm_p_values[0] for arm in both.by_arm for row in arm]
  assert min(corrected) == pytest.approx(min(1.0, 6 * min(raw)))
  assert all(c >= r for c, r in zip(corrected, raw, strict=True))


def test_an_arm_that_changes_nothing_has_difference_0(make_arm):
  null = compare_arms([make_arm("tuned", TUNED), make_arm("null", BEFORE)])
  assert [row.changes[0].difference for row in null.by_arm[1]] == [0.0, 0.0, 0.0]
  assert [row.holm_p_values[0] for row in null.by_arm[1]] == [1.0, 1.0, 1.0]
  assert all(c.changes[0].low < 0.0 < c.changes[0].high for c in null.by_arm[1])
  assert null.by_seed[1] == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def _change(task, place, **values):
  def change(row):
    is_it = (row.task, row.query, row.seed) == (task, place, 1)
    return dataclasses.replace(row, **values) if is_it else row

  return change


DIFFERENT = {
  "prompt": (_change("b", 3, prompt_hash=7), "task b, seed 1, query 3: prompt_hash"),
  "choices": (
    _change("b", 4, choices=("x", "y")),
    r"task b, seed 1, query 4: choices \('a', 'b'\) and \('x', 'y'\)",
  ),
  "group": (
    lambda row: dataclasses.replace(row, group="seen"),
    "task c, seed 0, query 0: group new and seen",
  ),
  "query": (_change("c", 9, query=11), "task c, seed 1, query 9: query 9 and 11"),
  "setting": (
    lambda row: dataclasses.replace(row, setting="labels"),
    "only 'tuned' was asked probe settings, setting neither, task a",
  ),
}


@pytest.mark.parametrize(("change", "message"), DIFFERENT.values(), ids=DIFFERENT)
def test_arms_with_different_questions_are_refused(make_arm, change, message):
  first, other = make_arm("tuned", TUNED), make_arm("other", WORSE, change=change)
  with pytest.raises(SymtuneError, match=f"'tuned' and 'other' .*{message}"):
    compare_arms([first, other])


def test_arms_with_different_numbers_of_questions_are_refused(make_arm):
  first = make_arm("tuned", TUNED)
  one = make_arm("one", {"a": (1,)}, {"a": (2,)}, seeds=(0,))
  with pytest.raises(SymtuneError, match="task a, 20 and 10 questions"):
    compare_arms([first, one])


def _column(table, title):
  place = [column.title for column in table.columns].index(title)
  return [row[place] for row in table.rows]


def test_tables_have_a_column_per_arm(both):
  accuracy, from_before, from_first, by_seed = arm_tables(both)
  assert _column(accuracy, "setting") == ["neither", "neither (new)", "neither (seen)"]
  assert _column(accuracy, "tasks") == ["3", "1", "2"]
  assert _column(accuracy, "n") == ["60", "20", "40"]
  assert _column(accuracy, "chance") == ["50.0"] * 3
  for title, means in {
    "before": ["40.0", "20.0", "50.0"],
    "tuned": ["68.3", "35.0", "85.0"],
    "worse": ["30.0", "10.0", "40.0"],
  }.items():
    cells = _column(accuracy, title)
    assert [cell.split(" [")[0] for cell in cells] == means
    assert all(cell.endswith("]") for cell in cells)
  assert [c.split(" ")[0] for c in _column(from_before, "tuned")] == [
    "+28.3",
    "+15.0",
    "+35.0",
  ]
  assert "p (Holm)" in [column.title for column in from_before.columns]
  assert from_first.title.startswith("Difference from the arm tuned, in points")
  assert [c.title for c in from_first.columns] == ["setting", "worse", "p (Holm)"]
  assert _column(by_seed, "tuned") == ["+26.7, +30.0", "+20.0, +10.0", "+30.0, +40.0"]
  assert "2 seeds (0, 1)" in describe_intervals(both)


def test_arms_with_another_start_have_another_column_before(make_arm):
  arms = compare_arms(
    [
      make_arm("one", TUNED),
      make_arm("two", TUNED),
      make_arm("three", TUNED, before=WORSE),
    ]
  )
  accuracy = arm_tables(arms)[0]
  assert [column.title for column in accuracy.columns[4:]] == [
    "before",
    "before (three)",
    *("one", "two", "three"),
  ]
  assert _column(accuracy, "before (three)")[0].startswith("30.0 [")


def test_one_arm_with_one_seed_and_no_groups_has_its_tables_too(make_arm):
  alone = make_arm("alone", {"a": (7,)}, {"a": (2,)}, groups={}, seeds=(5,))
  arms = compare_arms([alone])
  tables = arm_tables(arms)
  assert [table.title.split(",")[0] for table in tables] == [
    "Accuracy in % after tuning [95% interval]",
    "Difference from before",
    "Difference from before",
  ]
  assert _column(tables[0], "setting") == ["neither"]
  assert tables[-1].title.endswith("seed 5")
  assert "one seed (5)" in describe_intervals(arms)
  assert draw_arms(arms).startswith(b"\x89PNG")


def test_the_same_comparison_gives_the_same_figure(both):
  assert draw_arms(both) == draw_arms(both)
  assert draw_arms(both).startswith(b"\x89PNG")


@pytest.fixture
def finish(make_rows, write_rows, tmp_path):
  """Makes the folder of a run as far as it has come."""

  def make(arm, seed, checkpoints=("before", "after"), has_report=True):
    folder = tmp_path / arm / f"seed_{seed}"
    folder.mkdir(parents=True)
    rows = [
      row
      for step, name in enumerate(checkpoints)
      for row in make_rows(name, step, "a", [1, 0, 1, step], seed=seed)
    ]
    write_rows(folder, rows)
    if has_report:
      (folder / "report.md").write_text("")

  return make


TWO = Arms(
  name="two", arms=[Arm(name=n, recipe="r") for n in ("x", "y")], seeds=(0, 1, 2)
)


def test_the_table_has_the_seeds_that_all_arms_have_completed(finish, tmp_path, capsys):
  for arm, seed in (("x", 0), ("x", 1), ("y", 0)):
    finish(arm, seed)
  finish("x", 2, has_report=False)  # its answers may not be complete
  finish("y", 1, checkpoints=("before",))
  compare_runs(TWO, tmp_path)
  text, printed = (tmp_path / "arms.md").read_text(), capsys.readouterr().out
  for shown in (text, printed):
    assert "Not complete: y with seed 1, x with seed 2, y with seed 2." in shown
    assert "Left out, as other arms have not completed the seed: x with seed 1." in (
      shown
    )
  assert "There is one seed (0)" in text
  assert "| neither | 1 | 4 | 50.0 | 50.0 [" in text
  assert (tmp_path / "arms.png").exists()


def test_without_a_common_seed_there_is_no_table(finish, tmp_path, capsys):
  finish("x", 0)
  finish("y", 1)
  compare_runs(TWO, tmp_path)
  assert "There is nothing to compare yet. Not complete:" in capsys.readouterr().out
  assert not (tmp_path / "arms.md").exists()


def test_damaged_results_are_named_with_their_file(finish, tmp_path):
  finish("x", 0)
  path = tmp_path / "x" / "seed_0" / "results.jsonl"
  path.write_text(path.read_text().replace('"seed": 0', '"seed": 1', 1))
  with pytest.raises(SymtuneError, match=r"x/seed_0/results\.jsonl, line 1: .*crc32"):
    compare_runs(TWO, tmp_path)
