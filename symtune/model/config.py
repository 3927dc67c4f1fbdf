"""The settings of a T5 1.1 network, and the published sizes."""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from symtune.errors import SymtuneError


def _linear(x: jax.Array) -> jax.Array:
  return x


# gelu is the tanh approximation, as in T5X (flax.linen.gelu's default).
ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
  "gelu": nn.gelu,
  "linear": _linear,
  "relu": nn.relu,
  "sigmoid": nn.sigmoid,
  "silu": nn.silu,
  "swish": nn.swish,
  "tanh": nn.tanh,
}

# Larger numbers in a file are damage or malice; the work for them would never end.
MAX_LAYERS = 1000
MAX_SIZE = 2**31 - 1

REMAT_POLICIES = ("none", "minimal", "full")

_COUNTS = (
  "vocab_size",
  "emb_dim",
  "num_heads",
  "num_encoder_layers",
  "num_decoder_layers",
  "head_dim",
  "mlp_dim",
)


@struct.dataclass(kw_only=True)
class T5Config:
  """Sizes and choices of one network; field names and defaults are T5X's.

  Source: t5x/examples/t5/network.py, T5Config.

  Attributes:
    vocab_size: Rows of the embedding; at least the tokenizer's size.
    dtype: Type of activations. Parameters are always float32.
    emb_dim: Width of the residual stream.
    num_heads: Attention heads.
    num_encoder_layers: Layers of the encoder.
    num_decoder_layers: Layers of the decoder.
    head_dim: Width of one head.
    mlp_dim: Width of the feed-forward layers.
    mlp_activations: Names from ACTIVATIONS. One name gives a plain layer; with several,
      the layer multiplies their outputs, e.g. ("gelu", "linear") for T5 1.1.
    dropout_rate: Share of activations set to zero, in [0, 1).
    logits_via_embedding: Use the embedding as output layer ("tied").
    float32_attention_logits: Attention logits and softmax in float32, whatever dtype.
    remat_policy: What the backward pass recomputes to save memory: "none", "minimal"
      (all but the products of dense layers) or "full" (whole layers). It changes
      neither values nor the parameter tree. The names are those of
      t5x/examples/scalable_t5/network.py.

  Raises:
    SymtuneError: A value is out of range or not among the choices.
  """

  vocab_size: int = struct.field(pytree_node=False)
  dtype: Any = struct.field(pytree_node=False, default=jnp.float32)
  emb_dim: int = struct.field(pytree_node=False, default=512)
  num_heads: int = struct.field(pytree_node=False, default=8)
  num_encoder_layers: int = struct.field(pytree_node=False, default=6)
  num_decoder_layers: int = struct.field(pytree_node=False, default=6)
  head_dim: int = struct.field(pytree_node=False, default=64)
  mlp_dim: int = struct.field(pytree_node=False, default=2048)
  mlp_activations: Sequence[str] = struct.field(pytree_node=False, default=("relu",))
  dropout_rate: float = struct.field(pytree_node=False, default=0.1)
  logits_via_embedding: bool = struct.field(pytree_node=False, default=False)
  float32_attention_logits: bool = struct.field(pytree_node=False, default=False)
  remat_policy: str = struct.field(pytree_node=False, default="none")

  def __post_init__(self):
    # A gin file gives dtype = 'bfloat16' and a list of activations. Make both hashable
    # and comparable, because the config is a static argument of jitted functions.
    object.__setattr__(self, "dtype", _float_dtype(self.dtype))
    if not isinstance(self.mlp_activations, str):
      object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))
    for name in _COUNTS:
      _check_count(name, getattr(self, name))
    _check_activations(self.mlp_activations)
    if self.remat_policy not in REMAT_POLICIES:
      raise SymtuneError(
        f"T5Config.remat_policy is {self.remat_policy!r}; expected one of "
        f"{', '.join(REMAT_POLICIES)}."
      )
    if not 0.0 <= self.dropout_rate < 1.0:
      raise SymtuneError(
        f"T5Config.dropout_rate is {self.dropout_rate!r}; expected 0 <= rate < 1."
      )


