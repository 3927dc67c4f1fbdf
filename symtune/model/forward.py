"""(network, parameters, batch) -> logits of the tokens that a loss may score."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.network import Decoder


class Scored(NamedTuple):
  """Target tokens with their logits.

  Attributes:
    logits: of each target.
    targets: token ids.
    weights: loss weights; 0 for padding.
    segment_ids: example of each target, 0 for padding.
  """

  logits: Float[Array, "batch scored vocab"]
  targets: Int[Array, "batch scored"]
  weights: Int[Array, "batch scored"]
  segment_ids: Int[Array, "batch scored"]


def score_batch(
  network: nn.Module, params: Any, batch: Mapping[str, jax.Array], key: jax.Array
) -> Scored:
  """Runs a network on a batch.

  Args:
    network: as in `symtune.train.step.train_step`.
    params: its parameters.
    batch: a `Batch`, or a `CausalBatch` for a decoder-only network.
    key: draws the dropout masks; decoder-only networks have no dropout.
  """
  if isinstance(network, Decoder):
    return _score_sequences(network, params, batch)
  logits = network.apply(
    {"params": params},
    batch["encoder_input_tokens"],
    batch["decoder_input_tokens"],
    batch["decoder_target_tokens"],
    encoder_segment_ids=batch["encoder_segment_ids"],
    decoder_segment_ids=batch["decoder_segment_ids"],
    encoder_positions=batch["encoder_positions"],
    decoder_positions=batch["decoder_positions"],
    enable_dropout=True,
    rngs={"dropout": key},
  )
  assert isinstance(logits, jax.Array)  # not a tuple: no collection is mutable
  return Scored(
    logits=logits,
    targets=batch["decoder_target_tokens"],
    weights=batch["decoder_loss_weights"],
    segment_ids=batch["decoder_segment_ids"],
  )


def _score_sequences(
  network: Decoder, params: Any, batch: Mapping[str, jax.Array]
) -> Scored:
  """Logits of the scored slots alone: with a large vocabulary, they cost the most."""
  slots = batch["scored_slots"]
  places = jnp.maximum(slots, 0)
  is_prefix = None
  if network.config.attention is PromptAttention.PREFIX:
    is_prefix = batch["decoder_causal_attention"] > 0
  logits = network.apply(
    {"params": params},
    batch["decoder_input_tokens"],
    batch["decoder_segment_ids"],
    batch["decoder_positions"],
    is_prefix=is_prefix,
    select=places,
  )
  assert isinstance(logits, jax.Array)

  def of_scored(name: str) -> jax.Array:
    taken = jnp.take_along_axis(batch[name], places, axis=1)
    return jnp.where(slots < 0, 0, taken)

  return Scored(
    logits=logits,
    targets=of_scored("decoder_target_tokens"),
    weights=of_scored("decoder_loss_weights"),
    segment_ids=of_scored("decoder_segment_ids"),
  )
