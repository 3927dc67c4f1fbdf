import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.model.generate import empty_cache
from symtune.model.network import Transformer, init_params, param_axes, param_shapes
from symtune.model.score import shift_right

INPUTS = jnp.asarray([[5, 6, 7, 8, 1, 0], [9, 10, 1, 0, 0, 0]], jnp.int32)
TARGETS = jnp.asarray([[3, 4, 5, 1], [6, 1, 0, 0]], jnp.int32)


def _apply(network, params, **kwargs):
  return network.apply(
    {"params": params},
    INPUTS,
    shift_right(TARGETS),
    TARGETS,
    enable_dropout=False,
    **kwargs,
  )


def test_axes_tree_fits_parameter_tree(either_network, either_params):
  axes = param_axes(either_network)
  assert jax.tree.structure(axes) == jax.tree.structure(either_params)
  jax.tree.map(
    lambda spec, leaf: np.testing.assert_equal(len(spec), leaf.ndim),
    axes,
    either_params,
  )


def test_shapes_tree_fits_parameter_tree(either_network, either_params):
  shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), either_params)
  expected = jax.tree.map(
    lambda leaf: (leaf.shape, leaf.dtype), param_shapes(either_network)
  )
  assert shapes == expected
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(either_params))


def test_tied_network_has_no_output_layer(network, params, tiny_config):
  assert "logits_dense" in params["decoder"]
  tied = Transformer(tiny_config.replace(logits_via_embedding=True))
  assert "logits_dense" not in param_shapes(tied)["decoder"]


def test_initialisation_takes_float32_ones_as_t5x_passes_them(network, params):
  ones = jnp.ones((2, 3), jnp.float32)
  ids = jnp.ones((2, 3), jnp.int32)
  init = functools.partial(network.init, decode=False, enable_dropout=False)
  variables = jax.jit(init)(
    jax.random.key(0),
    ones,
    ones,
    ones,
    encoder_segment_ids=ids,
    decoder_segment_ids=ids,
    encoder_positions=ids,
    decoder_positions=ids,
  )
  # Two compiled programs may round differently.
  close = functools.partial(np.testing.assert_allclose, rtol=1e-6)
  jax.tree.map(close, variables["params"], params)
  assert set(variables) == {"params", "params_axes"}


def test_no_logit_depends_on_later_decoder_inputs(either_network, either_params):
  """Causality by gradients, through a table that holds one row per position."""
  length = 4
  inputs, targets = INPUTS[:1], TARGETS[:1]
  # Each decoder position gets a token of its own, so that the gradient with respect to
  # a row of the embedding is the gradient with respect to a position.
  own_tokens = jnp.arange(20, 20 + length, dtype=jnp.int32)[None, :]

  @jax.jit
  @jax.jacobian
  def by_table(table):
    params = {**either_params, "token_embedder": {"embedding": table}}
    encoded = either_network.apply(
      {"params": either_params}, inputs, enable_dropout=False, method="encode"
    )
    logits = either_network.apply(
      {"params": params},
      encoded,
      inputs,
      own_tokens,
      targets,
      enable_dropout=False,
      method="decode",
    )
    return jnp.sum(logits[0, :, :20], axis=-1)  # ids whose rows are no position's

  table = either_params["token_embedder"]["embedding"]
  by_token = jnp.sum(jnp.abs(by_table(table)), axis=-1)  # [length, vocab]
  by_position = by_token[:, 20 : 20 + length]
  np.testing.assert_array_equal(by_position > 0, np.tri(length, dtype=bool))


def test_padding_changes_nothing(either_network, either_params, logits_of):
  short = logits_of(either_network, either_params, INPUTS[1:, :3], TARGETS[1:, :2])
  padded = logits_of(either_network, either_params, INPUTS[1:], TARGETS[1:])
  np.testing.assert_allclose(padded[:, :2], short, atol=1e-5)


def test_packed_row_gives_the_logits_of_its_examples(
  either_network, either_params, logits_of
):
  packed = {
    "encoder_input_tokens": [5, 6, 7, 1, 8, 9, 1, 0],
    "encoder_segment_ids": [1, 1, 1, 1, 2, 2, 2, 0],
    "decoder_input_tokens": [0, 3, 4, 0, 5, 0],
    "decoder_target_tokens": [3, 4, 1, 5, 1, 0],
    "decoder_segment_ids": [1, 1, 1, 2, 2, 0],
  }
  apply = jax.jit(functools.partial(either_network.apply, enable_dropout=False))
  logits = apply(
    {"params": either_params},
    **{name: jnp.asarray([row], jnp.int32) for name, row in packed.items()},
  )
  first = logits_of(
    either_network,
    either_params,
    jnp.asarray([[5, 6, 7, 1]], jnp.int32),
    jnp.asarray([[3, 4, 1]], jnp.int32),
  )
  second = logits_of(
    either_network,
    either_params,
    jnp.asarray([[8, 9, 1]], jnp.int32),
    jnp.asarray([[5, 1]], jnp.int32),
  )
  np.testing.assert_allclose(logits[0, :3], first[0], atol=1e-5)
  np.testing.assert_allclose(logits[0, 3:5], second[0], atol=1e-5)


