import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.model.attention import (
  MultiHeadAttention,
  dot_product_attention,
  masked_bias,
)

KEY = jax.random.key(0)


def test_weights_follow_the_softmax_of_unscaled_products():
  query = jnp.asarray([[[[2.0, 0.0]]]])
  key = jnp.asarray([[[[1.0, 0.0]], [[0.0, 1.0]]]])
  value = jnp.asarray([[[[1.0, 0.0]], [[0.0, 1.0]]]])
  out = dot_product_attention(query, key, value)
  weight = np.exp(2.0) / (np.exp(2.0) + 1.0)
  np.testing.assert_allclose(out[0, 0, 0], [weight, 1 - weight], rtol=1e-6)


def test_a_position_that_sees_nothing_averages_everything():
  key = jax.random.normal(KEY, (1, 4, 1, 2))
  mask = jnp.zeros((1, 1, 4, 4), bool)
  out = dot_product_attention(key, key, key, masked_bias(mask, None, jnp.float32))
  np.testing.assert_allclose(out[0, 0], jnp.mean(key, axis=1)[0], atol=1e-6)


def test_attention_dropout_leaves_out_the_same_keys_for_all_queries():
  query = jnp.zeros((1, 3, 1, 8))
  value = jnp.eye(8)[None, :, None, :]
  out = dot_product_attention(
    query, value, value, dropout_key=jax.random.key(3), dropout_rate=0.5
  )
  # With equal weights of 1/8 a kept key counts 1/8 / keep_rate, a dropped one 0.
  assert set(np.unique(out).tolist()) == {0.0, 0.25}
  np.testing.assert_array_equal(out, jnp.broadcast_to(out[:, :1], out.shape))


def test_float32_logits_keep_what_bfloat16_rounds_away():
  query = jnp.full((1, 1, 1, 1), 1.0, jnp.bfloat16)
  key = jnp.asarray([256.0, 256.0], jnp.bfloat16)[None, :, None, None]
  value = jnp.asarray([0.0, 1.0], jnp.bfloat16)[None, :, None, None]
  bias = jnp.asarray([0.0, 0.5], jnp.bfloat16)[None, None, None, :]

  def weight(float32_logits):
    out = dot_product_attention(query, key, value, bias, float32_logits=float32_logits)
    assert out.dtype == jnp.bfloat16
    return float(out[0, 0, 0, 0].astype(jnp.float32))

  assert weight(False) == 0.5
  assert weight(True) == pytest.approx(1 / (1 + np.exp(-0.5)), abs=4e-3)


def _attention() -> MultiHeadAttention:
  return MultiHeadAttention(num_heads=2, head_dim=4, dropout_rate=0.0)


def test_query_starts_smaller_by_the_root_of_the_head_width():
  x = jnp.ones((1, 1, 512))
  module = MultiHeadAttention(num_heads=4, head_dim=64, dropout_rate=0.0)
  params = module.init(KEY, x, x, deterministic=True)["params"]
  ratio = jnp.std(params["key"]["kernel"]) / jnp.std(params["query"]["kernel"])
  assert ratio == pytest.approx(8.0, rel=0.02)


def test_cache_has_t5x_layout():
  x = jnp.ones((3, 5, 8))
  variables = _attention().init(KEY, x, x, deterministic=True, decode=True)
  shapes = {name: leaf.shape for name, leaf in variables["cache"].items()}
  assert shapes == {
    "cached_key": (3, 2, 4, 5),
    "cached_value": (3, 2, 4, 5),
    "cache_index": (),
  }
  assert variables["cache"]["cache_index"].dtype == jnp.int32


@pytest.mark.parametrize("shape", [(3, 2, 8), (1, 1, 8)])
def test_a_step_that_does_not_fit_the_cache_is_refused(shape):
  module, x = _attention(), jnp.ones((3, 5, 8))
  variables = module.init(KEY, x, x, deterministic=True, decode=True)
  step = jnp.ones(shape)
  with pytest.raises(SymtuneError, match="one position at a time"):
    module.apply(
      variables, step, step, deterministic=True, decode=True, mutable=["cache"]
    )


def test_a_step_with_the_bias_of_one_position_is_refused():
  module, x = _attention(), jnp.ones((3, 5, 8))
  variables = module.init(KEY, x, x, deterministic=True, decode=True)
  step, bias = x[:, :1], jnp.zeros((1, 2, 1, 1))
  with pytest.raises(SymtuneError, match="max_decode_length=5"):
    module.apply(
      variables,
      step,
      step,
      None,
      bias,
      deterministic=True,
      decode=True,
      mutable=["cache"],
    )


@pytest.mark.parametrize("float32_logits", [False, True])
def test_few_queries_find_what_they_find_among_many(float32_logits):
  """Few queries fold the projections of what they look at into themselves."""
  module = MultiHeadAttention(
    num_heads=2, head_dim=8, dropout_rate=0.0, float32_logits=float32_logits
  )
  many = jax.random.normal(KEY, (3, 40, 6))
  looked_at = jax.random.normal(jax.random.key(1), (3, 40, 6))
  mask = jax.random.bernoulli(jax.random.key(2), 0.7, (3, 1, 40, 40))
  variables = module.init(KEY, many, looked_at, mask, deterministic=True)

  def attend(queries):
    asked = (many[:, :queries], looked_at, mask[:, :, :queries])
    traced = jax.make_jaxpr(lambda *a: module.apply(variables, *a, deterministic=True))
    return module.apply(variables, *asked, deterministic=True), str(traced(*asked))

  plain, plain_steps = attend(40)
  few, few_steps = attend(2)
  projected = "f32[3,40,2,8]"  # the keys and values of every head
  assert projected in plain_steps
  assert projected not in few_steps
  np.testing.assert_allclose(few, plain[:, :2], atol=1e-5, rtol=0)
