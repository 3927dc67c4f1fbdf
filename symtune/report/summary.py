"""PairedResults -> the numbers of tables and figures.

Accuracy over tasks is the mean of the tasks' accuracies, as in the paper. Every
interval and p-value is one of `probe/stats.py`. Its resamples come from a generator
that is keyed by what the number is about, so equal results give equal reports.
"""

import dataclasses

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.probe.results import ResultRow
from symtune.probe.stats import (
  Estimate,
  PairedDifference,
  TaskAnswers,
  chance_level,
  macro_mean,
  paired_difference,
  task_mean,
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
  """

  probe: str
  setting: str
  tasks: tuple[str, ...]
  n: int
  chance: float
  accuracy: tuple[Estimate, ...]
  change: PairedDifference | None


def summarize_settings(results: PairedResults) -> tuple[Summary, ...]:
  """One summary per setting: means over tasks with bootstrap intervals."""
  return tuple(_summarize(s, s.tasks) for s in results.settings)


def summarize_tasks(results: PairedResults) -> tuple[Summary, ...]:
  """One summary per setting and task: accuracies with Wilson intervals."""
  return tuple(
    dataclasses.replace(
      _summarize(setting, (task,)),
      accuracy=tuple(task_mean(_answers(rows)) for rows in task.by_checkpoint),
    )
    for setting in results.settings
    for task in setting.tasks
  )


def _summarize(setting: SettingRows, tasks: tuple[TaskRows, ...]) -> Summary:
  names = tuple(task.task for task in tasks)
  by_checkpoint = [
    [_answers(rows) for rows in checkpoint]
    for checkpoint in zip(*(task.by_checkpoint for task in tasks), strict=True)
  ]

  def rng(use: str) -> np.random.Generator:
    return keyed_generator("report", use, setting.probe, setting.setting, *names)

  accuracy = tuple(macro_mean(answers, rng("accuracy")) for answers in by_checkpoint)
  change = None
  if len(by_checkpoint) > 1:
    change = paired_difference(by_checkpoint[0], by_checkpoint[-1], rng("change"))
  return Summary(
    probe=setting.probe,
    setting=setting.setting,
    tasks=names,
    n=accuracy[0].n,
    chance=chance_level([task.by_checkpoint[0][0].num_classes for task in tasks]),
    accuracy=accuracy,
    change=change,
  )


def _answers(rows: tuple[ResultRow, ...]) -> TaskAnswers:
  return TaskAnswers(
    queries=np.array([row.query for row in rows], np.int64),
    correct=np.array([row.correct for row in rows], np.bool_),
  )
