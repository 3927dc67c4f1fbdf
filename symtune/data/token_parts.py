"""The ids of many short texts in one array, joined by number."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int32, Int64, Integer

from symtune.data.ragged import starts_of, take_runs

_MISSING = -1


class TokenParts:
  """Parts of prompts by number: those of a task's rows first, then others.

  Attributes:
    lengths: ids of each part; -1 where none were put yet.
  """

  def __init__(
    self,
    tokens: Sequence[Integer[np.ndarray, "_tokens"]],
    lengths: Sequence[Integer[np.ndarray, "_rows"]],
    others: int,
  ):
    """Joins the ids of rows.

    Args:
      tokens: of the rows of each task.
      lengths: ids of each row of each task.
      others: how many parts there are besides; `put` gives them their ids.
    """
    self.lengths = np.concatenate([*lengths, np.full(others, _MISSING)])
    self._starts = starts_of(self.lengths)  # of rows; `put` sets those of the others
    self._tokens = np.concatenate(tokens)
    self._used = len(self._tokens)

  def put(self, part: int, ids: Int[np.ndarray, "_ids"]) -> None:
    """Sets the ids of a part."""
    start, stop = self._used, self._used + len(ids)
    while stop > len(self._tokens):  # by half: seldom copied, little to spare
      more = np.zeros(len(self._tokens) // 2 + 64, self._tokens.dtype)
      self._tokens = np.concatenate([self._tokens, more])
    self._tokens[start:stop] = ids
    self._starts[part], self.lengths[part], self._used = start, len(ids), stop

  def missing(self, parts: Int64[np.ndarray, "parts"]) -> list[int]:
    """Those of some parts that have no ids yet, each once."""
    return np.unique(parts[self.lengths[parts] == _MISSING]).tolist()

  def join(
    self,
    parts: Int64[np.ndarray, "rows parts"],
    counts: Int64[np.ndarray, "texts"],
  ) -> list[Int32[np.ndarray, "_ids"]]:
    """The ids of texts that are made of parts, one after another.

    Args:
      parts: of all texts, in rows of as many.
      counts: rows of each text.
    """
    lengths = self.lengths[parts]
    ids = take_runs(self._tokens, self._starts[parts].ravel(), lengths.ravel())
    ids, zero = ids.astype(np.int32), np.zeros(1, np.int64)
    ends = np.concatenate([zero, np.cumsum(lengths.sum(axis=1))])
    bounds = ends[np.concatenate([zero, np.cumsum(counts)])].tolist()
    return [ids[start:stop] for start, stop in itertools.pairwise(bounds)]
