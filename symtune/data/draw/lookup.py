"""Exemplars that are looked up: those of a task most like a query, by BM25.

The most similar exemplar stands last, next to the query. Exemplars of equal similarity
are in a random order, so that queries without a word in common with any exemplar do not
all show the first rows.
"""

import dataclasses
import enum

import numpy as np
from jaxtyping import Int64

from symtune.cards.card import Task
from symtune.data.draw.index import TaskIndex
from symtune.errors import SymtuneError
from symtune.retrieve.bm25 import make_bm25


class Likeness(enum.StrEnum):
  """Which exemplars are taken."""

  SIMILAR = "similar"  # the most similar ones
  DISSIMILAR = "dissimilar"  # the least similar ones


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lookup:
  """How exemplars are looked up.

  Attributes:
    likeness: which are taken.
    balanced: whether k of every class are taken; if not, as many of any class.
    share: of the prompts whose exemplars are looked up; the others' are drawn.
  """

  likeness: Likeness = Likeness.SIMILAR
  balanced: bool = True
  share: float = 1.0

  def __post_init__(self):
    if not 0.0 <= self.share <= 1.0:
      raise SymtuneError(
        f"looked up exemplars: got a share of {self.share}, expected 0 to 1."
      )


class ExemplarIndex:
  """The exemplars of a task by their words; can be sent to other processes."""

  def __init__(self, task: Task, index: TaskIndex):
    """Indexes the texts of all exemplars.

    Args:
      task: its card says what an example's text is.
      index: of the task.
    """
    self._labels, self._groups = index.labels, index.groups
    self._texts = [task.card.input_text(example) for example in task.examples]
    self._exemplars = np.sort(np.concatenate(index.exemplars)).astype(np.int64)
    texts = [self._texts[i] for i in self._exemplars]
    # Texts of signs alone have no words; then all are alike.
    self._bm25 = make_bm25([*texts, "text"])

  def choose(
    self, query: int, k: int, classes: int, lookup: Lookup, rng: np.random.Generator
  ) -> Int64[np.ndarray, "_exemplars"]:
    """The exemplars of a query, none of its group, in the order of the prompt.

    Args:
      query: number of an example of the task.
      k: exemplars per class.
      classes: how many the task has.
      lookup: which are taken.
      rng: orders exemplars of equal similarity.

    Returns:
      Numbers of k * classes examples, the most similar one last.
    """
    allowed = self._groups[self._exemplars] != self._groups[query]
    scores = self._bm25.scores(self._texts[query])[:-1][allowed]
    exemplars = self._exemplars[allowed]
    sign = 1 if lookup.likeness is Likeness.DISSIMILAR else -1
    ranked = np.lexsort((rng.permutation(len(scores)), sign * scores))
    if lookup.balanced:
      labels = self._labels[exemplars[ranked]]
      firsts = [np.flatnonzero(labels == label)[:k] for label in range(classes)]
      ranked = ranked[np.sort(np.concatenate(firsts))]
    chosen = exemplars[ranked[: k * classes]]
    return chosen if lookup.likeness is Likeness.DISSIMILAR else chosen[::-1]
