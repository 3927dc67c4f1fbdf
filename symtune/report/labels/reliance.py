"""PairedResults -> how much accuracy rests on label names, and its change by tuning.

The differences that probes declare for it (`Compared.reliance`), and the override rate,
each where it was asked; of the shipped probes:

  natural minus symbols   accuracy with the task's own labels minus that with symbols,
                          without an instruction (probe settings)
  natural minus nonce     the same minus that with nonce words (probe label_semantics)
  override rate           the share of flipped questions whose answer follows the
                          exemplars, against what the words mean (probe flipped_labels)

A model that rests less on label names has smaller differences and a larger override
rate. What tuning changes in a difference is a difference of differences: each question
is asked in both settings of both checkpoints, so that all four answers are paired, and
clustered by query and seed as everywhere (`stats.weighted_difference`).
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.results import Results
from symtune.report.contrasts import contrast_generator, pair_questions
from symtune.report.outcomes import NO_OUTCOME, OUTCOMES, Outcome, judge_rows
from symtune.report.results import PairedResults, SettingRows
from symtune.report.summary import in_threads, right_answers, task_answers
from symtune.stats.clusters import TaskAnswers
from symtune.stats.means import (
  PairedDifference,
  holm,
  macro_mean,
  paired_difference,
  weighted_difference,
)

OVERRIDE = "override rate"
_DIFFERENCE_OF_DIFFERENCES = (1.0, -1.0, -1.0, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Level:
  """A measure of one checkpoint.

  Attributes:
    value: a share, or a difference of two, -1 to 1.
    low: lower end of its 95% interval.
    high: upper end.
  """

  value: float
  low: float
  high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reliance:
  """A measure of all checkpoints.

  Attributes:
    measure: its name.
    is_difference: whether it is a difference of two accuracies.
    tasks: names of the tasks in the mean.
    n: number of questions, each of which a difference asks in two settings.
    levels: one per checkpoint.
    changes: of each later checkpoint from the first, on the same questions.
    holm_p_values: their p-values, corrected for all measures (Holm).
  """

  measure: str
  is_difference: bool
  tasks: tuple[str, ...]
  n: int
  levels: tuple[Level, ...]
  changes: tuple[PairedDifference, ...]
  holm_p_values: tuple[float, ...] = ()


def measure_reliance(results: PairedResults) -> tuple[Reliance, ...]:
  """The measures that can be taken of some results; none, one or several.

  Args:
    results: of any probes. Only questions that were asked in both settings count.
  """
  count = len(results.checkpoints)
  calls = [
    functools.partial(_difference, one.reliance, first, last, count)
    for one, first, last in results.compared()
    if one.reliance is not None
  ]
  flips = [s for s in results.settings if s.probe == FlippedLabels.name]
  calls += [functools.partial(_override, setting, count) for setting in flips]
  found = in_threads(lambda measure: measure(), [(call,) for call in calls])
  return _correct([reliance for reliance in found if reliance is not None])


def _difference(
  measure: str, first: SettingRows, last: SettingRows, count: int
) -> Reliance | None:
  """A setting minus another, and the differences of these differences."""
  pairs = [pair_questions(first, last, place) for place in range(count)]
  tasks = tuple(pairs[0])
  if not tasks:
    return None
  cells = [
    [[right_answers(rows[side]) for rows in of.values()] for side in (0, 1)]
    for of in pairs
  ]
  levels = [
    paired_difference(a, b, contrast_generator(first, last, tasks)) for a, b in cells
  ]
  changes = tuple(
    weighted_difference(
      [*cells[0], *later],
      _DIFFERENCE_OF_DIFFERENCES,
      contrast_generator(first, last, tasks),
    )
    for later in cells[1:]
  )
  return Reliance(
    measure=measure,
    is_difference=True,
    tasks=tasks,
    n=levels[0].n,
    levels=tuple(Level(value=v.difference, low=v.low, high=v.high) for v in levels),
    changes=changes,
  )


def _override(setting: SettingRows, count: int) -> Reliance | None:
  """How often answers follow the exemplars where the words mean something else."""
  names: list[str] = []
  cells: list[list[TaskAnswers]] = [[] for _ in range(count)]
  for task in setting.tasks:
    is_judged = judge_rows(task.by_checkpoint[0]) != NO_OUTCOME
    if is_judged.any():
      names.append(task.task)
      for cell, rows in zip(cells, task.by_checkpoint, strict=True):
        cell.append(_followed(rows.take(np.flatnonzero(is_judged))))
  if not names:
    return None
  key = ("report", "reliance", setting.probe, setting.setting, *names)
  estimates = [macro_mean(cell) for cell in cells]
  return Reliance(
    measure=f"{OVERRIDE}, {setting.setting} labels",
    is_difference=False,
    tasks=tuple(names),
    n=estimates[0].n,
    levels=tuple(Level(value=e.mean, low=e.low, high=e.high) for e in estimates),
    changes=tuple(
      paired_difference(cells[0], later, keyed_generator(*key)) for later in cells[1:]
    ),
  )


def _followed(rows: Results) -> TaskAnswers:
  return task_answers(rows, judge_rows(rows) == OUTCOMES.index(Outcome.CONTEXT))


def _correct(found: Sequence[Reliance]) -> tuple[Reliance, ...]:
  corrected = iter(holm([c.p_value for one in found for c in one.changes]))
  return tuple(
    dataclasses.replace(one, holm_p_values=tuple(next(corrected) for _ in one.changes))
    for one in found
  )
