"""Each mask equals the picture in its docstring."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from symtune.model import masks


def _drawn(function) -> np.ndarray:
  """The rows of 0 and 1 in a docstring."""
  lines = [line.strip() for line in inspect.getdoc(function).splitlines()]
  rows = [line.split() for line in lines if line and set(line) <= set("01 ")]
  return np.array(rows, int).astype(bool)


def _ids(*rows: int):
  return jnp.asarray([rows], jnp.int32)


PACKED_TOKENS = _ids(7, 8, 9, 4, 5, 0)
PACKED_SEGMENTS = _ids(1, 1, 1, 2, 2, 0)


@pytest.mark.parametrize(
  ("function", "mask"),
  [
    (masks.padding_mask, masks.padding_mask(_ids(5, 6, 0), _ids(7, 8, 9, 0))),
    (masks.causal_mask, masks.causal_mask(3)),
    (masks.segment_mask, masks.segment_mask(_ids(1, 2, 2), _ids(1, 1, 2, 3))),
    (masks.encoder_mask, masks.encoder_mask(PACKED_TOKENS, PACKED_SEGMENTS)),
    (masks.decoder_mask, masks.decoder_mask(PACKED_TOKENS, PACKED_SEGMENTS)),
    (
      masks.cross_mask,
      masks.cross_mask(
        _ids(3, 1, 4, 0), _ids(7, 8, 9, 4, 0), _ids(1, 1, 2, 0), _ids(1, 1, 1, 2, 0)
      ),
    ),
  ],
)
def test_mask_is_the_one_drawn(function, mask):
  drawn = _drawn(function)
  assert drawn.size > 0
  assert mask.shape == (1, 1, *drawn.shape)
  np.testing.assert_array_equal(mask[0, 0], drawn)


def test_unpacked_masks_only_hide_padding_and_the_future():
  tokens = _ids(7, 8, 0)
  np.testing.assert_array_equal(
    masks.encoder_mask(tokens)[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
  )
  np.testing.assert_array_equal(
    masks.decoder_mask(tokens)[0, 0], [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
  )


def test_decoder_segments_alone_leave_cross_attention_open():
  targets, inputs = _ids(3, 1, 4), _ids(7, 8, 0)
  with_ids = masks.cross_mask(targets, inputs, decoder_segment_ids=_ids(1, 1, 2))
  np.testing.assert_array_equal(with_ids, masks.cross_mask(targets, inputs))


def test_rows_of_a_batch_have_their_own_mask():
  tokens = jnp.asarray([[7, 0], [7, 8]], jnp.int32)
  np.testing.assert_array_equal(
    masks.encoder_mask(tokens)[:, 0], [[[1, 0], [0, 0]], [[1, 1], [1, 1]]]
  )
