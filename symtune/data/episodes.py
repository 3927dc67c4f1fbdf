"""Stage 2: Task -> Episode. k exemplars of every class and a query, leak-free.

Terms: an *exemplar* is a labelled example shown in the prompt; the *query* is the
example to be classified; an *episode* is one query with its exemplars.
"""

import dataclasses

import numpy as np

from symtune.cards.card import Example, Task, TaskCard
from symtune.data.leaks import text_key
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Episode:
  """One query and its exemplars, with the words that stand for the classes.

  Attributes:
    card: the task.
    label_words: one word per class id; remapping replaces this tuple alone.
    demos: the exemplars, in prompt order.
    query: the example to be classified; never among `demos`, by row or by text.
  """

  card: TaskCard
  label_words: tuple[str, ...]
  demos: tuple[Example, ...]
  query: Example


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shots:
  """Exemplars per class: uniform between both ends, inclusive.

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
    exemplars = _in_splits(task, card.exemplar_splits)
    # Rows with the same text form one group: none of them may show the query.
    groups: dict[str, int] = {}
    for example in (*exemplars, *self.queries):
      groups.setdefault(text_key(card, example), len(groups))
    self._group_by_query = {q.row: groups[text_key(card, q)] for q in self.queries}
    self._exemplars: list[tuple[Example, ...]] = []
    self._groups: list[np.ndarray] = []
    for label in range(len(card.labels)):
      rows = tuple(e for e in exemplars if e.label == label)
      self._exemplars.append(rows)
      self._groups.append(
        np.asarray([groups[text_key(card, e)] for e in rows], np.int64)
      )
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
    if query.row not in self._group_by_query:
      raise SymtuneError(
        f"task {self.task.card.name}: row {query.row} is no query, expected a row of "
        f"splits {list(self.task.card.query_splits)}. Take one of `queries`."
      )
    rng = keyed_generator(seed, self.task.fingerprint, query.row, variant, "episode")
    k = int(rng.integers(self.shots.minimum, self.shots.maximum + 1))
    group = self._group_by_query[query.row]
    demos: list[Example] = []
    for rows, groups in zip(self._exemplars, self._groups, strict=True):
      allowed = np.flatnonzero(groups != group)
      chosen = rng.choice(allowed, size=k, replace=False, shuffle=False)
      demos.extend(rows[i] for i in chosen)
    order = rng.permutation(len(demos))
    return Episode(
      card=self.task.card,
      label_words=self.task.card.labels,
      demos=tuple(demos[i] for i in order),
      query=query,
    )

  def _check_enough(self) -> None:
    card = self.task.card
    query_groups = np.asarray(list(self._group_by_query.values()), np.int64)
    for label, groups in enumerate(self._groups):
      sizes = np.bincount(groups, minlength=1) if len(groups) else np.zeros(1, int)
      blocked = int(sizes[query_groups[query_groups < len(sizes)]].max(initial=0))
      if len(groups) - blocked < self.shots.maximum:
        raise SymtuneError(
          f"task {card.name}: class {card.labels[label]!r} has {len(groups)} rows in "
          f"splits {list(card.exemplar_splits)}, {blocked} of which may be the query; "
          f"expected at least {self.shots.maximum} others. Add rows to "
          f"{card.rows}.jsonl or lower the exemplars per class."
        )


def _in_splits(task: Task, splits: tuple[str, ...]) -> tuple[Example, ...]:
  return tuple(e for e in task.examples if e.split in splits)
