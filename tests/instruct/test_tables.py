"""Intervals and p-values: as many independent answers as tasks, not as instances."""

from symtune.instruct.rows import SCHEMA_VERSION, AnswerRow
from symtune.instruct.tables import change_table, overall_table, task_table


def _row(model, task, instance, right):
  return AnswerRow(
    schema_version=SCHEMA_VERSION,
    model=model,
    step=0,
    identity=model,
    parameters=None,
    dtype=None,
    encoding="definition",
    task=task,
    category="all",
    instance=instance,
    prompt_hash=0,
    text="",
    answer="",
    references=("x",),
    exact=right,
    rouge_l=float(right),
    examples=0,
    examples_asked=0,
    lost_definition=False,
    config_hash="",
    symtune_version="",
    git_commit=None,
  )


def _rows(model, right_tasks, tasks, instances=10):
  return [
    _row(model, f"task{t}", i, t < right_tasks)
    for t in range(tasks)
    for i in range(instances)
  ]


def test_forty_answers_to_four_uniform_tasks_are_four():
  """Wilson's interval of 2 right answers in 4 is [15.0, 85.0] per cent."""
  rows = _rows("m", right_tasks=2, tasks=4)
  (cells,) = overall_table(rows).rows
  assert cells == ("definition", "m", "4", "40", *["50.0 [15.0, 85.0]"] * 2, "0")


def test_instances_of_one_task_are_independent():
  """Wilson's interval of 5 right answers in 10 is [23.7, 76.3] per cent."""
  rows = [_row("m", "task0", i, i < 5) for i in range(10)]
  (cells,) = task_table(rows).rows
  assert cells == ("definition", "task0", "m", "10", *["50.0 [23.7, 76.3]"] * 2)


def test_p_is_of_the_sign_test_over_tasks():
  """6 of 6 changed tasks are better: p = 2 / 2 ** 6; twice that for two metrics."""
  rows = [*_rows("first", 1, 8), *_rows("last", 7, 8)]
  first, second = change_table(rows).rows
  assert first[1:3] == ("exact match", "last (minus first)")
  assert first[3].startswith("+75.0 [")
  assert first[4:] == second[4:] == ("0.031", "0.062")
