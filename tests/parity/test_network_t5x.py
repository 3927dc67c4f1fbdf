"""Our network against T5X's, live: tree, start, logits, gradients, decoding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen.partitioning import get_axis_names
from flax.traverse_util import flatten_dict

from symtune.model.config import PublishedSize, T5Config, published_config
from symtune.model.loss import LossNormalizer, sum_losses
from symtune.model.network import Transformer, init_params, param_axes, param_shapes

pytestmark = pytest.mark.t5x

TOKENS = {
  name: jnp.asarray(rows, jnp.int32)
  for name, rows in {
    "encoder_input_tokens": [[5, 6, 1, 7, 8, 1, 0], [9, 10, 11, 12, 13, 1, 0]],
    "decoder_input_tokens": [[0, 3, 0, 4, 0], [0, 5, 6, 7, 0]],
    "decoder_target_tokens": [[3, 1, 4, 1, 0], [5, 6, 7, 1, 0]],
    "encoder_segment_ids": [[1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1, 0]],
    "decoder_segment_ids": [[1, 1, 2, 2, 0], [1, 1, 1, 1, 0]],
    "encoder_positions": [[0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 3, 4, 5, 0]],
    "decoder_positions": [[0, 1, 0, 1, 0], [0, 1, 2, 3, 0]],
  }.items()
}
UNPACKED = {name: ids for name, ids in TOKENS.items() if "tokens" in name}
VARIANTS = {
  "gated_untied": (("gelu", "linear"), False),
  "gated_tied": (("gelu", "linear"), True),
  "plain_untied": (("relu",), False),
  "plain_tied": (("relu",), True),
}


def _theirs(t5x, config: T5Config):
  fields = t5x.network.T5Config.__dataclass_fields__  # ours has one more
  values = {name: getattr(config, name) for name in fields}
  return t5x.network.Transformer(t5x.network.T5Config(**values))


@pytest.fixture(params=list(VARIANTS))
def pair(request, t5x):
  """Our network, T5X's, and parameters whose norm scales are not all 1."""
  activations, tied = VARIANTS[request.param]
  config = T5Config(
    vocab_size=32,
    emb_dim=8,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=2,
    head_dim=4,
    mlp_dim=16,
    mlp_activations=activations,
    logits_via_embedding=tied,
  )
  ours = Transformer(config)
  params = init_params(ours, jax.random.key(0))
  jitter = jax.random.uniform(jax.random.key(1), (8,), minval=0.5, maxval=1.5)
  params = jax.tree.map(lambda x: x * jitter if x.ndim == 1 else x, params)
  return ours, _theirs(t5x, config), params


def _apply(module, **kwargs):
  return jax.jit(functools.partial(module.apply, **kwargs))


def _init(module, key):
  token = jnp.ones((1, 1), jnp.float32)
  return module.init(key, token, token, token, enable_dropout=False)


@pytest.mark.parametrize("size", PublishedSize)
def test_tree_and_axes_are_equal_at_every_published_size(size, t5x):
  config = published_config(size)
  ours = Transformer(config)
  theirs = jax.eval_shape(lambda: _init(_theirs(t5x, config), jax.random.key(0)))
  assert flatten_dict(param_shapes(ours)) == flatten_dict(theirs["params"])
  their_axes = get_axis_names(theirs["params_axes"])
  assert flatten_dict(param_axes(ours)) == flatten_dict(their_axes)


def test_the_same_key_gives_the_same_parameters(pair):
  ours, theirs, _ = pair
  key = jax.random.key(7)
  their_params = jax.jit(_init, static_argnums=0)(theirs, key)["params"]
  jax.tree.map(np.testing.assert_array_equal, init_params(ours, key), their_params)


@pytest.mark.parametrize("tokens", [TOKENS, UNPACKED], ids=["packed", "unpacked"])
def test_logits_are_equal(tokens, pair):
  ours, theirs, params = pair
  ours, theirs = (
    _apply(module, enable_dropout=False)({"params": params}, **tokens)
    for module in (ours, theirs)
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_the_same_dropout_key_gives_the_same_logits(pair):
  ours, theirs, params = pair
  rngs = {"dropout": jax.random.key(3)}
  ours, theirs = (
    _apply(module)({"params": params}, **TOKENS, rngs=rngs) for module in (ours, theirs)
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_gradients_are_equal(pair):
  def gradient(module):
    @jax.jit
    @jax.grad
    def run(params):
      logits = module.apply({"params": params}, **TOKENS, enable_dropout=False)
      return sum_losses(logits, TOKENS["decoder_target_tokens"], z_loss=1e-4).loss

    return run(params)

  ours, theirs, params = pair
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5),
    gradient(ours),
    gradient(theirs),
  )


