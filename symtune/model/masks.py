"""Which position may look at which: padding, causal and packing masks.

Every mask is boolean, [batch, 1, q_length, k_length]; all heads share the axis of
size 1. In the drawings a row is a query position, a column is a key position, and 1
means that the query may attend to the key. Token id 0 is padding.

A packed row holds several examples one after another; segment ids tell them apart:

  tokens       7 8 9 4 5 0
  segment_ids  1 1 1 2 2 0
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def padding_mask(
  q_tokens: Int[Array, "batch q_length"], k_tokens: Int[Array, "batch k_length"]
) -> Bool[Array, "batch 1 q_length k_length"]:
  """Positions that are not padding attend to each other.

  q_tokens = [5, 6, 0], k_tokens = [7, 8, 9, 0]:

    1 1 1 0
    1 1 1 0
    0 0 0 0

  Args:
    q_tokens: Token ids of the queries.
    k_tokens: Token ids of the keys.

  Returns:
    The mask.
  """
  return ((q_tokens > 0)[:, :, None] & (k_tokens > 0)[:, None, :])[:, None, :, :]


def causal_mask(length: int) -> Bool[Array, "1 1 {length} {length}"]:
  """A position attends to itself and to earlier positions.

  length = 3:

    1 0 0
    1 1 0
    1 1 1

  Args:
    length: Number of tokens in a row.

  Returns:
    The mask, the same for every row of the batch.
  """
  position = jnp.arange(length)
  return (position[:, None] >= position[None, :])[None, None, :, :]


def segment_mask(
  q_segment_ids: Int[Array, "batch q_length"],
  k_segment_ids: Int[Array, "batch k_length"],
) -> Bool[Array, "batch 1 q_length k_length"]:
  """A position attends to its own example only.

  q_segment_ids = [1, 2, 2], k_segment_ids = [1, 1, 2, 3]:

    1 1 0 0
    0 0 1 0
    0 0 1 0

  Args:
    q_segment_ids: Example of each query position.
    k_segment_ids: Example of each key position.

  Returns:
    The mask. Padding (segment 0) attends to padding: combine with `padding_mask`.
  """
  same = q_segment_ids[:, :, None] == k_segment_ids[:, None, :]
  return same[:, None, :, :]


def encoder_mask(
  tokens: Int[Array, "batch length"],
  segment_ids: Int[Array, "batch length"] | None = None,
) -> Bool[Array, "batch 1 length length"]:
  """Self-attention of the encoder: padding and packing.

  tokens = [7, 8, 9, 4, 5, 0], segment_ids = [1, 1, 1, 2, 2, 0]:

    1 1 1 0 0 0
    1 1 1 0 0 0
    1 1 1 0 0 0
    0 0 0 1 1 0
    0 0 0 1 1 0
    0 0 0 0 0 0

  Args:
    tokens: Encoder input tokens.
    segment_ids: Example of each token; None when rows are not packed.

  Returns:
    The mask.
  """
  mask = padding_mask(tokens, tokens)
  return mask if segment_ids is None else mask & segment_mask(segment_ids, segment_ids)


def decoder_mask(
  target_tokens: Int[Array, "batch length"],
  segment_ids: Int[Array, "batch length"] | None = None,
) -> Bool[Array, "batch 1 length length"]:
  """Self-attention of the decoder: padding, order and packing.

  target_tokens = [7, 8, 9, 4, 5, 0], segment_ids = [1, 1, 1, 2, 2, 0]:

    1 0 0 0 0 0
    1 1 0 0 0 0
    1 1 1 0 0 0
    0 0 0 1 0 0
    0 0 0 1 1 0
    0 0 0 0 0 0

  Args:
    target_tokens: Decoder targets, not inputs, whose start token is 0 like padding.
    segment_ids: Example of each token; None when rows are not packed.

  Returns:
    The mask.
  """
  return causal_mask(target_tokens.shape[1]) & encoder_mask(target_tokens, segment_ids)


def cross_mask(
  target_tokens: Int[Array, "batch dec_length"],
  encoder_tokens: Int[Array, "batch enc_length"],
  decoder_segment_ids: Int[Array, "batch dec_length"] | None = None,
  encoder_segment_ids: Int[Array, "batch enc_length"] | None = None,
) -> Bool[Array, "batch 1 dec_length enc_length"]:
  """Attention of the decoder to the encoder: padding and packing.

  target_tokens = [3, 1, 4, 0], encoder_tokens = [7, 8, 9, 4, 0],
  decoder_segment_ids = [1, 1, 2, 0], encoder_segment_ids = [1, 1, 1, 2, 0]:

    1 1 1 0 0
    1 1 1 0 0
    0 0 0 1 0
    0 0 0 0 0

  Args:
    target_tokens: Decoder targets.
    encoder_tokens: Encoder inputs.
    decoder_segment_ids: Example of each target. Ignored if encoder_segment_ids is None:
      then all decoder segments read the same encoder row (score.py relies on this).
    encoder_segment_ids: Example of each encoder token.

  Returns:
    The mask.
  """
  mask = padding_mask(target_tokens, encoder_tokens)
  if encoder_segment_ids is None or decoder_segment_ids is None:
    return mask
  return mask & segment_mask(decoder_segment_ids, encoder_segment_ids)
