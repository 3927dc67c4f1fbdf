"""PairedResults -> the numbers of tables and figures.

Accuracy over tasks is the mean of the tasks' accuracies, as in the paper. All intervals
and p-values come from `stats/means.py`. The generator of their resamples is keyed by
setting and tasks, so equal results give equal reports. The p-values of
summaries that are made together, for one table, are corrected together.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.probe.results import Results
from symtune.report.results import PairedResults, SettingRows, TaskRows, question_hash
from symtune.stats.clusters import TaskAnswers
from symtune.stats.means import (
  Estimate,
  PairedDifference,
  holm,
  macro_mean,
  paired_difference,
)

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """One line of a table.

  Attributes:
    probe: name of the probe.
    setting: name of the setting.
    group: the group of these tasks; None for all tasks, or for those without a group.
    tasks: names of the tasks in the mean.
    n: number of answers of each checkpoint.
    chance: accuracy of uniform guessing, 0 to 1.
    accuracy: one estimate per checkpoint.
    changes: the difference of each later checkpoint from the first.
    questions: a hash of what was asked: equal for settings of two probes that ask the
      same questions.
    holm_p_values: the p-value of each change, corrected for the whole table (Holm).
  """

  probe: str
  setting: str
  group: str | None = None
  tasks: tuple[str, ...]
  n: int
  chance: float
  accuracy: tuple[Estimate, ...]
  changes: tuple[PairedDifference, ...]
  questions: str = ""
  holm_p_values: tuple[float, ...] = ()


def summarize_settings(results: PairedResults) -> tuple[Summary, ...]:
  """One summary per setting: means over tasks."""
  return _correct(in_threads(_summarize, [(s, s.tasks) for s in results.settings]))


def summarize_tasks(results: PairedResults) -> tuple[Summary, ...]:
  """One summary per setting and task."""
  return _correct(
    in_threads(_summarize, [(s, (t,)) for s in results.settings for t in s.tasks])
  )


def summarize_groups(results: PairedResults) -> tuple[Summary, ...]:
  """One summary per setting and group of tasks: means over the tasks of the group.

  Args:
    results: results of any probes.

  Returns:
    The summaries; within a setting in the order of the groups' names, and last its
    tasks without a group. A setting whose tasks all have none is left out.
  """
  calls = []
  for setting in results.settings:
    by_group: dict[str | None, list[TaskRows]] = {}
    for task in setting.tasks:
      by_group.setdefault(task.group, []).append(task)
    if by_group.keys() != {None}:
      for group in sorted(by_group, key=lambda name: (name is None, name or "")):
        calls.append((setting, tuple(by_group[group]), group))
  return _correct(in_threads(_summarize, calls))


def in_threads(function: Callable[..., _T], calls: Sequence[tuple]) -> list[_T]:
  """The results of calls, in order; random draws of resamples run side by side.

  Args:
    function: called once for each tuple of arguments.
    calls: the arguments. Every call makes its own generator, so the order of the work
      does not matter.
  """
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return list(pool.map(lambda arguments: function(*arguments), calls))


def task_answers(rows: Results, values: np.ndarray) -> TaskAnswers:
  """Turns the rows of one task into the input of `stats`.

  Args:
    rows: rows of one checkpoint, setting and task.
    values: one number per row.
  """
  return TaskAnswers(
    queries=rows.numbers("query"),
    seeds=rows.numbers("seed"),
    values=values.astype(np.float64),
    shares=rows[0].shares,
  )


def _correct(summaries: list[Summary]) -> tuple[Summary, ...]:
  """The summaries of one table with corrected p-values."""
  tested = [(s, place, c) for s in summaries for place, c in enumerate(s.changes)]
  hypotheses = [(s.questions, place) for s, place, _ in tested]
  corrected = iter(holm([c.p_value for *_, c in tested], hypotheses))
  return tuple(
    dataclasses.replace(s, holm_p_values=tuple(next(corrected) for _ in s.changes))
    for s in summaries
  )


def _summarize(
  setting: SettingRows, tasks: tuple[TaskRows, ...], group: str | None = None
) -> Summary:
  names = tuple(task.task for task in tasks)
  by_checkpoint = [
    [right_answers(rows) for rows in checkpoint]
    for checkpoint in zip(*(task.by_checkpoint for task in tasks), strict=True)
  ]
  accuracy = tuple(macro_mean(answers) for answers in by_checkpoint)
  key = ("report", "change", setting.probe, setting.setting, *names)
  changes = tuple(
    paired_difference(by_checkpoint[0], later, keyed_generator(*key))
    for later in by_checkpoint[1:]
  )
  return Summary(
    probe=setting.probe,
    setting=setting.setting,
    group=group,
    tasks=names,
    n=accuracy[0].n,
    chance=mean_chance(tasks),
    accuracy=accuracy,
    changes=changes,
    questions=question_hash([task.by_checkpoint[0] for task in tasks]),
  )


def right_answers(rows: Results) -> TaskAnswers:
  """The answers of one task as 1 for right and 0 for wrong."""
  return task_answers(rows, rows.numbers("correct"))


def mean_chance(tasks: Sequence[TaskRows]) -> float:
  """The mean of chance over tasks; questions of a task may differ in their chance."""
  return float(np.mean([t.by_checkpoint[0].numbers("chance").mean() for t in tasks]))
