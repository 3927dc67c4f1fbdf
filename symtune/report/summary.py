"""PairedResults -> the numbers of tables and figures.

Accuracy over tasks is the mean of the tasks' accuracies, as in the paper. Every
interval and p-value is one of `probe/stats.py`. Its resamples come from a generator
that is keyed by what the number is about, so equal results give equal reports. The
p-values of all summaries that are made together, one table, are corrected together.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.probe.results import ResultRow
from symtune.probe.stats import (
  Estimate,
  PairedDifference,
  TaskAnswers,
  holm,
  macro_mean,
  paired_difference,
)
from symtune.report.results import PairedResults, SettingRows, TaskRows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """One line of a table.

  Attributes:
    probe: name of the probe.
    setting: name of the setting.
    tasks: the tasks that it is about.
    n: answers of each checkpoint.
    chance: accuracy of a uniform guesser, 0 to 1.
    accuracy: one estimate per checkpoint.
    change: last checkpoint minus first; None if there is one checkpoint only.
    holm_p_value: its p-value, corrected for all lines of the table (Holm).
  """

  probe: str
  setting: str
  tasks: tuple[str, ...]
  n: int
  chance: float
  accuracy: tuple[Estimate, ...]
  change: PairedDifference | None
  holm_p_value: float | None = None


def summarize_settings(results: PairedResults) -> tuple[Summary, ...]:
  """One summary per setting: means over tasks."""
  return _correct([_summarize(s, s.tasks) for s in results.settings])


def summarize_tasks(results: PairedResults) -> tuple[Summary, ...]:
  """One summary per setting and task."""
  return _correct(
    [_summarize(s, (task,)) for s in results.settings for task in s.tasks]
  )


def task_answers(rows: Sequence[ResultRow], values: Sequence[float]) -> TaskAnswers:
  """Rows of one task as what `stats` works on.

  Args:
    rows: of one checkpoint, setting and task.
    values: one number per row.
  """
  return TaskAnswers(
    queries=np.array([row.query for row in rows], np.int64),
    seeds=np.array([row.seed for row in rows], np.int64),
    values=np.array(values, np.float64),
  )


def _correct(summaries: list[Summary]) -> tuple[Summary, ...]:
  """The summaries of one table with corrected p-values."""
  compared = [s.change.p_value for s in summaries if s.change is not None]
  corrected = iter(holm(compared))
  return tuple(
    s if s.change is None else dataclasses.replace(s, holm_p_value=next(corrected))
    for s in summaries
  )


def _summarize(setting: SettingRows, tasks: tuple[TaskRows, ...]) -> Summary:
  names = tuple(task.task for task in tasks)
  by_checkpoint = [
    [_answers(rows) for rows in checkpoint]
    for checkpoint in zip(*(task.by_checkpoint for task in tasks), strict=True)
  ]
  accuracy = tuple(macro_mean(answers) for answers in by_checkpoint)
  change = None
  if len(by_checkpoint) > 1:
    rng = keyed_generator("report", "change", setting.probe, setting.setting, *names)
    change = paired_difference(by_checkpoint[0], by_checkpoint[-1], rng)
  return Summary(
    probe=setting.probe,
    setting=setting.setting,
    tasks=names,
    n=accuracy[0].n,
    chance=_chance(tasks),
    accuracy=accuracy,
    change=change,
  )


def _answers(rows: tuple[ResultRow, ...]) -> TaskAnswers:
  return task_answers(rows, [float(row.correct) for row in rows])


def _chance(tasks: Sequence[TaskRows]) -> float:
  """The mean over tasks; questions of one task may have different choices."""
  return float(
    np.mean([np.mean([row.chance for row in t.by_checkpoint[0]]) for t in tasks])
  )
