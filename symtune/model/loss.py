"""Token cross-entropy with z-loss, as sums and counts.

Losses are in nats. Sums of micro-batches and hosts are added up first, and the mean is
taken once, at the end. Definitions follow t5x/losses.py.
"""

import enum

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Num

from symtune.errors import SymtuneError


class LossNormalizer(enum.StrEnum):
  """What the summed loss is divided by (T5X: loss_normalizing_factor).

  Attributes:
    NONE: Nothing; T5X's default (None), which suits scale-invariant Adafactor.
    NUM_REAL_TARGET_TOKENS: Sum of loss weights, or number of non-padding targets.
    NUM_TOTAL_TARGET_TOKENS: Rows times length, padding included.
    AVERAGE_PER_SEQUENCE: Number of examples; the weights of each example are first
      divided by their sum, so that all examples count the same, whatever their length.
  """

  NONE = "none"
  NUM_REAL_TARGET_TOKENS = "num_real_target_tokens"
  NUM_TOTAL_TARGET_TOKENS = "num_total_target_tokens"
  AVERAGE_PER_SEQUENCE = "average_per_sequence"


@struct.dataclass
class LossSums:
  """Sums of one batch; add them up over batches, then divide.

  Attributes:
    loss: Sum over tokens of weight * (cross-entropy + z-loss), in nats.
    z_loss: The part of `loss` that is z-loss.
    weight: Sum of weights.
    normalizer: What to divide by: the gradient used is that of loss / normalizer.
  """

  loss: Float[Array, ""]
  z_loss: Float[Array, ""]
  weight: Float[Array, ""]
  normalizer: Float[Array, ""]


def token_cross_entropy(
  logits: Float[Array, "batch length vocab"],
  targets: Int[Array, "batch length"],
  *,
  label_smoothing: float = 0.0,
  z_loss: float = 0.0,
) -> tuple[Float[Array, "batch length"], Float[Array, "batch length"]]:
  """Loss of each target token, in nats, padding included.

  With p the softmax of the logits and Z its normalising constant:

    loss = -sum_v q(v) log p(v) - H(q) + z_loss * log(Z)^2

  where q is 1 - label_smoothing at the target and shared evenly elsewhere, and H(q) is
  its entropy, so that a perfect prediction costs 0. Source: t5x/losses.py,
  compute_weighted_cross_entropy.

  Args:
    logits: Scores before the softmax; computed in float32.
    targets: Token ids.
    label_smoothing: Share given to the other tokens, in [0, 1).
    z_loss: Factor of log(Z)^2, which keeps logits near log-probabilities; T5X: 1e-4.

  Returns:
    The loss, and its z-loss part.

  Raises:
    SymtuneError: label_smoothing is out of range.
  """
  if not 0.0 <= label_smoothing < 1.0:
    raise SymtuneError(f"label_smoothing is {label_smoothing!r}; expected 0 <= x < 1.")
  logits = logits.astype(jnp.float32)
  log_z = jax.nn.logsumexp(logits, axis=-1)
  # A masked sum instead of a look-up also works if `vocab` is sharded over a mesh.
  is_target = targets[:, :, None] == jnp.arange(logits.shape[-1])[None, None, :]
  target_logit = jnp.sum(jnp.where(is_target, logits, 0.0), axis=-1)
  loss = log_z - target_logit
  if label_smoothing > 0.0:
    loss = _smoothed(loss, logits, log_z, label_smoothing)
  penalty = z_loss * jnp.square(log_z)
  return loss + penalty, penalty


def _smoothed(loss, logits, log_z, label_smoothing: float):
  """Cross-entropy against the smoothed target, minus that target's entropy."""
  vocab_size = logits.shape[-1]
  high = 1.0 - label_smoothing
  low = label_smoothing / max(vocab_size - 1, 1)
  entropy = -(
    high * jnp.log(jnp.float32(high))
    + (vocab_size - 1) * low * jnp.log(jnp.float32(low + 1e-20))
  )
  # sum_v -log p(v); each token has weight `low`, but the target has weight `high`.
  total = vocab_size * log_z - jnp.sum(logits, axis=-1)
  return (high - low) * loss + low * total - entropy


def loss_weights(
  targets: Int[Array, "batch length"],
  weights: Num[Array, "batch length"] | None = None,
  segment_ids: Int[Array, "batch length"] | None = None,
  *,
  normalizer: LossNormalizer,
) -> tuple[Float[Array, "batch length"], Float[Array, ""]]:
  """Returns the weights of the targets and the divisor of the summed loss.

  Args:
    targets: Token ids, 0 for padding.
    weights: Loss weights of the batch; None: 1 for each non-padding target.
    segment_ids: Example of each target; None: one example per row.
    normalizer: What to divide by.

  Returns:
    Weights, and the divisor.
  """
  if weights is None:
    weights = targets > 0
  weights = weights.astype(jnp.float32)
  if normalizer is LossNormalizer.NONE:
    return weights, jnp.float32(1.0)
  if normalizer is LossNormalizer.NUM_TOTAL_TARGET_TOKENS:
    return weights, jnp.float32(targets.size)
  if normalizer is LossNormalizer.AVERAGE_PER_SEQUENCE:
    weights = _weights_per_example(weights, segment_ids)
  return weights, jnp.sum(weights)


def _weights_per_example(
  weights: Float[Array, "batch length"], segment_ids: Int[Array, "batch length"] | None
) -> Float[Array, "batch length"]:
  """Divides weights by their sum over the example, so that each example sums to 1.

  weights     1 1 0 1 1 1 0   ->  1/2 1/2 0  1/3 1/3 1/3  0
  segment_ids 1 1 1 2 2 2 0
  """
  if segment_ids is None:
    sums = jnp.sum(weights, axis=1, keepdims=True)
  else:
    same = segment_ids[:, :, None] == segment_ids[:, None, :]
    sums = jnp.sum(jnp.where(same, weights[:, None, :], 0.0), axis=2)
  return jnp.where(sums > 0, weights / jnp.where(sums > 0, sums, 1.0), 0.0)


def sum_losses(
  logits: Float[Array, "batch length vocab"],
  targets: Int[Array, "batch length"],
  weights: Num[Array, "batch length"] | None = None,
  segment_ids: Int[Array, "batch length"] | None = None,
  *,
  normalizer: LossNormalizer = LossNormalizer.NONE,
  label_smoothing: float = 0.0,
  z_loss: float = 0.0,
) -> LossSums:
  """Computes the loss of a batch as T5X's EncoderDecoderModel.loss_fn defines it.

  Args:
    logits: Output of the network.
    targets: decoder_target_tokens, 0 for padding.
    weights: decoder_loss_weights; None: 1 for each non-padding target.
    segment_ids: decoder_segment_ids; used by AVERAGE_PER_SEQUENCE only.
    normalizer: What to divide by.
    label_smoothing: See `token_cross_entropy`.
    z_loss: See `token_cross_entropy`.

  Returns:
    Sums and counts.

  Raises:
    SymtuneError: label_smoothing is out of range.
  """
  loss, penalty = token_cross_entropy(
    logits, targets, label_smoothing=label_smoothing, z_loss=z_loss
  )
  weights, divisor = loss_weights(targets, weights, segment_ids, normalizer=normalizer)
  return LossSums(
    loss=jnp.sum(loss * weights),
    z_loss=jnp.sum(penalty * weights),
    weight=jnp.sum(weights),
    normalizer=divisor,
  )
