"""What a step costs: activations kept for the backward pass, and operations."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from symtune.experiment.recipe import Recipe
from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig
from symtune.model.forward import score_batch
from symtune.model.loss import sum_losses
from symtune.model.networks import Config, make_network, param_shapes

_T5_FEATURES = {
  "encoder": ("input_tokens", "segment_ids", "positions"),
  "decoder": (
    *("input_tokens", "target_tokens", "loss_weights"),
    *("segment_ids", "positions"),
  ),
}
_DECODER_FEATURES = (*_T5_FEATURES["decoder"], "causal_attention")


def local_config(config: Config, model_devices: int) -> Config:
  """The network with one device's share of heads, mlp and vocabulary."""
  share = {
    "num_heads": config.num_heads // model_devices,
    "mlp_dim": config.mlp_dim // model_devices,
    "vocab_size": config.vocab_size // model_devices,
  }
  if isinstance(config, DecoderConfig):
    share["num_kv_heads"] = config.num_kv_heads // model_devices
  return dataclasses.replace(config, **share)


@functools.cache
def row_activation_bytes(config: Config, input_length: int, target_length: int) -> int:
  """Bytes that one packed row keeps for the backward pass.

  Args:
    config: the network of one device.
    input_length: input slots of a packed row; for a decoder-only model, all slots.
    target_length: target slots of a packed row; for a decoder-only model, the slots
      that may be scored.
  """

  def of_one_row(shallow: Config) -> int:
    one, two = (
      _residual_bytes(shallow, rows, input_length, target_length) for rows in (1, 2)
    )
    return two - one  # parameters do not grow with rows; they are counted elsewhere

  # The layers of a stack are alike, so shallow networks show what each one adds.
  if isinstance(config, DecoderConfig):
    base = of_one_row(_shallow_decoder(config, 1))
    per_layer = of_one_row(_shallow_decoder(config, 2)) - base
    return base + (config.num_layers - 1) * per_layer
  base = of_one_row(_shallow_t5(config, 1, 1))
  per_encoder = of_one_row(_shallow_t5(config, 2, 1)) - base
  per_decoder = of_one_row(_shallow_t5(config, 1, 2)) - base
  return (
    base
    + (config.num_encoder_layers - 1) * per_encoder
    + (config.num_decoder_layers - 1) * per_decoder
  )


def _shallow_t5(config: T5Config, encoder: int, decoder: int) -> T5Config:
  return dataclasses.replace(
    config, num_encoder_layers=encoder, num_decoder_layers=decoder
  )


def _shallow_decoder(config: DecoderConfig, layers: int) -> DecoderConfig:
  """Windows change masks only, so the layers count as alike."""
  return dataclasses.replace(
    config, num_layers=layers, window=None, windowed_layers=(), window_rotary=None
  )


def _residual_bytes(
  config: Config, rows: int, input_length: int, target_length: int
) -> int:
  network = make_network(config)
  batch = _batch_shapes(config, rows, input_length, target_length)

  def pullback(params, batch):
    def loss(params):
      scored = score_batch(network, params, batch, jax.random.key(0))
      return sum_losses(scored.logits, scored.targets, scored.weights).loss

    return jax.vjp(loss, params)[1]

  return tree_bytes(jax.eval_shape(pullback, param_shapes(network), batch))


def _batch_shapes(
  config: Config, rows: int, input_length: int, target_length: int
) -> dict[str, jax.ShapeDtypeStruct]:
  """The shapes of a batch's features."""
  inputs = jax.ShapeDtypeStruct((rows, input_length), jnp.int32)
  targets = jax.ShapeDtypeStruct((rows, target_length), jnp.int32)
  if isinstance(config, DecoderConfig):
    features = {f"decoder_{name}": inputs for name in _DECODER_FEATURES}
    return {**features, "scored_slots": targets}
  sides = {"encoder": inputs, "decoder": targets}
  return {
    f"{side}_{name}": shape
    for side, shape in sides.items()
    for name in _T5_FEATURES[side]
  }


def step_flops(recipe: Recipe, shapes: Any) -> float:
  """Multiplications and additions of one step; backward costs twice the forward pass.

  Dense layers cost 2 per parameter and token, attention 4 per pair of tokens and unit
  of inner width (logits and weighted sum); other work is left out. Frozen parameters
  count like trained ones.

  Args:
    recipe: network and batches.
    shapes: of the parameters.
  """
  batches, model = recipe.mixture.batches, recipe.model
  inputs, targets = batches.input_length, batches.target_length
  dense = 0.0
  for keys, shape in jax.tree_util.tree_leaves_with_path(shapes):
    path = tuple(key.key for key in keys)
    if path[-1] == "kernel":
      slots = _dense_slots(model, path, inputs, targets)
      dense += 2.0 * math.prod(shape.shape) * slots
  if model.logits_via_embedding:
    dense += 2.0 * model.vocab_size * model.emb_dim * targets
  if isinstance(model, DecoderConfig):
    pairs = model.num_layers * inputs * inputs
  else:
    pairs = model.num_encoder_layers * inputs * inputs
    pairs += model.num_decoder_layers * targets * (targets + inputs)
  attention = 4.0 * pairs * model.num_heads * model.head_dim
  return 3.0 * batches.batch_size * (dense + attention)


def _dense_slots(
  model: Config, path: tuple[str, ...], inputs: int, targets: int
) -> int:
  """The number of slots of a packed row that a dense layer is applied to."""
  if isinstance(model, DecoderConfig):
    return targets if path[0] == "logits_dense" else inputs
  reads_encoder = "encoder_decoder_attention" in path and path[-2] in ("key", "value")
  return inputs if path[0] == "encoder" or reads_encoder else targets


def tree_bytes(tree: Any) -> int:
  """Bytes of a tree of arrays or shapes."""
  leaves = jax.tree.leaves(tree)
  return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
