"""The ids of many short texts in one array, joined by number."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Int64, Integer

from symtune.data.draw.ragged import starts_of, take_runs


class TokenParts:
  """Parts of prompts by number.

  Attributes:
    lengths: ids of each part.
  """

  def __init__(
    self,
    tokens: Sequence[Integer[np.ndarray, "_tokens"]],
    lengths: Int64[np.ndarray, "parts"],
  ):
    """Joins what the parts are made of.

    Args:
      tokens: ids of all parts, one after another; all of one type.
      lengths: ids of each part.
    """
    self.lengths = lengths
    self._starts = starts_of(lengths)
    self._tokens = np.concatenate(tokens)

  def join(
    self,
    parts: Int64[np.ndarray, "rows parts"],
    counts: Int64[np.ndarray, "texts"],
  ) -> list[Int32[np.ndarray, "_ids"]]:
    """The ids of texts that are made of parts, one after another.

    Args:
      parts: of all texts, in rows of as many.
      counts: rows of each text.

    Returns:
      Views of one array: whoever keeps one of them for long should copy it.
    """
    lengths = self.lengths[parts]
    ids = take_runs(self._tokens, self._starts[parts].ravel(), lengths.ravel())
    ids, zero = ids.astype(np.int32), np.zeros(1, np.int64)
    ends = np.concatenate([zero, np.cumsum(lengths.sum(axis=1))])
    bounds = ends[np.concatenate([zero, np.cumsum(counts)])].tolist()
    return [ids[start:stop] for start, stop in itertools.pairwise(bounds)]
