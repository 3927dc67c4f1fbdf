"""Rows are laid out as drawn in batch.py, and packing them wastes little."""

import inspect

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.data.batches import batch, packing
from symtune.data.tokens.tokenizer import TokenPair
from symtune.errors import SymtuneError


def _pair(inputs, targets):
  return TokenPair(
    inputs=np.asarray(inputs, np.int32), targets=np.asarray(targets, np.int32)
  )


def _drawing():
  """The arrays in the docstring of batch.py."""
  lines = [line.split() for line in inspect.cleandoc(batch.__doc__).splitlines()]
  return {
    words[0]: [int(w) for w in words[1:]]
    for words in lines
    if words and words[0].startswith(("encoder_", "decoder_"))
  }


def test_row_equals_the_drawing(pack_row):
  row = pack_row([_pair([7, 8, 1], [4, 1]), _pair([9, 1], [5, 6, 1])], 7, 6)
  drawn = _drawing()
  assert len(drawn) == 8
  assert {name: values.tolist() for name, values in row.items()} == drawn
  assert all(values.dtype == np.int32 for values in row.values())


def test_rows_are_filled_tightest_first():
  pairs = [_pair([5] * n, [1]) for n in (3, 6, 4, 7)]
  # 7 opens a row, 6 another; 4 fits the row with 4 left, 3 the row with 3 left.
  assert packing.assign_rows(pairs, 10, 5) == [[3, 0], [1, 2]]


def test_targets_limit_a_row_too():
  pairs = [_pair([5], [2, 1]), _pair([5], [2, 1]), _pair([5], [2, 1])]
  assert packing.assign_rows(pairs, 10, 4) == [[0, 1], [2]]


def test_pair_longer_than_a_row_is_refused():
  with pytest.raises(SymtuneError, match="3 input and 1 target tokens"):
    packing.assign_rows([_pair([5, 5, 5], [1])], 2, 4)


@hypothesis.given(
  st.lists(st.tuples(st.integers(1, 20), st.integers(1, 6)), min_size=1, max_size=40)
)
def test_every_pair_is_packed_once_and_can_be_read_back(pack_row, sizes):
  pairs = [_pair(np.arange(1, n + 1), np.arange(101, m + 101)) for n, m in sizes]
  rows = packing.assign_rows(pairs, 20, 12)
  assert sorted(i for row in rows for i in row) == list(range(len(pairs)))
  for row in rows:
    arrays = pack_row([pairs[i] for i in row], 20, 12)
    for segment, i in enumerate(row, start=1):
      inputs = arrays["encoder_input_tokens"][arrays["encoder_segment_ids"] == segment]
      targets = arrays["decoder_target_tokens"][
        arrays["decoder_segment_ids"] == segment
      ]
      np.testing.assert_array_equal(inputs, pairs[i].inputs)
      np.testing.assert_array_equal(targets, pairs[i].targets)


def test_windows_of_real_lengths_pack_nearly_full():
  rng = np.random.default_rng(0)
  pairs = [_pair([5] * n, [6, 1]) for n in rng.integers(40, 900, size=1024)]
  rows = packing.assign_rows(pairs, 2048, 512)
  used = sum(len(p.inputs) for p in pairs)
  assert used / (len(rows) * 2048) > 0.97
