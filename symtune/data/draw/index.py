"""Task -> TaskIndex: what drawing asks of a task's rows, as numbers.

Inside the draw, an *example* is known by its number in the task's list of rows. Rows
with the same text form one *group*: nothing of a query's group may be its exemplar.
"""

import dataclasses

import numpy as np
from jaxtyping import Int32

from symtune.cards.card import Task, TaskCard
from symtune.data.text.leaks import text_key
from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shots:
  """k, the number of exemplars per class: uniform between both ends, inclusive.

  The paper draws 2 to 10 in tuning (section 3.1) and uses 4 in evaluation.
  """

  minimum: int
  maximum: int

  def __post_init__(self):
    if not 0 <= self.minimum <= self.maximum:
      raise SymtuneError(
        f"exemplars per class: got {self.minimum} to {self.maximum}, expected "
        f"0 <= minimum <= maximum."
      )


TUNING_SHOTS = Shots(minimum=2, maximum=10)
EVALUATION_SHOTS = Shots(minimum=4, maximum=4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskIndex:
  """The rows of a task, as numbers.

  Attributes:
    labels: class id of each example.
    groups: group of each example.
    exemplars: the examples of each class that may be exemplars, ascending.
    queries: the examples that may be queries, ascending.
  """

  labels: Int32[np.ndarray, "examples"]
  groups: Int32[np.ndarray, "examples"]
  exemplars: tuple[Int32[np.ndarray, "_exemplars"], ...]
  queries: Int32[np.ndarray, "queries"]


def index_task(task: Task) -> TaskIndex:
  """Numbers the rows of a task.

  Raises:
    SymtuneError: the task has no queries.
  """
  card, examples = task.card, task.examples
  numbers: dict[str, int] = {}
  groups = [numbers.setdefault(text_key(card, e), len(numbers)) for e in examples]
  labels = np.asarray([e.label for e in examples], np.int32)
  shown = np.asarray([e.split in card.exemplar_splits for e in examples], bool)
  asked = np.asarray([e.split in card.query_splits for e in examples], bool)
  if not asked.any():
    raise SymtuneError(
      f"task {card.name}: got no rows in splits {list(card.query_splits)}, expected "
      f"queries there. Check query_splits in the card, or the rows."
    )
  return TaskIndex(
    labels=labels,
    groups=np.asarray(groups, np.int32),
    exemplars=tuple(
      np.flatnonzero(shown & (labels == label)).astype(np.int32)
      for label in range(len(card.labels))
    ),
    queries=np.flatnonzero(asked).astype(np.int32),
  )


def most_shots(index: TaskIndex) -> int:
  """The most exemplars per class that every query can be shown."""
  return min(len(e) - _most_blocked(index, e) for e in index.exemplars)


def check_shots(index: TaskIndex, card: TaskCard, shots: Shots) -> None:
  """Refuses a task that has too few rows.

  Raises:
    SymtuneError: a class has fewer exemplars than an episode may show.
  """
  for label, exemplars in enumerate(index.exemplars):
    blocked = _most_blocked(index, exemplars)
    if len(exemplars) - blocked < shots.maximum:
      raise SymtuneError(
        f"task {card.name}: class {card.labels[label]!r} has {len(exemplars)} rows "
        f"in splits {list(card.exemplar_splits)}, {blocked} of which may be the "
        f"query; expected at least {shots.maximum} others. Add rows to "
        f"{card.rows}.jsonl or lower the exemplars per class."
      )


def _most_blocked(index: TaskIndex, exemplars: Int32[np.ndarray, "exemplars"]) -> int:
  """The most exemplars of a class that share their text with one query."""
  sizes = np.bincount(
    index.groups[exemplars], minlength=int(index.groups.max(initial=-1)) + 1
  )
  return int(sizes[index.groups[index.queries]].max(initial=0))
