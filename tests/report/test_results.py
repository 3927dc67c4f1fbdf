"""Checkpoints are compared on equal questions or not at all."""

import dataclasses

import pytest

from symtune.errors import SymtuneError
from symtune.report.results import keep_common_tasks, pair_rows


def test_row_i_asks_the_same_question_of_every_checkpoint(both_checkpoints):
  results = pair_rows(both_checkpoints)
  for setting in results.settings:
    for task in setting.tasks:
      first, last = task.by_checkpoint
      assert [r.pair_key for r in first] == [r.pair_key for r in last]
      assert {(r.probe, r.setting, r.task) for r in first} == {
        (setting.probe, setting.setting, task.task)
      }


def test_checkpoints_stand_in_the_order_given_baselines_last(make_rows):
  rows = [
    row
    for name, size in (("oracle", None), ("zebra", 10), ("ape", 900), ("random", None))
    for row in make_rows(name, 0, "ten", [1, 0], parameters=size)
  ]

  def names(*order):
    return [c.name for c in pair_rows(rows, [(n, 0) for n in order]).checkpoints]

  assert names() == ["zebra", "ape", "oracle", "random"]
  assert names("ape", "zebra") == ["ape", "zebra", "oracle", "random"]
  assert names("random", "ape") == ["random", "ape", "zebra", "oracle"]


def test_settings_stand_as_in_the_paper_and_unknown_probes_last(
  both_checkpoints, make_rows
):
  new = [
    row
    for name, step in (("before", 0), ("after", 40))
    for row in make_rows(name, step, "ten", [1], "a_new_probe", "x")
  ]
  results = pair_rows([*new, *both_checkpoints])
  assert [(s.probe, s.setting) for s in results.settings] == [
    ("settings", "instruction+labels"),
    ("settings", "labels"),
    ("settings", "instruction"),
    ("settings", "neither"),
    ("flipped_labels", "flipped"),
    ("a_new_probe", "x"),
  ]


def test_order_of_rows_does_not_matter_to_the_questions(both_checkpoints):
  order = [("before", 0), ("after", 40)]
  assert pair_rows(both_checkpoints, order) == pair_rows(both_checkpoints[::-1], order)


def test_unpaired_rows_are_an_error_that_counts_them_and_says_what_to_do(make_rows):
  rows = make_rows("before", 0, "ten", [1, 0, 1]) + make_rows("after", 40, "ten", [1])
  with pytest.raises(SymtuneError, match=r"got 2 of 3 questions") as caught:
    pair_rows(rows)
  message = str(caught.value)
  assert "probe settings, setting neither, task ten, seed 0, query 1" in message
  assert "was asked of before (step 0) but not of after (step 40)" in message
  assert "symtune probe --step 40" in message
  assert "symtune probe --checkpoint with the name that after was given" in message


def test_equal_keys_with_different_content_are_an_error(make_rows):
  changed = [
    dataclasses.replace(row, data_fingerprint="0" * 64)
    for row in make_rows("after", 40, "ten", [1, 1])
  ]
  with pytest.raises(SymtuneError, match="got 2 of 2 questions whose data"):
    pair_rows(make_rows("before", 0, "ten", [1, 1]) + changed)


def test_no_rows_are_an_error():
  with pytest.raises(SymtuneError, match="no results"):
    pair_rows([])


def test_common_tasks_of_probes_whose_settings_have_different_ones(make_rows):
  def rows(task, probe, setting, right=(1, 0)):
    return make_rows("a", 0, task, right, probe, setting)

  results = pair_rows(
    [
      *rows("small", "shots", "natural, 01 per class"),
      *rows("large", "shots", "natural, 01 per class"),
      *rows("large", "shots", "natural, 32 per class"),
      *rows("two", "flip_share", "000% flipped"),
      *rows("three", "flip_share", "000% deranged"),  # nothing in common
      *rows("one", "order", "order 1"),
      *rows("one", "order", "order 2"),  # the same everywhere
    ]
  )
  kept = keep_common_tasks(results)
  assert [(s.setting, [t.task for t in s.tasks]) for s in kept.settings] == [
    ("natural, 01 per class", ["large"]),
    ("natural, 32 per class", ["large"]),
  ]
  assert kept.checkpoints == results.checkpoints


@pytest.mark.parametrize(
  "change",
  [
    {"prompt_hash": 1},
    {"exemplars_asked": 9},
    {"prior": 1},
    {"context": None},
    {"choices": ("a", "c")},
  ],
)
def test_other_prompts_under_one_key_are_not_paired(make_rows, change):
  changed = [
    dataclasses.replace(row, **change) for row in make_rows("after", 40, "ten", [1, 1])
  ]
  with pytest.raises(SymtuneError, match="got 2 of 2 questions whose data or choices"):
    pair_rows(make_rows("before", 0, "ten", [1, 1]) + changed)