def _float_dtype(dtype: Any) -> jnp.dtype:
  try:
    result = jnp.dtype(dtype)
  except TypeError as error:
    raise SymtuneError(
      f"T5Config.dtype is {dtype!r}; expected float32 or bfloat16."
    ) from error
  if result == jnp.float16:
    raise SymtuneError(
      "T5Config.dtype is float16; expected float32 or bfloat16. T5's activations "
      "exceed float16's maximum of 65,504 and become infinite, then NaN."
    )
  if not jnp.issubdtype(result, jnp.floating):
    raise SymtuneError(f"T5Config.dtype is {dtype!r}; expected float32 or bfloat16.")
  return result


def _check_count(name: str, value: object) -> None:
  if isinstance(value, bool) or not isinstance(value, int) or value < 1:
    raise SymtuneError(f"T5Config.{name} is {value!r}; expected a positive integer.")
  limit = MAX_LAYERS if name.endswith("_layers") else MAX_SIZE
  if value > limit:
    raise SymtuneError(f"T5Config.{name} is {value}; expected at most {limit:,}.")


def _check_activations(names: Sequence[str]) -> None:
  is_known = all(name in ACTIVATIONS for name in names)
  if isinstance(names, str) or not names or not is_known:
    raise SymtuneError(
      f"T5Config.mlp_activations is {names!r}; expected one or more of "
      f'{", ".join(ACTIVATIONS)}, e.g. ("gelu", "linear").'
    )


class PublishedSize(enum.StrEnum):
  """The T5 1.1 sizes, which are also those of Flan-T5."""

  SMALL = "small"
  BASE = "base"
  LARGE = "large"
  XL = "xl"
  XXL = "xxl"


# Source: t5x/examples/t5/t5_1_1/{small,base,large,xl,xxl}.gin.
_DIMENSIONS: Mapping[PublishedSize, Mapping[str, int]] = {
  PublishedSize.SMALL: {"emb_dim": 512, "num_heads": 6, "layers": 8, "mlp_dim": 1024},
  PublishedSize.BASE: {"emb_dim": 768, "num_heads": 12, "layers": 12, "mlp_dim": 2048},
  PublishedSize.LARGE: {
    "emb_dim": 1024,
    "num_heads": 16,
    "layers": 24,
    "mlp_dim": 2816,
  },
  PublishedSize.XL: {"emb_dim": 2048, "num_heads": 32, "layers": 24, "mlp_dim": 5120},
  PublishedSize.XXL: {"emb_dim": 4096, "num_heads": 64, "layers": 24, "mlp_dim": 10240},
}

# 32,000 pieces and 100 sentinels, rounded up to a multiple of 128 (base.gin).
PUBLISHED_VOCAB_SIZE = 32128


def published_config(
  size: PublishedSize, *, dtype: Any = jnp.float32, dropout_rate: float = 0.1
) -> T5Config:
  """The config of a published T5 1.1 or Flan-T5 checkpoint.

  Args:
    size: Size of the checkpoint.
    dtype: Type of activations; T5X trains these models in bfloat16.
    dropout_rate: 0.1 is T5X's default for fine-tuning; pre-training used 0.

  Returns:
    The config: gated gelu, untied output layer, vocabulary of 32,128.
  """
  dimensions = _DIMENSIONS[size]
  return T5Config(
    vocab_size=PUBLISHED_VOCAB_SIZE,
    dtype=dtype,
    emb_dim=dimensions["emb_dim"],
    num_heads=dimensions["num_heads"],
    num_encoder_layers=dimensions["layers"],
    num_decoder_layers=dimensions["layers"],
    head_dim=64,
    mlp_dim=dimensions["mlp_dim"],
    mlp_activations=("gelu", "linear"),
    dropout_rate=dropout_rate,
  )
