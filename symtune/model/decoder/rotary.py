"""Rotary positions: queries and keys are rotated by angles that grow with position.

The first `rotated_width` numbers of a head are taken as pairs (i, i + width / 2), as in
Transformers and GPT-NeoX; Llama's own code pairs neighbours, and its checkpoints are
permuted for Transformers accordingly.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from symtune.model.decoder.config import Rotary, RotaryScaling, rotated_width


class Rotation(NamedTuple):
  """Cosine and sine of every angle: one per position and pair of numbers.

  Attributes:
    cos: Cosines, float32.
    sin: Sines, float32.
  """

  cos: Float32[Array, "batch length pairs"]
  sin: Float32[Array, "batch length pairs"]


def frequencies(rotary: Rotary, head_dim: int) -> Float32[np.ndarray, " pairs"]:
  """The angle per position of each pair, from the fastest to the slowest.

  Source: transformers/modeling_rope_utils.py, whose float32 arithmetic is kept, since a
  position of 100,000 multiplies its rounding; for LLAMA3 also Llama's own
  llama/model.py, apply_scaling.

  Args:
    rotary: Settings of the rotations.
    head_dim: Width of one head.

  Returns:
    Radians per position.
  """
  width = rotated_width(head_dim, rotary)
  exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
  plain = np.float32(1.0) / np.float32(rotary.base) ** exponents
  if rotary.scaling is RotaryScaling.NONE:
    return plain
  slow = plain / np.float32(rotary.factor)
  if rotary.scaling is RotaryScaling.LINEAR:
    return slow
  wavelengths = np.float32(2 * math.pi) / plain
  # 0 for long waves, 1 for short ones, and in between for those in between.
  kept = (rotary.original_length / wavelengths - rotary.low_frequency) / (
    rotary.high_frequency - rotary.low_frequency
  )
  kept = np.clip(kept, 0.0, 1.0).astype(np.float32)
  return (1 - kept) * slow + kept * plain


def rotation(
  positions: Int[Array, "batch length"], rotary: Rotary, head_dim: int
) -> Rotation:
  """The rotations of the tokens at these positions.

  Args:
    positions: Position of each token in its own example.
    rotary: Settings of the rotations.
    head_dim: Width of one head.

  Returns:
    Their cosines and sines.
  """
  speeds = jnp.asarray(frequencies(rotary, head_dim))[None, None, :]
  angles = positions.astype(jnp.float32)[:, :, None] * speeds
  return Rotation(cos=jnp.cos(angles), sin=jnp.sin(angles))


def rotate(
  x: Float[Array, "batch length heads kv"], by: Rotation
) -> Float[Array, "batch length heads kv"]:
  """Rotates the first numbers of each head; the others stay as they are.

  Args:
    x: Queries or keys.
    by: The rotation of each position.

  Returns:
    The same type as `x`, computed in float32.
  """
  pairs = by.cos.shape[-1]
  cos, sin = by.cos[:, :, None, :], by.sin[:, :, None, :]
  left = x[..., :pairs].astype(jnp.float32)
  right = x[..., pairs : 2 * pairs].astype(jnp.float32)
  rotated = (left * cos - right * sin, right * cos + left * sin)
  parts = [part.astype(x.dtype) for part in rotated]
  return jnp.concatenate([*parts, x[..., 2 * pairs :]], axis=-1)
