"""Stage 2: Task -> Episode. k exemplars of every class and a query, leak-free.

Terms: an *exemplar* is a labelled example shown in the prompt; the *query* is the
example to be classified; an *episode* is one query with its exemplars.
"""

import dataclasses

import numpy as np

from symtune.cards.card import Example, Task, TaskCard
from symtune.data.draw.draws import ExemplarDrawer, RowIndex, Shots
from symtune.data.text.leaks import text_key
from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Episode:
  """One query and its exemplars, with the words that stand for the classes.

  Attributes:
    card: the task.
    label_words: one word per class id; remapping replaces this tuple alone.
    exemplars: the exemplars, in prompt order.
    query: the example to be classified; never among `exemplars`, by row or by text.
  """

  card: TaskCard
  label_words: tuple[str, ...]
  exemplars: tuple[Example, ...]
  query: Example


TUNING_SHOTS = Shots(minimum=2, maximum=10)
EVALUATION_SHOTS = Shots(minimum=4, maximum=4)


class EpisodeSource:
  """A task's exemplars by class, ready for drawing episodes."""

  def __init__(self, task: Task, shots: Shots):
    """Indexes the task once.

    Args:
      task: card and rows.
      shots: how many exemplars of each class an episode shows.

    Raises:
      SymtuneError: a class has fewer rows than an episode may need, or no query.
    """
    self.task = task
    self.shots = shots
    card = task.card
    self.queries = _in_splits(task, card.query_splits)
    if not self.queries:
      raise SymtuneError(
        f"task {card.name}: got no rows in splits {list(card.query_splits)}, expected "
        f"queries there. Check query_splits in the card, or the rows."
      )
    self.index = index_rows(task)
    self._drawer = ExemplarDrawer(self.index, task.fingerprint, shots)
    self._position_by_row = {task.examples[i].row: int(i) for i in self.index.queries}
    self._check_enough()

  def episode(self, query: Example, *, seed: int, variant: int) -> Episode:
    """The episode of (seed, task, query, variant): the same wherever it is built.

    Args:
      query: one of `self.queries`.
      seed: the root seed.
      variant: tells apart several episodes of one query.

    Returns:
      The episode with the task's own label words and its classes shuffled.

    Raises:
      SymtuneError: the row is none of the queries.
    """
    if query.row not in self._position_by_row:
      raise SymtuneError(
        f"task {self.task.card.name}: row {query.row} is no query, expected a row of "
        f"splits {list(self.task.card.query_splits)}. Take one of `queries`."
      )
    position = self._position_by_row[query.row]
    drawn = self._drawer.draw(position, seed=seed, variant=variant)
    return Episode(
      card=self.task.card,
      label_words=self.task.card.labels,
      exemplars=tuple(self.task.examples[i] for i in drawn),
      query=query,
    )

  def _check_enough(self) -> None:
    card = self.task.card
    query_groups = self.index.groups[self.index.queries]
    for label, exemplars in enumerate(self.index.exemplars):
      sizes = np.bincount(
        self.index.groups[exemplars], minlength=int(self.index.groups.max()) + 1
      )
      blocked = int(sizes[query_groups].max(initial=0))
      if len(exemplars) - blocked < self.shots.maximum:
        raise SymtuneError(
          f"task {card.name}: class {card.labels[label]!r} has {len(exemplars)} rows "
          f"in splits {list(card.exemplar_splits)}, {blocked} of which may be the "
          f"query; expected at least {self.shots.maximum} others. Add rows to "
          f"{card.rows}.jsonl or lower the exemplars per class."
        )


def index_rows(task: Task) -> RowIndex:
  """What drawing asks of a task's rows: numbers, labels, texts that are the same."""
  card, examples = task.card, task.examples
  ids: dict[str, int] = {}
  groups = [ids.setdefault(text_key(card, e), len(ids)) for e in examples]
  labels = np.asarray([e.label for e in examples], np.int32)
  shown = np.asarray([e.split in card.exemplar_splits for e in examples], bool)
  asked = np.asarray([e.split in card.query_splits for e in examples], bool)
  return RowIndex(
    rows=np.asarray([e.row for e in examples], np.int32),
    labels=labels,
    groups=np.asarray(groups, np.int32),
    exemplars=tuple(
      np.flatnonzero(shown & (labels == label)).astype(np.int32)
      for label in range(len(card.labels))
    ),
    queries=np.flatnonzero(asked).astype(np.int32),
  )


def _in_splits(task: Task, splits: tuple[str, ...]) -> tuple[Example, ...]:
  return tuple(e for e in task.examples if e.split in splits)
