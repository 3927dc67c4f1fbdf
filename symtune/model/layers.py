"""The small parts of the network: norm, dense layer, MLP, embedding, relative bias.

Parameters are float32. The names of their axes are in the `params_axes` collection,
where T5X's partitioner and Adafactor look for them
(flax.linen.partitioning.param_with_axes). Names, shapes and numerics follow
t5x/examples/t5/layers.py: equal keys give the parameters and dropout masks of T5X.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.partitioning import param_with_axes
from flax.linen.spmd import with_logical_constraint
from jaxtyping import Array, Float, Int

from symtune.model import axes
from symtune.model.config import ACTIVATIONS

Initializer = Callable[..., jax.Array]

NUM_BUCKETS = 32
MAX_DISTANCE = 128


class RMSNorm(nn.Module):
  """Divides by the root mean square over `embed`, then scales; no centring, no bias.

  Attributes:
    dtype: Type of the output. The statistics are always float32.
    epsilon: Added to the mean square.
  """

  dtype: Any = jnp.float32
  epsilon: float = 1e-6

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch length embed"]
  ) -> Float[Array, "batch length embed"]:
    """Normalises each position on its own."""
    x = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    y = (x * jax.lax.rsqrt(mean_square + self.epsilon)).astype(self.dtype)
    scale = param_with_axes(
      "scale", nn.initializers.ones, (x.shape[-1],), jnp.float32, axes=(axes.EMBED,)
    )
    return y * scale.astype(self.dtype)[None, None, :]


class Dense(nn.Module):
  """A linear layer without bias on the last axis.

  Attributes:
    features: Width of the output.
    kernel_axes: Logical axes of the kernel, (input, output).
    dtype: Type of the computation.
    kernel_init: Initialiser of the kernel.
  """

  features: int
  kernel_axes: tuple[str, str]
  dtype: Any = jnp.float32
  kernel_init: Initializer = nn.initializers.variance_scaling(
    1.0, "fan_in", "truncated_normal"
  )

  def __call__(
    self, x: Float[Array, "batch length inputs"]
  ) -> Float[Array, "batch length outputs"]:
    """Computes one matrix product, [batch * length, inputs] x [inputs, outputs]."""
    batch, length, inputs = x.shape
    # With two batch axes the forward pass would be the same, but XLA's backward pass on
    # a CPU is 1.7 times slower.
    x_2d = x.astype(self.dtype).reshape(batch * length, inputs)
    y_2d = x_2d @ self.kernel(inputs)
    return y_2d.reshape(batch, length, self.features)

  @nn.compact
  def kernel(self, inputs: int) -> Float[Array, "inputs outputs"]:
    """The kernel, in the type of the computation."""
    kernel = param_with_axes(
      "kernel",
      self.kernel_init,
      (inputs, self.features),
      jnp.float32,
      axes=self.kernel_axes,
    )
    return kernel.astype(self.dtype)


class MLP(nn.Module):
  """Feed-forward layer; gated when there are several activations.

  Attributes:
    mlp_dim: Width of the hidden layer.
    activations: Names from config.ACTIVATIONS; their outputs are multiplied.
    dropout_rate: Dropout of the hidden layer, one mask for all positions of a row.
    dtype: Type of the computation.
  """

  mlp_dim: int
  activations: Sequence[str]
  dropout_rate: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch length embed"], *, deterministic: bool
  ) -> Float[Array, "batch length embed"]:
    """Applies the layer to each position on its own."""
    gates = []
    for i, activation in enumerate(self.activations):
      name = "wi" if len(self.activations) == 1 else f"wi_{i}"
      gate = Dense(self.mlp_dim, (axes.EMBED, axes.MLP), self.dtype, name=name)(x)
      gates.append(ACTIVATIONS[activation](gate))
    hidden = functools.reduce(operator.mul, gates)
    hidden = nn.Dropout(self.dropout_rate, broadcast_dims=(-2,))(
      hidden, deterministic=deterministic
    )
    hidden = with_logical_constraint(hidden, (axes.BATCH, axes.LENGTH, axes.MLP))
    return Dense(x.shape[-1], (axes.MLP, axes.EMBED), self.dtype, name="wo")(hidden)


class Embed(nn.Module):
  """Token ids to vectors, and back to logits when the output layer is tied.

  Attributes:
    vocab_size: Rows of the table.
    emb_dim: Width of a row.
    dtype: Type of the vectors.
  """

  vocab_size: int
  emb_dim: int
  dtype: Any = jnp.float32

  def setup(self):  # noqa: D102
    self.embedding = param_with_axes(
      "embedding",
      nn.initializers.normal(stddev=1.0),
      (self.vocab_size, self.emb_dim),
      jnp.float32,
      axes=(axes.VOCAB, axes.EMBED),
    )

  def __call__(
    self, tokens: Int[Array, "batch length"]
  ) -> Float[Array, "batch length embed"]:
    """Looks up the tokens; an id outside the table gives NaN, never a wrong row."""
    # Cast after the look-up: a token's gradient is a sum over all its positions, and
    # that sum should be float32. A one-hot product, as in T5X, gives the same values
    # but costs as much as a second output layer.
    rows = jnp.take(self.embedding, tokens, axis=0).astype(self.dtype)
    return with_logical_constraint(rows, (axes.BATCH, axes.LENGTH, axes.EMBED))

  def attend(
    self, x: Float[Array, "batch length embed"]
  ) -> Float[Array, "batch length vocab"]:
    """Dot products with every row of the table, in float32."""
    batch, length, embed = x.shape
    x_2d = x.astype(jnp.float32).reshape(batch * length, embed)
    table = self.embedding.astype(jnp.float32)
    return (x_2d @ table.T).reshape(batch, length, self.vocab_size)


def relative_position_bucket(
  distance: Int[np.ndarray, "*shape"], *, bidirectional: bool
) -> Int[np.ndarray, "*shape"]:
  """Puts a distance between two positions into one of 32 buckets.

  Each small distance has its own bucket. Larger ones share buckets, which widen
  logarithmically up to a distance of 128; all distances beyond share the last bucket.
  With bidirectional=True, half of the buckets are for positions ahead:

    distance        -200 -9 -8 -3 -2 -1  0  1  2   8  200
    bidirectional     15  8  8  3  2  1  0 17 18  24   31
    causal            31  9  8  3  2  1  0  0  0   0    0

  Source: T5 paper (Raffel et al., 2020), section 2.1; t5x/examples/t5/layers.py,
  RelativePositionBiases, whose float32 epsilon inside the logarithm is kept.

  Args:
    distance: Position of the key minus position of the query.
    bidirectional: Whether positions ahead are visible (encoder).

  Returns:
    Bucket numbers, int32, from 0 to 31.
  """
  num_buckets = NUM_BUCKETS // 2 if bidirectional else NUM_BUCKETS
  back = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
  num_exact = num_buckets // 2
  octave = np.log(
    back.astype(np.float32) / np.float32(num_exact) + np.finfo(np.float32).eps
  ) / np.log(MAX_DISTANCE / num_exact)
  shared = num_exact + (octave * (num_buckets - num_exact)).astype(np.int32)
  bucket = np.where(back < num_exact, back, np.minimum(shared, num_buckets - 1))
  ahead = num_buckets * (distance > 0) if bidirectional else 0
  return (bucket + ahead).astype(np.int32)


class RelativeBias(nn.Module):
  """A learned number for each head and distance bucket, added to attention logits.

  Attributes:
    num_heads: Attention heads.
    dtype: Type of the bias.
  """

  num_heads: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, length: int, *, bidirectional: bool
  ) -> Float[Array, "1 heads {length} {length}"]:
    """Builds the bias of every pair of positions in a row.

    Args:
      length: Number of tokens in a row.
      bidirectional: Whether positions ahead are visible (encoder).

    Returns:
      The bias, the same for every row of the batch.
    """
    rel_embedding = param_with_axes(
      "rel_embedding",
      nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
      (self.num_heads, NUM_BUCKETS),
      jnp.float32,
      axes=(axes.HEADS, axes.RELPOS_BUCKETS),
    ).astype(self.dtype)
    # NumPy computes one bucket per distance; the device builds the [length, length]
    # array of pairs, so that it is not a large constant in the compiled program.
    distances = np.arange(1 - length, length, dtype=np.int32)
    buckets = relative_position_bucket(distances, bidirectional=bidirectional)
    position = jnp.arange(length)
    pair = position[None, :] - position[:, None] + (length - 1)
    bucket = jnp.asarray(buckets)[pair].reshape(1, length * length)
    # The gradient of a product with one-hot columns is a product too; the gradient of a
    # look-up would add a million numbers into 32 buckets one by one.
    one_hot = (bucket == jnp.arange(NUM_BUCKETS)[:, None]).astype(self.dtype)
    bias = rel_embedding @ one_hot
    return bias.reshape(1, self.num_heads, length, length)