def test_decoder_segments_alone_are_equal(pair):
  ours, theirs, params = pair
  tokens = {**UNPACKED, "decoder_segment_ids": TOKENS["decoder_segment_ids"]}
  ours, theirs = (
    _apply(module, enable_dropout=False)({"params": params}, **tokens)
    for module in (ours, theirs)
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def _decode_as_t5x_does(module, params):
  """The calls of t5x/models.py: _compute_kv_cache, then _compute_logits_from_slice."""
  inputs = TOKENS["encoder_input_tokens"]
  tokens = jnp.asarray([[0, 3, 4, 5], [0, 6, 7, 8]], jnp.int32)
  encoded = module.apply(
    {"params": params}, inputs, enable_dropout=False, method=module.encode
  )
  _, variables = module.apply(
    {"params": params},
    encoder_input_tokens=jnp.ones_like(inputs),
    decoder_input_tokens=jnp.ones_like(tokens),
    decoder_target_tokens=jnp.ones_like(tokens),
    mutable=["cache"],
    decode=True,
    enable_dropout=False,
  )
  one_step = _apply(
    module,
    enable_dropout=False,
    decode=True,
    max_decode_length=tokens.shape[1],
    mutable=["cache"],
    method=module.decode,
  )
  logits = []
  for step in range(tokens.shape[1]):
    flat_ids = tokens[:, step : step + 1]
    variables = {"params": params, "cache": variables["cache"]}
    step_logits, variables = one_step(variables, encoded, inputs, flat_ids, flat_ids)
    logits.append(step_logits)
  return jnp.concatenate(logits, axis=1), variables["cache"]


def test_decoding_through_the_cache_is_equal(pair):
  ours, theirs, params = pair
  our_logits, our_cache = _decode_as_t5x_does(ours, params)
  their_logits, their_cache = _decode_as_t5x_does(theirs, params)
  np.testing.assert_allclose(our_logits, their_logits, atol=1e-5, rtol=0)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=0),
    our_cache,
    their_cache,
  )


LONG = jax.random.randint(jax.random.key(5), (1, 300), 1, 32)


def test_logits_are_equal_beyond_the_last_distance_bucket(pair):
  ours, theirs, params = pair
  ours, theirs = (
    _apply(module, enable_dropout=False)({"params": params}, LONG, LONG, LONG)
    for module in (ours, theirs)
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("float32_attention_logits", [False, True])
def test_bfloat16_logits_are_equal(float32_attention_logits, t5x):
  config = T5Config(
    vocab_size=32,
    dtype=jnp.bfloat16,
    emb_dim=8,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=2,
    head_dim=4,
    mlp_dim=16,
    mlp_activations=("gelu", "linear"),
    float32_attention_logits=float32_attention_logits,
  )
  ours = Transformer(config)
  variables = {"params": init_params(ours, jax.random.key(0))}
  ours, theirs = (
    module.apply(variables, **TOKENS, enable_dropout=False)
    for module in (ours, _theirs(t5x, config))
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("normalizer", LossNormalizer)
def test_losses_are_equal(normalizer, label_smoothing, t5x):
  targets = TOKENS["decoder_target_tokens"]
  weights = jnp.asarray([[1, 1, 0, 1, 0], [1, 1, 1, 1, 0]], jnp.float32)
  logits = 5 * jax.random.normal(jax.random.key(0), (*targets.shape, 32))
  batch = {**TOKENS, "decoder_loss_weights": weights}
  factor, their_weights = t5x.losses.get_loss_normalizing_factor_and_weights(
    None if normalizer is LossNormalizer.NONE else normalizer.value, batch
  )
  theirs = t5x.losses.compute_weighted_cross_entropy(
    logits,
    targets,
    weights=their_weights,
    label_smoothing=label_smoothing,
    z_loss=1e-3,
    loss_normalizing_factor=factor,
  )
  sums = sum_losses(
    logits,
    targets,
    weights,
    TOKENS["decoder_segment_ids"],
    normalizer=normalizer,
    label_smoothing=label_smoothing,
    z_loss=1e-3,
  )
  ours = (sums.loss / sums.normalizer, sums.z_loss / sums.normalizer, sums.weight)
  np.testing.assert_allclose(ours, theirs, rtol=1e-5)
