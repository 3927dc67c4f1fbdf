"""Lists of different lengths, one after another in one array."""

from collections.abc import Sequence, Sized

import numpy as np
from jaxtyping import Int64, Integer


def starts_of(counts: Integer[np.ndarray, "lists"]) -> Int64[np.ndarray, "lists"]:
  """Where each list starts."""
  return np.cumsum(counts, dtype=np.int64) - counts


def owners_of(counts: Integer[np.ndarray, "lists"]) -> Int64[np.ndarray, "_items"]:
  """The list of each item."""
  return np.repeat(np.arange(len(counts)), counts)


def places_of(counts: Integer[np.ndarray, "lists"]) -> Int64[np.ndarray, "_items"]:
  """The place of each item in its list, from 0."""
  total = int(np.sum(counts))
  return np.arange(total) - np.repeat(starts_of(counts), counts)


def take_runs(
  items: np.ndarray,
  starts: Integer[np.ndarray, "runs"],
  lengths: Integer[np.ndarray, "runs"],
) -> np.ndarray:
  """Runs of items one after another.

  Args:
    items: one-dimensional.
    starts: where each run starts in `items`.
    lengths: items of each run.

  Returns:
    The items, in the type that `items` has.
  """
  places = np.repeat(starts - starts_of(lengths), lengths)
  places += np.arange(len(places))
  return items[places]


def sizes_of(lists: Sequence[Sized]) -> Int64[np.ndarray, "_lists"]:
  """How many items each list has."""
  return np.asarray([len(items) for items in lists], np.int64)


def join_runs(
  runs: Sequence[np.ndarray], firsts: Int64[np.ndarray, "runs"] | None = None
) -> Int64[np.ndarray, "_items"]:
  """The numbers of several runs one after another, each plus its run's own first."""
  whole = np.concatenate([np.zeros(0, np.int64), *runs])
  return whole if firsts is None else whole + np.repeat(firsts, sizes_of(runs))
