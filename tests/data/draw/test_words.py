"""Random words depend on stream, use and position alone, and are uniform."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats

from symtune.data.draw.words import (
  BLOCK,
  Use,
  below,
  draw_many_words,
  draw_runs,
  draw_words,
  position_generator,
)

POSITIONS = st.lists(
  st.one_of(st.integers(0, 3000), st.integers(0, 2**62)), max_size=12, unique=True
).map(sorted)


@hypothesis.given(POSITIONS, st.integers(0, 2**64 - 1), st.integers(0, 3))
def test_words_of_one_position_are_those_of_any_window(positions, stream, block):
  found = draw_words(stream, Use.ORDER, np.asarray(positions, np.int64), block)
  assert found.shape == (len(positions), BLOCK)
  for row, position in zip(found, positions, strict=True):
    alone = draw_words(stream, Use.ORDER, np.asarray([position]), block)
    assert row.tolist() == alone[0].tolist()


def test_words_are_those_of_numpys_philox_at_the_positions_counter():
  philox = np.random.Philox(key=[5, int(Use.SYMBOLS)], counter=[70, 2, 0, 0])
  expected = philox.random_raw(8).astype("<u8").view("<u4").reshape(2, 8)
  found = draw_words(5, Use.SYMBOLS, np.asarray([70, 71]), block=2)
  np.testing.assert_array_equal(found, expected)


@hypothesis.given(st.integers(0, 2**50), st.integers(1, 6), st.integers(1, 40))
def test_a_run_of_many_words_is_made_of_those_of_each_position(first, count, width):
  found = draw_runs(3, Use.OTHER, first, count, width)
  assert found.shape == (count, width)
  alone = [draw_runs(3, Use.OTHER, first + i, 1, width)[0] for i in range(count)]
  np.testing.assert_array_equal(found, alone)
  # Words that agree have a chance of 2**-32 each.
  assert len(np.unique(found)) == found.size


def test_words_are_pinned():
  """If these change, every prompt changes: raise DRAWS_VERSION."""
  found = draw_words(0, Use.PLACE, np.asarray([0, 1]))
  assert found[:, 0].tolist() == [149215387, 2285471683]


def test_stream_use_position_and_block_all_matter():
  one = np.asarray([3])
  words = [
    draw_words(0, Use.PLACE, one),
    draw_words(1, Use.PLACE, one),
    draw_words(0, Use.ORDER, one),
    draw_words(0, Use.PLACE, one + 1),
    draw_words(0, Use.PLACE, one, block=1),
  ]
  assert len({tuple(w[0].tolist()) for w in words}) == 5


def test_more_words_begin_with_fewer():
  positions = np.arange(5)
  few = draw_many_words(0, Use.ORDER, positions, 3)
  many = draw_many_words(0, Use.ORDER, positions, 30)
  assert few.shape[1] >= 3
  assert many.shape[1] >= 30
  np.testing.assert_array_equal(many[:, : few.shape[1]], few)


@pytest.mark.parametrize("bound", [1, 2, 7, 10])
def test_numbers_below_a_bound_are_uniform(bound):
  words = draw_many_words(9, Use.EXEMPLARS, np.arange(1000), 8)
  numbers = below(words, np.full(words.shape, bound))
  counts = np.bincount(numbers.ravel(), minlength=bound)
  assert len(counts) == bound
  assert bound == 1 or scipy.stats.chisquare(counts).pvalue > 1e-3


def test_bounds_by_multiply_and_shift_by_hand():
  words = np.asarray([0, 2**31, 2**32 - 1, 2**30], np.uint32)
  bounds = np.asarray([5, 5, 5, 8])
  assert below(words, bounds).tolist() == [0, 2, 4, 2]


def test_words_of_neighbouring_positions_are_unrelated():
  words = draw_words(0, Use.PLACE, np.arange(4000)).astype(np.float64)
  for place in range(BLOCK):
    _, p_value = scipy.stats.pearsonr(words[:-1, place], words[1:, place])
    assert p_value > 1e-3
  assert scipy.stats.kstest(words.ravel() / 2**32, "uniform").pvalue > 1e-3


def test_a_positions_generator_is_its_own():
  drawn = {
    position_generator(stream, position).integers(2**62)
    for stream in (0, 1)
    for position in (0, 1, 2**40)
  }
  assert len(drawn) == 6
  again = position_generator(1, 2**40).integers(2**62)
  assert again == position_generator(1, 2**40).integers(2**62)
