"""Words and numbers made as arrays are NumPy's own, generator by generator."""

import hypothesis
import hypothesis.strategies as st
import numpy as np

from symtune.data.draw.words import (
  HALVES,
  bounded,
  bounded_in_turn,
  philox_halves,
  philox_keys,
)
from symtune.data.rng import KeyedGenerator, key_text, keyed_generator

_KEYS = st.tuples(st.integers(), st.text())
_BOUNDS = st.one_of(st.integers(1, 5), st.integers(1, 2**32 - 1))


def _halves(key, count):
  """The first halves of a key, from NumPy."""
  rng = keyed_generator(*key)
  return rng.integers(0, 2**32, size=count, dtype=np.uint32).tolist()


@hypothesis.given(st.lists(st.tuples(_KEYS, st.integers(0, 5)), max_size=6))
def test_halves_are_those_of_numpy(asked):
  keys = philox_keys([key_text(*key) for key, _ in asked])
  blocks = np.asarray([count for _, count in asked], np.int64)
  expected = [half for key, count in asked for half in _halves(key, HALVES * count)]
  assert philox_halves(keys, blocks).tolist() == expected


@hypothesis.given(
  st.lists(st.tuples(_KEYS, st.lists(_BOUNDS, max_size=16)), min_size=1, max_size=5)
)
def test_numbers_below_bounds_are_those_of_numpy(asked):
  keys = philox_keys([key_text(*key) for key, _ in asked])
  halves = philox_halves(keys, np.full(len(asked), 2))
  numbers, taken, unsure = bounded_in_turn(
    halves,
    2 * HALVES * np.arange(len(asked)),
    np.asarray([len(bounds) for _, bounds in asked], np.int64),
    np.asarray([bound for _, bounds in asked for bound in bounds], np.int64),
  )
  left = numbers.tolist()
  for (key, bounds), used, is_unsure in zip(asked, taken, unsure, strict=True):
    found, left = left[: len(bounds)], left[len(bounds) :]
    assert used == sum(bound > 1 for bound in bounds)
    if not is_unsure:
      rng = keyed_generator(*key)
      assert found == [int(rng.integers(bound)) for bound in bounds]


def test_numbers_that_numpy_draws_again_are_unsure():
  # 2**32 = 3 * 1431655765 + 1: of all halves, only 0 is drawn again for a bound of 3.
  # 1431655766 x 3 is 2 more than 2**32: the generator looks at it twice and keeps it.
  halves = np.asarray([0, 1, 2**31, 2**32 - 1, 1431655766, 7], np.uint32)
  numbers, unsure = bounded(halves, np.asarray([3, 3, 3, 3, 3, 1]))
  assert numbers.tolist() == [0, 0, 1, 2, 1, 0]
  assert unsure.tolist() == [True, False, False, False, True, False]


def test_few_numbers_are_unsure():
  halves = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
  _, unsure = bounded(halves, np.full(len(halves), 30_000))
  assert unsure.sum() < 10


@hypothesis.given(_KEYS, st.integers(0, 40))
def test_a_generator_goes_on_after_numbers_made_elsewhere(key, taken):
  text = key_text(*key)
  keys = philox_keys([text])
  halves = philox_halves(keys, np.full(1, 6))
  block = max(taken - 1, 0) // HALVES * HALVES
  words = halves[block : block + HALVES].view(np.uint64).tolist()
  rng = KeyedGenerator().after(tuple(keys[0].tolist()), taken, words)
  fresh = keyed_generator(*key)
  for _ in range(taken):
    fresh.integers(0, 2**32, dtype=np.uint32)
  items, expected = list(range(12)), list(range(12))
  rng.shuffle(items)
  fresh.shuffle(expected)
  assert items == expected
  assert [rng.integers(9) for _ in range(5)] == [fresh.integers(9) for _ in range(5)]
