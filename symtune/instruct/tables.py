"""Answer rows -> tables: exact match and ROUGE-L, overall and by category and task.

Means are over all instances, in per cent, as in the published evaluation. Instances of
a task resemble each other, so intervals are clustered by task: Wilson's, for the number
of independent answers that would have the variance between tasks. Within one task, its
instances are taken as independent. Models are compared on the same questions, with a
bootstrap over tasks (`stats/means.py`); p is that of the exact sign test over tasks.
"""

import collections
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.instruct.overlaps import NearDuplicate
from symtune.instruct.rows import AnswerRow
from symtune.report.tables import (
  Column,
  Table,
  show_change,
  show_estimate,
  show_p_value,
  show_percent,
)
from symtune.stats.clusters import TaskAnswers
from symtune.stats.means import holm, macro_mean, paired_difference

METRICS: dict[str, Callable[[AnswerRow], float]] = {
  "exact match": lambda row: float(row.exact),
  "ROUGE-L": lambda row: row.rouge_l,
}
_ENCODING = Column(title="encoding", is_number=False)
_MODEL = Column(title="model", is_number=False)
_SCORES = tuple(Column(title=metric) for metric in METRICS)


def overall_table(rows: Sequence[AnswerRow]) -> Table:
  """One row per encoding and model, over all instances."""
  return Table(
    title="All instances, in % [95% interval over tasks]",
    columns=(
      _ENCODING,
      _MODEL,
      Column(title="tasks"),
      Column(title="n"),
      *_SCORES,
      Column(title="shortened", is_detail=True),
    ),
    rows=tuple(
      (
        *names,
        str(len({row.task for row in some})),
        str(len(some)),
        *_score_cells(some),
        str(sum(row.is_shortened for row in some)),
      )
      for names, some in _grouped(rows, lambda row: (row.encoding, row.model))
    ),
  )


def new_task_table(rows: Sequence[AnswerRow], found: Sequence[NearDuplicate]) -> Table:
  """The same without the tasks that are nearly the same as a training task."""
  known = {pair.test for pair in found}
  whole = overall_table([row for row in rows if row.task not in known])
  return Table(
    title="Without near-duplicates of training tasks, in % [95% interval over tasks]",
    columns=whole.columns,
    rows=whole.rows,
  )


def category_table(rows: Sequence[AnswerRow]) -> Table:
  """One row per encoding, category and model."""
  return Table(
    title="By category, in % [95% interval over tasks]",
    columns=(
      _ENCODING,
      Column(title="category", is_number=False),
      _MODEL,
      Column(title="tasks"),
      Column(title="n"),
      *_SCORES,
    ),
    rows=tuple(
      (
        *names,
        str(len({row.task for row in some})),
        str(len(some)),
        *_score_cells(some),
      )
      for names, some in _grouped(
        rows, lambda row: (row.encoding, row.category, row.model)
      )
    ),
  )


def task_table(rows: Sequence[AnswerRow]) -> Table:
  """One row per encoding, task and model."""
  return Table(
    title="By task, in % [95% interval over instances]",
    columns=(
      _ENCODING,
      Column(title="task", is_number=False),
      _MODEL,
      Column(title="n"),
      *_SCORES,
    ),
    rows=tuple(
      (*names, str(len(some)), *_score_cells(some))
      for names, some in _grouped(rows, lambda row: (row.encoding, row.task, row.model))
    ),
  )


def change_table(rows: Sequence[AnswerRow]) -> Table:
  """One row per encoding, metric and later model, which is compared with the first."""
  pairs = []
  for (encoding,), some in _grouped(rows, lambda row: (row.encoding,)):
    (_, first), *later = _grouped(some, lambda row: (row.model,))
    for metric, value in METRICS.items():
      for (model,), last in later:
        title = f"{model} (minus {first[0].model})"
        sides = [_answers(side, value) for side in (first, last)]
        change = paired_difference(
          sides[:1], sides[1:], keyed_generator(0, "instruct", encoding, metric)
        )
        pairs.append(((encoding, metric, title), change))
  corrected = holm([change.p_value for _, change in pairs])
  return Table(
    title="Difference in points, on the same questions [95% interval over tasks]",
    columns=(
      _ENCODING,
      Column(title="metric", is_number=False),
      Column(title="compared", is_number=False),
      Column(title="difference"),
      Column(title="p", is_detail=True),
      Column(title="p (Holm)"),
    ),
    rows=tuple(
      (
        *names,
        show_change(change.difference, change.low, change.high),
        show_p_value(change.p_value),
        show_p_value(p_value),
      )
      for (names, change), p_value in zip(pairs, corrected, strict=True)
    ),
  )


def near_duplicate_table(found: Sequence[NearDuplicate]) -> Table:
  """One row per pair of a test and a training task."""
  return Table(
    title="Test tasks that are nearly the same as a training task",
    columns=(
      Column(title="test task", is_number=False),
      Column(title="training task", is_number=False),
      Column(title="words of the definition shared, in %"),
      Column(title="instances shared, in %"),
    ),
    rows=tuple(
      (
        pair.test,
        pair.train,
        show_percent(pair.definition) if pair.definition else "",
        show_percent(pair.instances),
      )
      for pair in found
    ),
  )


def _score_cells(rows: Sequence[AnswerRow]) -> list[str]:
  return [show_estimate(macro_mean([_answers(rows, v)])) for v in METRICS.values()]


def _answers(
  rows: Sequence[AnswerRow], value: Callable[[AnswerRow], float]
) -> TaskAnswers:
  """Values clustered by task, or by instance if there is only one task."""
  numbers = {name: i for i, name in enumerate(dict.fromkeys(row.task for row in rows))}
  clusters = [numbers[row.task] if len(numbers) > 1 else row.instance for row in rows]
  return TaskAnswers(
    queries=np.asarray(clusters),
    seeds=np.zeros(len(rows), np.int64),
    values=np.asarray([value(row) for row in rows], np.float64),
  )


def _grouped(
  rows: Iterable[AnswerRow], name: Callable[[AnswerRow], tuple[str, ...]]
) -> list[tuple[tuple[str, ...], list[AnswerRow]]]:
  """Rows by name: models in the order of the rows within each other group."""
  groups: dict[tuple[str, ...], list[AnswerRow]] = collections.defaultdict(list)
  for row in rows:
    groups[name(row)].append(row)
  place: dict[str, int] = {}
  for names in groups:
    for part in names:
      place.setdefault(part, len(place))
  return sorted(groups.items(), key=lambda group: [place[part] for part in group[0]])
