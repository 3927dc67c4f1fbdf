"""The small parts of the network: norm, linear layer, MLP, embedding.

Parameters are float32. The names of their axes are in the `params_axes` collection, as
in `symtune.model.layers`, and the words are those of `symtune.model.axes`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.partitioning import param_with_axes
from flax.linen.spmd import with_logical_constraint
from jaxtyping import Array, Float, Int

from symtune.model import axes
from symtune.model.decoder.config import Activation, DecoderConfig, Norm

# transformers: initializer_range of GPT-2, Llama, Mistral, Qwen, Gemma and GPT-NeoX.
_INIT = nn.initializers.normal(stddev=0.02)

ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
  Activation.SILU: nn.silu,
  Activation.GELU: functools.partial(nn.gelu, approximate=False),
  Activation.GELU_TANH: functools.partial(nn.gelu, approximate=True),
  Activation.RELU: nn.relu,
}


class Normalize(nn.Module):
  """Normalises vectors along their last axis; the statistics are float32.

  Attributes:
    config: Settings of the network; `norm` says how.
    axis: Logical name of the last axis.
  """

  config: DecoderConfig
  axis: str = axes.EMBED

  @nn.compact
  def __call__(self, x: Float[Array, "*places width"]) -> Float[Array, "*places width"]:
    """Normalises each vector on its own."""
    cfg = self.config
    y = x.astype(jnp.float32)
    if cfg.norm is Norm.LAYER:
      y = y - jnp.mean(y, axis=-1, keepdims=True)
    mean_square = jnp.mean(jnp.square(y), axis=-1, keepdims=True)
    y = y * jax.lax.rsqrt(mean_square + cfg.norm_epsilon)
    is_around_one = cfg.norm is Norm.RMS_PLUS_ONE
    start = nn.initializers.zeros if is_around_one else nn.initializers.ones
    scale = self._weight("scale", start, x)
    if cfg.norm is Norm.RMS:  # Llama rounds before it scales, the others after
      return y.astype(cfg.dtype) * scale.astype(cfg.dtype)
    y = y * (1.0 + scale if is_around_one else scale)
    if cfg.norm is Norm.LAYER:
      y = y + self._weight("bias", nn.initializers.zeros, x)
    return y.astype(cfg.dtype)

  def _weight(self, name: str, start: Callable[..., jax.Array], x: jax.Array):
    """A number for each place of the last axis, with as many axes as `x`."""
    width = x.shape[-1]
    weight = param_with_axes(name, start, (width,), jnp.float32, axes=(self.axis,))
    return weight.astype(jnp.float32).reshape((1,) * (x.ndim - 1) + (width,))


class Linear(nn.Module):
  """A linear layer on the last axis, with or without a bias.

  Attributes:
    features: Width of the output.
    kernel_axes: Logical axes of the kernel, (input, output).
    has_bias: Whether a bias is added.
    dtype: Type of the computation.
  """

  features: int
  kernel_axes: tuple[str, str]
  has_bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch length inputs"]
  ) -> Float[Array, "batch length outputs"]:
    """Computes one matrix product, [batch * length, inputs] x [inputs, outputs]."""
    batch, length, inputs = x.shape
    kernel = param_with_axes(
      "kernel", _INIT, (inputs, self.features), jnp.float32, axes=self.kernel_axes
    )
    # Two batch axes would slow down XLA's backward pass; see symtune.model.layers.
    x_2d = x.astype(self.dtype).reshape(batch * length, inputs)
    y_2d = x_2d @ kernel.astype(self.dtype)
    if self.has_bias:
      bias = param_with_axes(
        "bias",
        nn.initializers.zeros,
        (self.features,),
        jnp.float32,
        axes=self.kernel_axes[1:],
      )
      y_2d = y_2d + bias.astype(self.dtype)[None, :]
    return y_2d.reshape(batch, length, self.features)


class MLP(nn.Module):
  """Feed-forward layer.

  Attributes:
    config: Settings of the network.
  """

  config: DecoderConfig

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch length embed"]
  ) -> Float[Array, "batch length embed"]:
    """Applies the layer to each position on its own."""
    cfg = self.config
    activate = ACTIVATIONS[cfg.activation]
    if cfg.is_gated:
      hidden = activate(self._widen("wi_0")(x)) * self._widen("wi_1")(x)
    else:
      hidden = activate(self._widen("wi")(x))
    hidden = with_logical_constraint(hidden, (axes.BATCH, axes.LENGTH, axes.MLP))
    kernel_axes = (axes.MLP, axes.EMBED)
    return Linear(cfg.emb_dim, kernel_axes, cfg.has_mlp_bias, cfg.dtype, name="wo")(
      hidden
    )

  def _widen(self, name: str) -> Linear:
    cfg = self.config
    kernel_axes = (axes.EMBED, axes.MLP)
    return Linear(cfg.mlp_dim, kernel_axes, cfg.has_mlp_bias, cfg.dtype, name=name)


class Embed(nn.Module):
  """Token ids to vectors, and back to logits when the output layer is tied.

  Attributes:
    rows: Rows of the table.
    row_axis: Logical name of the table's first axis.
    emb_dim: Width of a row.
    dtype: Type of the vectors.
  """

  rows: int
  row_axis: str
  emb_dim: int
  dtype: Any = jnp.float32

  def setup(self):  # noqa: D102
    self.embedding = param_with_axes(
      "embedding",
      _INIT,
      (self.rows, self.emb_dim),
      jnp.float32,
      axes=(self.row_axis, axes.EMBED),
    )

  def __call__(
    self, ids: Int[Array, "batch length"]
  ) -> Float[Array, "batch length embed"]:
    """Looks up the ids; one outside the table gives NaN, never a wrong row."""
    # Negative ids would count from the end of the table.
    ids = jnp.where(ids < 0, self.rows, ids)
    rows = jnp.take(self.embedding, ids, axis=0).astype(self.dtype)
    return with_logical_constraint(rows, (axes.BATCH, axes.LENGTH, axes.EMBED))

  def attend(
    self, x: Float[Array, "batch length embed"]
  ) -> Float[Array, "batch length vocab"]:
    """Dot products with every row of the table, as float32."""
    return project(x, self.embedding.T, self.dtype)


def project(
  x: Float[Array, "batch length embed"], kernel: Float[Array, "embed vocab"], dtype: Any
) -> Float[Array, "batch length vocab"]:
  """Logits: products of numbers in `dtype`, summed up and returned in float32."""
  batch, length, embed = x.shape
  x_2d = x.astype(dtype).reshape(batch * length, embed)
  logits = jnp.matmul(x_2d, kernel.astype(dtype), preferred_element_type=jnp.float32)
  return logits.reshape(batch, length, kernel.shape[1])


class Output(nn.Module):
  """The output layer of an untied network.

  Attributes:
    vocab_size: Token ids.
    dtype: Type of the factors; logits are float32.
  """

  vocab_size: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch length embed"]
  ) -> Float[Array, "batch length vocab"]:
    """Turns vectors into logits."""
    kernel = param_with_axes(
      "kernel",
      _INIT,
      (x.shape[-1], self.vocab_size),
      jnp.float32,
      axes=(axes.EMBED, axes.VOCAB),
    )
    return project(x, kernel, self.dtype)
