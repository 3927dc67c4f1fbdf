"""Which rows an episode shows, as positions: drawing needs no text.

A task is a list of rows; a *position* is an index into it. Rows with the same text form
one *group*: none of a query's group may be its exemplar.
"""

import dataclasses
import functools
import operator
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Int64

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


class ExemplarDrawer:
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
    # Below, an exemplar is its number in this list: class by class, ascending. Lists,
    # because single numbers of arrays take NumPy long.
    exemplars = np.concatenate(index.exemplars)
    self._exemplars = exemplars.tolist()
    self._sizes = tuple(len(e) for e in index.exemplars)
    self._starts, self._members = _numbers_by_group(index.groups, exemplars)

  def draw(self, position: int, *, seed: int, variant: int) -> list[int]:
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
    group = int(self.index.groups[position])
    blocked = self._members[self._starts[group] : self._starts[group + 1]]
    chosen = _draw_numbers(rng, self._sizes, blocked, k)
    rng.shuffle(chosen)
    return [self._exemplars[number] for number in chosen]


def _draw_numbers(
  rng: np.random.Generator, sizes: tuple[int, ...], blocked: Sequence[int], k: int
) -> list[int]:
  """K numbers of each class, none of them blocked, each set equally likely.

  Numbers count from 0 through all classes; `sizes` are those of the classes, `blocked`
  is ascending. This is `rng.choice(size, k, replace=False, shuffle=False)` of each
  class in turn, number for number, with one call for all of them.
  """
  skipped: list[list[int]] = [[] for _ in sizes]
  for number in blocked:
    label = 0
    while number >= sizes[label]:
      number -= sizes[label]
      label += 1
    skipped[label].append(number)
  free = tuple(map(operator.sub, sizes, map(len, skipped)))
  drawn = rng.integers(_floyd_bounds(free, k)).tolist()
  chosen: list[int] = []
  start = 0
  for label, size in enumerate(sizes):
    some = drawn[label * k : label * k + k]
    if len(set(some)) < k:
      some = _replace_repeats(some, free[label])
    for number in skipped[label]:  # ascending: step over what must not be shown
      some = [n + (n >= number) for n in some]
    chosen += [n + start for n in some] if start else some
    start += size
  return chosen


@functools.lru_cache(maxsize=4096)
def _floyd_bounds(sizes: tuple[int, ...], k: int) -> Int64[np.ndarray, "_draws"]:
  """Floyd's sample of k in n draws below n - k + 1, then n - k + 2, up to n."""
  return np.concatenate([np.arange(n - k, n, dtype=np.int64) + 1 for n in sizes])


def _replace_repeats(drawn: list[int], size: int) -> list[int]:
  """Floyd's sample without replacement: what was drawn before becomes its bound."""
  chosen: list[int] = []
  for i, number in enumerate(drawn, start=size - len(drawn)):
    chosen.append(i if number in chosen else number)
  return chosen


def _numbers_by_group(
  groups: np.ndarray, exemplars: np.ndarray
) -> tuple[list[int], list[int]]:
  """Where each group starts in the exemplars' numbers sorted by group, and those."""
  order = np.argsort(groups[exemplars], kind="stable").tolist()
  counts = np.bincount(groups[exemplars], minlength=int(groups.max(initial=-1)) + 1)
  return [0, *np.cumsum(counts).tolist()], order
