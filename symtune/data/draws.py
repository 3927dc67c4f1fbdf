"""Which rows an episode shows, as positions: drawing needs no text.

A task is a list of rows; a *position* is an index into it. Rows with the same text form
one *group*: none of a query's group may be its exemplar.
"""

import dataclasses

import numpy as np
from jaxtyping import Int32

from symtune.data.rng import KeyedGenerator
from symtune.errors import SymtuneError


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowIndex:
  """What drawing asks of a task's rows.

  Attributes:
    rows: number of each row in its file; it keys the draws.
    labels: class id of each row.
    groups: group of each row.
    exemplars: positions of each class's exemplars, ascending.
    queries: positions of the queries.
  """

  rows: Int32[np.ndarray, "rows"]
  labels: Int32[np.ndarray, "rows"]
  groups: Int32[np.ndarray, "rows"]
  exemplars: tuple[Int32[np.ndarray, "_exemplars"], ...]
  queries: Int32[np.ndarray, "queries"]


class DemoDrawer:
  """Draws the exemplars of a query."""

  def __init__(self, index: RowIndex, fingerprint: str, shots: Shots):
    """Finds the exemplars of each group once.

    Args:
      index: the task's rows.
      fingerprint: of the task; keys the draws.
      shots: exemplars per class.
    """
    self.index = index
    self.shots = shots
    self._fingerprint = fingerprint
    self._keyed = KeyedGenerator()
    self._by_group = [_positions_by_group(index.groups[e]) for e in index.exemplars]
    self._exemplars = np.concatenate(index.exemplars)
    sizes = [len(e) for e in index.exemplars]
    self._offsets = (np.cumsum(sizes) - sizes)[:, None]

  def __getstate__(self):
    return (self.index, self._fingerprint, self.shots)

  def __setstate__(self, state):
    self.__init__(*state)

  def blocked(self, label: int, position: int) -> Int32[np.ndarray, "_blocked"]:
    """Which exemplars of a class, counted from 0, share the text of a row."""
    starts, members = self._by_group[label]
    group = int(self.index.groups[position])
    if group + 1 >= len(starts):
      return members[:0]
    return members[starts[group] : starts[group + 1]]

  def draw(self, position: int, *, seed: int, variant: int) -> np.ndarray:
    """Positions of the exemplars of (seed, task, query, variant), in prompt order.

    Args:
      position: of the query.
      seed: the root seed.
      variant: tells apart several episodes of one query.

    Returns:
      Positions, k of each class, shuffled; none shares the query's text.
    """
    row = int(self.index.rows[position])
    rng = self._keyed.at(seed, self._fingerprint, row, variant, "episode")
    k = int(rng.integers(self.shots.minimum, self.shots.maximum + 1))
    chosen: np.ndarray = np.empty((len(self.index.exemplars), k), np.int64)
    for label, exemplars in enumerate(self.index.exemplars):
      blocked = self.blocked(label, position)
      size = len(exemplars) - len(blocked)
      chosen[label] = rng.choice(size, size=k, replace=False, shuffle=False)
      for skipped in blocked:  # ascending: step over what must not be shown
        chosen[label] += chosen[label] >= skipped
    chosen += self._offsets
    return self._exemplars[chosen.ravel()[rng.permutation(chosen.size)]]


def _positions_by_group(groups: np.ndarray) -> tuple[list[int], np.ndarray]:
  """Where each group starts in a list of positions sorted by group, and that list."""
  order = np.argsort(groups, kind="stable").astype(np.int32)
  starts = np.zeros(int(groups.max(initial=-1)) + 2, np.int32)
  np.cumsum(np.bincount(groups, minlength=len(starts) - 1), out=starts[1:])
  return [int(start) for start in starts], order
