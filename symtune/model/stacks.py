"""The encoder and the decoder: layers stacked on the shared embedding.

Module names and their order follow t5x/examples/t5/network.py, because they determine
the parameter tree and the random numbers of dropout.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from symtune.model import axes
from symtune.model.attention import MultiHeadAttention
from symtune.model.config import T5Config
from symtune.model.layers import MLP, Dense, Embed, RelativeBias, RMSNorm


def _attention(config: T5Config, name: str) -> MultiHeadAttention:
  return MultiHeadAttention(
    num_heads=config.num_heads,
    head_dim=config.head_dim,
    dropout_rate=config.dropout_rate,
    dtype=config.dtype,
    float32_logits=config.float32_attention_logits,
    name=name,
  )


def _mlp(config: T5Config) -> MLP:
  return MLP(
    mlp_dim=config.mlp_dim,
    activations=config.mlp_activations,
    dropout_rate=config.dropout_rate,
    dtype=config.dtype,
    name="mlp",
  )


def _remat(layer: type[nn.Module], config: T5Config, static: tuple[int, ...]) -> Any:
  """Wraps a layer so that the backward pass recomputes what the policy says.

  Args:
    layer: EncoderLayer or DecoderLayer.
    config: settings of the network.
    static: indices of the layer's static arguments; self has index 0.
  """
  if config.remat_policy == "none":
    return layer
  policy = None
  if config.remat_policy == "minimal":
    policy = jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims
  return nn.remat(layer, policy=policy, static_argnums=static)


def _dropout(config: T5Config) -> nn.Dropout:
  """Dropout, one mask for all positions of a row (T5X: "broadcast along length")."""
  return nn.Dropout(config.dropout_rate, broadcast_dims=(-2,))


def _bias_between(
  bias: Float[Array, "1 heads length length"],
  positions: Int[Array, "batch dec_length"],
) -> Float[Array, "batch heads dec_length dec_length"]:
  """The bias of each pair of tokens at these positions."""
  pairs = bias[0][:, positions[:, :, None], positions[:, None, :]]
  return jnp.moveaxis(pairs, 0, 1)


class EncoderLayer(nn.Module):
  """Self-attention, then MLP; each with a norm before it and a residual connection.

  Attributes:
    config: Settings of the network.
  """

  config: T5Config

  @nn.compact
  def __call__(
    self,
    inputs: Float[Array, "batch length embed"],
    mask: Bool[Array, "batch 1 length length"],
    bias: Float[Array, "1 heads length length"],
    deterministic: bool,
  ) -> Float[Array, "batch length embed"]:
    """Applies the layer."""
    cfg = self.config
    x = RMSNorm(cfg.dtype, name="pre_attention_layer_norm")(inputs)
    x = _attention(cfg, "attention")(x, x, mask, bias, deterministic=deterministic)
    x = inputs + _dropout(cfg)(x, deterministic=deterministic)
    y = RMSNorm(cfg.dtype, name="pre_mlp_layer_norm")(x)
    y = _mlp(cfg)(y, deterministic=deterministic)
    return x + _dropout(cfg)(y, deterministic=deterministic)


class DecoderLayer(nn.Module):
  """Self-attention, attention to the encoder, then MLP; each as in EncoderLayer.

  Attributes:
    config: Settings of the network.
  """

  config: T5Config

  @nn.compact
  def __call__(
    self,
    inputs: Float[Array, "batch dec_length embed"],
    encoded: Float[Array, "batch enc_length embed"],
    mask: Bool[Array, "batch 1 dec_length dec_length"] | None,
    cross_mask: Bool[Array, "batch 1 dec_length enc_length"],
    bias: Float[Array, "#batch heads b_length b_length"],
    deterministic: bool,
    decode: bool,
  ) -> Float[Array, "batch dec_length embed"]:
    """Applies the layer."""
    cfg = self.config
    x = RMSNorm(cfg.dtype, name="pre_self_attention_layer_norm")(inputs)
    x = _attention(cfg, "self_attention")(
      x, x, mask, bias, deterministic=deterministic, decode=decode
    )
    x = inputs + _dropout(cfg)(x, deterministic=deterministic)
    y = RMSNorm(cfg.dtype, name="pre_cross_attention_layer_norm")(x)
    y = _attention(cfg, "encoder_decoder_attention")(
      y, encoded, cross_mask, deterministic=deterministic
    )
    y = x + _dropout(cfg)(y, deterministic=deterministic)
    z = RMSNorm(cfg.dtype, name="pre_mlp_layer_norm")(y)
    z = _mlp(cfg)(z, deterministic=deterministic)
    return y + _dropout(cfg)(z, deterministic=deterministic)


class Encoder(nn.Module):
  """Embedding, layers, norm.

  Attributes:
    config: Settings of the network.
    embed: The embedding that encoder and decoder share.
  """

  config: T5Config
  embed: Embed

  @nn.compact
  def __call__(
    self,
    tokens: Int[Array, "batch length"],
    mask: Bool[Array, "batch 1 length length"],
    *,
    deterministic: bool,
  ) -> Float[Array, "batch length embed"]:
    """Turns each token into a vector."""
    cfg = self.config
    bias = RelativeBias(cfg.num_heads, cfg.dtype, name="relpos_bias")(
      tokens.shape[1], bidirectional=True
    )
    x = self.embed(tokens)
    x = _dropout(cfg)(x, deterministic=deterministic)
    for i in range(cfg.num_encoder_layers):
      layer = _remat(EncoderLayer, cfg, (4,))(cfg, name=f"layers_{i}")
      x = layer(x, mask, bias, deterministic)
    x = RMSNorm(cfg.dtype, name="encoder_norm")(x)
    # The only dropout in T5X whose mask differs between positions.
    return nn.Dropout(cfg.dropout_rate)(x, deterministic=deterministic)


class Decoder(nn.Module):
  """Embedding, layers, norm, output layer.

  Attributes:
    config: Settings of the network.
    embed: The embedding that encoder and decoder share.
  """

  config: T5Config
  embed: Embed

  @nn.compact
  def __call__(
    self,
    tokens: Int[Array, "batch dec_length"],
    encoded: Float[Array, "batch enc_length embed"],
    mask: Bool[Array, "batch 1 dec_length dec_length"] | None,
    cross_mask: Bool[Array, "batch 1 dec_length enc_length"],
    *,
    deterministic: bool,
    decode: bool = False,
    max_decode_length: int | None = None,
    positions: Int[Array, "batch dec_length"] | None = None,
    read: bool = False,
  ) -> Float[Array, "batch dec_length _width"]:
    """Turns tokens and the encoder's vectors into float32 logits.

    The tokens of a row have the positions 0, 1, ... unless `positions` is given. With
    `read` it stops before the output layer and returns one vector per token.
    """
    cfg = self.config
    length = tokens.shape[1]
    if decode and max_decode_length is not None:
      length = max_decode_length
    bias = RelativeBias(cfg.num_heads, cfg.dtype, name="relpos_bias")(
      length, bidirectional=False
    )
    if positions is not None:
      bias = _bias_between(bias, positions)
    y = self.embed(tokens)
    y = _dropout(cfg)(y, deterministic=deterministic)
    for i in range(cfg.num_decoder_layers):
      layer = _remat(DecoderLayer, cfg, (6, 7))(cfg, name=f"layers_{i}")
      y = layer(y, encoded, mask, cross_mask, bias, deterministic, decode)
    y = RMSNorm(cfg.dtype, name="decoder_norm")(y)
    y = _dropout(cfg)(y, deterministic=deterministic)
    if read:
      return y
    if cfg.logits_via_embedding:
      # The table has unit variance: without this division the logits would be far too
      # large.
      return self.embed.attend(y) / jnp.sqrt(jnp.float32(cfg.emb_dim))
    return Dense(
      cfg.vocab_size, (axes.EMBED, axes.VOCAB), jnp.float32, name="logits_dense"
    )(y)