def test_steps_through_the_cache_give_the_logits_of_the_full_pass(
  either_network, either_params, logits_of
):
  targets = jnp.asarray([[3, 4, 5, 6, 1], [7, 8, 9, 2, 1]], jnp.int32)
  full = logits_of(either_network, either_params, INPUTS, targets)
  variables = {"params": either_params}
  encoded = either_network.apply(
    variables, INPUTS, enable_dropout=False, method="encode"
  )
  cache = empty_cache(either_network, either_params, INPUTS, 5)
  decoder_inputs = shift_right(targets)
  one_step = jax.jit(
    functools.partial(
      either_network.apply,
      enable_dropout=False,
      decode=True,
      max_decode_length=5,
      mutable=["cache"],
      method=either_network.decode,
    )
  )
  for step in range(5):
    token = decoder_inputs[:, step : step + 1]
    logits, updated = one_step(
      {**variables, "cache": cache}, encoded, INPUTS, token, token
    )
    cache = updated["cache"]
    np.testing.assert_allclose(logits[:, 0], full[:, step], atol=1e-5)
  assert cache["decoder"]["layers_0"]["self_attention"]["cache_index"] == 5


def test_first_decode_call_makes_the_cache_that_empty_cache_predicts(network, params):
  ones = jnp.ones((2, 5), jnp.int32)
  _, made = network.apply(
    {"params": params},
    encoder_input_tokens=jnp.ones_like(INPUTS),
    decoder_input_tokens=ones,
    decoder_target_tokens=ones,
    mutable=["cache"],
    decode=True,
    enable_dropout=False,
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    made["cache"],
    empty_cache(network, params, INPUTS, 5),
  )


def test_dropout_is_on_unless_switched_off(network, params):
  args = ({"params": params}, INPUTS, shift_right(TARGETS), TARGETS)
  apply = jax.jit(network.apply)
  first = apply(*args, rngs={"dropout": jax.random.key(1)})
  second = apply(*args, rngs={"dropout": jax.random.key(2)})
  assert not np.allclose(first, second)


@pytest.mark.parametrize("float32_attention_logits", [False, True])
def test_bfloat16_gives_finite_float32_logits_and_float32_gradients(
  tiny_config, float32_attention_logits, logits_of
):
  config = tiny_config.replace(
    dtype="bfloat16", float32_attention_logits=float32_attention_logits
  )
  network = Transformer(config)
  params = init_params(network, jax.random.key(0))
  padded_row = INPUTS.at[1].set(0)

  def total(params):
    logits = logits_of(network, params, padded_row, TARGETS)
    assert logits.dtype == jnp.float32
    return jnp.sum(logits)

  value, gradient = jax.jit(jax.value_and_grad(total))(params)
  assert jnp.isfinite(value)
  for leaf in jax.tree.leaves(gradient):
    assert leaf.dtype == jnp.float32
    assert jnp.all(jnp.isfinite(leaf))


def test_packing_needs_both_segment_ids(network, params):
  with pytest.raises(SymtuneError, match="Give both"):
    _apply(network, params, encoder_segment_ids=jnp.ones_like(INPUTS))


def test_decoding_refuses_packed_rows(network, params):
  with pytest.raises(SymtuneError, match="one example per row"):
    _apply(
      network,
      params,
      encoder_segment_ids=jnp.ones_like(INPUTS),
      decoder_segment_ids=jnp.ones_like(TARGETS),
      decode=True,
      mutable=["cache"],
    )


@pytest.mark.parametrize("policy", ["minimal", "full"])
def test_rematerialisation_changes_neither_tree_nor_gradients(policy, network, params):
  other = Transformer(network.config.replace(remat_policy=policy))
  tokens = jnp.asarray([[5, 6, 7, 1], [8, 9, 1, 0]])

  def loss(network, params):
    logits = network.apply(
      {"params": params}, tokens, tokens, tokens, rngs={"dropout": jax.random.key(2)}
    )
    return jnp.sum(jnp.square(logits))

  gradient = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)
  assert jax.tree.structure(param_shapes(other)) == jax.tree.structure(params)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    gradient(other, params),
    gradient(network, params),
  )
  assert "remat" in str(jax.make_jaxpr(jax.grad(lambda p: loss(other, p)))(params))


def test_bfloat16_parameters_are_computed_with(either_network, either_params):
  """As loaded for inference; logits stay float32, whatever the parameters are."""
  small = jax.tree.map(lambda x: x.astype(jnp.bfloat16), either_params)
  back = jax.tree.map(lambda x: x.astype(jnp.float32), small)
  tokens = jnp.asarray([[5, 6, 7, 1], [8, 9, 1, 0]])
  found, wanted = (
    either_network.apply({"params": p}, tokens, tokens, tokens, enable_dropout=False)
    for p in (small, back)
  )
  assert found.dtype == jnp.float32
  np.testing.assert_array_equal(found, wanted)
