import jax.numpy as jnp
import numpy as np

from symtune.model.decoder.masks import row_mask, window_mask

SEGMENTS = jnp.asarray([[1, 1, 1, 2, 2, 0]])
PREFIX = jnp.asarray([[1, 1, 0, 0, 0, 0]], bool)


def _drawn(mask) -> str:
  return "\n".join(" ".join(map(str, row)) for row in np.asarray(mask[0], int))


def test_docstrings_draw_the_masks():
  assert _drawn(row_mask(SEGMENTS, PREFIX, length=6)) in _flat(row_mask)
  places = jnp.arange(4)[None]
  assert _drawn(window_mask(places, places, 2)) in _flat(window_mask)


def _flat(function) -> str:
  return "\n".join(line.strip() for line in function.__doc__.splitlines())


def test_rows_without_examples_are_causal():
  np.testing.assert_array_equal(
    row_mask(None, None, length=3)[0], np.tri(3, dtype=bool)
  )


def test_prefixes_of_different_examples_do_not_see_each_other():
  every = jnp.ones((1, 6), bool)
  mask = row_mask(SEGMENTS, every, length=6)[0]
  same = np.asarray(SEGMENTS[0])[:, None] == np.asarray(SEGMENTS[0])[None, :]
  np.testing.assert_array_equal(mask, same)
