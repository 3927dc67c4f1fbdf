import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symtune.model.layers import (
  MLP,
  Dense,
  Embed,
  RelativeBias,
  RMSNorm,
  relative_position_bucket,
)

KEY = jax.random.key(0)


def _drawn_row(name: str) -> list[int]:
  doc = inspect.getdoc(relative_position_bucket)
  (line,) = [line for line in doc.splitlines() if line.split()[:1] == [name]]
  if line.split()[1:] == []:
    raise AssertionError(f"no numbers after {name}")
  return [int(word) for word in line.split()[1:]]


@pytest.mark.parametrize("name", ["bidirectional", "causal"])
def test_buckets_are_the_ones_drawn(name):
  distance = np.array(_drawn_row("distance"), np.int32)
  bucket = relative_position_bucket(distance, bidirectional=name == "bidirectional")
  assert bucket.tolist() == _drawn_row(name)


@given(st.integers(min_value=0, max_value=5000))
def test_causal_buckets_never_shrink_with_distance(back):
  near, far = relative_position_bucket(
    np.array([-back, -back - 1], np.int32), bidirectional=False
  )
  assert 0 <= near <= far <= 31


def test_bias_of_a_pair_is_the_entry_of_its_bucket():
  module = RelativeBias(num_heads=2)
  bias, variables = module.init_with_output(KEY, 5, bidirectional=True)
  table = variables["params"]["rel_embedding"]
  assert bias.shape == (1, 2, 5, 5)
  for query in range(5):
    for key in range(5):
      distance = np.array([key - query], np.int32)
      bucket = relative_position_bucket(distance, bidirectional=True)[0]
      np.testing.assert_array_equal(bias[0, :, query, key], table[:, bucket])


def test_norm_divides_by_root_mean_square_and_keeps_the_mean():
  x = jnp.asarray([[[3.0, 4.0, 0.0, 0.0]]])
  y, variables = RMSNorm().init_with_output(KEY, x)
  root_mean_square = math.sqrt((9 + 16) / 4)
  np.testing.assert_allclose(y, x / root_mean_square, rtol=1e-6)
  assert variables["params"]["scale"].tolist() == [1.0] * 4


def test_norm_statistics_are_float32_even_for_bfloat16():
  # In bfloat16, 256 + 1 is 256: a bfloat16 sum of squares would be off by a third.
  x = jnp.full((1, 1, 512), 1.0, jnp.bfloat16)
  y, _ = RMSNorm(jnp.bfloat16).init_with_output(KEY, x)
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y.astype(jnp.float32), jnp.ones((1, 1, 512)))


def test_dense_has_no_bias_and_a_flat_kernel():
  x = jax.random.normal(KEY, (2, 3, 4))
  y, variables = Dense(5, ("embed", "mlp")).init_with_output(KEY, x)
  assert list(variables["params"]) == ["kernel"]
  np.testing.assert_allclose(
    y, np.einsum("bli,io->blo", x, variables["params"]["kernel"]), atol=1e-6
  )


def test_gated_mlp_multiplies_its_activations():
  x = jax.random.normal(KEY, (2, 3, 4))
  mlp = MLP(mlp_dim=6, activations=("gelu", "linear"), dropout_rate=0.5)
  y, variables = mlp.init_with_output(KEY, x, deterministic=True)
  kernels = {name: leaf["kernel"] for name, leaf in variables["params"].items()}
  hidden = jax.nn.gelu(x @ kernels["wi_0"], approximate=True) * (x @ kernels["wi_1"])
  np.testing.assert_allclose(y, hidden @ kernels["wo"], atol=1e-6)


def test_plain_mlp_has_one_input_kernel():
  x = jnp.ones((1, 2, 4))
  mlp = MLP(mlp_dim=6, activations=("relu",), dropout_rate=0.0)
  variables = mlp.init(KEY, x, deterministic=True)
  assert sorted(variables["params"]) == ["wi", "wo"]


def test_mlp_dropout_is_the_same_at_every_position():
  x = jnp.ones((2, 5, 4))
  mlp = MLP(mlp_dim=64, activations=("linear",), dropout_rate=0.5)
  params = mlp.init(KEY, x, deterministic=True)
  y = mlp.apply(params, x, deterministic=False, rngs={"dropout": jax.random.key(1)})
  np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1], y.shape))
  assert not np.allclose(y[0], y[1])


def test_embedding_gradient_of_a_repeated_token_is_summed_in_float32():
  embed = Embed(vocab_size=4, emb_dim=1, dtype=jnp.bfloat16)
  tokens = jnp.full((1, 1000), 2, jnp.int32)
  variables = embed.init(KEY, tokens)

  def total(params):
    return jnp.sum(embed.apply({"params": params}, tokens).astype(jnp.float32))

  gradient = jax.grad(total)(variables["params"])["embedding"]
  assert gradient[:, 0].tolist() == [0.0, 0.0, 1000.0, 0.0]


def test_a_token_outside_the_vocabulary_gives_nan():
  embed = Embed(vocab_size=4, emb_dim=2)
  tokens = jnp.asarray([[3, 4]], jnp.int32)
  vectors, _ = embed.init_with_output(KEY, tokens)
  assert np.isnan(vectors).tolist() == [[[False, False], [True, True]]]
