import functools

import jax
import jax.numpy as jnp
import numpy as np

from symtune.model.decoder.attention import causal_attention, grouped_attention


def test_heads_share_keys_in_groups_of_neighbours():
  """Against one head after another, in NumPy."""
  rng = np.random.default_rng(0)
  query = rng.normal(size=(2, 3, 6, 4)).astype(np.float32)
  key, value = rng.normal(size=(2, 2, 5, 2, 4)).astype(np.float32)
  mask = rng.random((2, 3, 5)) < 0.6
  mask[:, :, 0] = True
  found = grouped_attention(*map(jnp.asarray, (query, key, value, mask)), scale=0.3)
  for row in range(2):
    for head in range(6):
      shared = head // 3
      logits = 0.3 * query[row, :, head] @ key[row, :, shared].T
      weights = np.exp(logits) * mask[row]
      weights /= weights.sum(axis=1, keepdims=True)
      expected = weights @ value[row, :, shared]
      np.testing.assert_allclose(found[row, :, head], expected, atol=1e-6)


def test_jax_computes_the_same():
  keys = jax.random.split(jax.random.key(0), 3)
  query = jax.random.normal(keys[0], (2, 3, 4, 8))
  key, value = (jax.random.normal(k, (2, 5, 2, 8)) for k in keys[1:])
  mask = jnp.tri(3, 5, 2, dtype=bool)[None]
  np.testing.assert_allclose(
    grouped_attention(query, key, value, mask, scale=0.5),
    jax.nn.dot_product_attention(query, key, value, mask=mask[:, None], scale=0.5),
    atol=1e-6,
  )


def test_a_query_that_sees_nothing_gets_the_mean():
  value = jnp.arange(3.0).reshape(1, 3, 1, 1)
  mask = jnp.zeros((1, 1, 3), bool)
  found = grouped_attention(value[:, :1], value, value, mask, scale=1.0)
  np.testing.assert_allclose(found, 1.0)


def test_long_rows_in_blocks_are_the_same_as_whole_rows():
  """Values and gradients, where a block ends within an example and one is short."""
  keys = jax.random.split(jax.random.key(0), 4)
  query, weight = (jax.random.normal(k, (2, 600, 4, 8)) for k in keys[:2])
  key, value = (jax.random.normal(k, (2, 600, 2, 8)) for k in keys[2:])
  segments = jnp.asarray(np.arange(600) // np.asarray([[600], [130]]))
  same = segments[:, :, None] == segments[:, None, :]
  mask = same & jnp.tri(600, dtype=bool)[None]

  @functools.partial(jax.jit, static_argnums=0)
  def run(attend, *heads):
    def total(*heads):
      return jnp.vdot(weight, attend(*heads, mask, scale=0.3))

    return attend(*heads, mask, scale=0.3), jax.grad(total, (0, 1, 2))(*heads)

  in_blocks, whole = (
    run(f, query, key, value) for f in (causal_attention, grouped_attention)
  )
  for found, expected in zip(*map(jax.tree.leaves, (in_blocks, whole)), strict=True):
    np.testing.assert_allclose(found, expected, atol=2e-5)
