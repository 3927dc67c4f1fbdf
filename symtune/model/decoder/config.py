"""The settings of a decoder-only network, which cover the families that are read.

Which settings make a Llama, a Qwen or a Gemma is known to `symtune.convert.decoder`
alone: the network reads nothing but these fields.
"""

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from symtune.errors import SymtuneError
from symtune.model.config import MAX_LAYERS, MAX_SIZE, REMAT_POLICIES


class Activation(enum.StrEnum):
  """What is applied in the feed-forward layers.

  Members:
    SILU: x * sigmoid(x); Llama, Mistral, Qwen.
    GELU: x * P(a standard normal is below x), exactly; GPT-NeoX.
    GELU_TANH: the approximation of gelu by tanh; Gemma, GPT-2.
    RELU: max(x, 0).
  """

  SILU = "silu"
  GELU = "gelu"
  GELU_TANH = "gelu_tanh"
  RELU = "relu"


class Norm(enum.StrEnum):
  """How vectors are normalised.

  Members:
    RMS: divided by their root mean square, then scaled; Llama, Mistral, Qwen.
    RMS_PLUS_ONE: the same, scaled by 1 + the parameter, in float32; Gemma.
    LAYER: centred, divided by their deviation, scaled and shifted; GPT-NeoX, GPT-2.
  """

  RMS = "rms"
  RMS_PLUS_ONE = "rms_plus_one"
  LAYER = "layer"


class Block(enum.StrEnum):
  """How attention and feed-forward layer join the residual stream x.

  Members:
    PRE_NORM: x += attention(norm(x)), then x += mlp(norm(x)).
    SANDWICH: x += norm(attention(norm(x))), then x += norm(mlp(norm(x))); Gemma.
    PARALLEL: x += attention(norm(x)) + mlp(another norm(x)); GPT-NeoX.
  """

  PRE_NORM = "pre_norm"
  SANDWICH = "sandwich"
  PARALLEL = "parallel"


class Positions(enum.StrEnum):
  """How a token's position enters.

  Members:
    ROTARY: queries and keys are rotated by it.
    LEARNED: a learned vector is added to the embedding; GPT-2.
    NONE: it does not; only the causal mask tells the order.
  """

  ROTARY = "rotary"
  LEARNED = "learned"
  NONE = "none"


class PromptAttention(enum.StrEnum):
  """What the tokens of a prompt attend to.

  Members:
    CAUSAL: themselves and earlier tokens; how these models are pre-trained.
    PREFIX: all tokens of the prompt, in both directions; answers stay causal.
  """

  CAUSAL = "causal"
  PREFIX = "prefix"


class RotaryScaling(enum.StrEnum):
  """How frequencies are lowered for rows longer than those of pre-training.

  Members:
    NONE: they are not.
    LINEAR: all are divided by `factor`; larger Gemma 3.
    LLAMA3: low ones are divided by `factor`, high ones are kept; Llama 3.1 and later.
  """

  NONE = "none"
  LINEAR = "linear"
  LLAMA3 = "llama3"


def _float_dtype(dtype: Any) -> jnp.dtype:
  try:
    result = jnp.dtype(dtype)
  except TypeError:
    result = None
  if result not in (jnp.float32, jnp.bfloat16):
    raise SymtuneError(
      f"DecoderConfig.dtype is {dtype!r}; expected float32 or bfloat16."
    )
  return jnp.dtype(result)


def _choice(name: str, kind: type[enum.StrEnum], value: Any) -> enum.StrEnum:
  try:
    return kind(value)
  except ValueError as error:
    raise SymtuneError(
      f"{name} is {value!r}; expected one of {', '.join(kind)}."
    ) from error


def _check_count(name: str, value: object) -> None:
  if isinstance(value, bool) or not isinstance(value, int) or value < 1:
    raise SymtuneError(f"{name} is {value!r}; expected a positive integer.")
  limit = MAX_LAYERS if name.endswith("_layers") else MAX_SIZE
  if value > limit:
    raise SymtuneError(f"{name} is {value}; expected at most {limit:,}.")


def _check_positive(name: str, value: Any) -> None:
  is_number = isinstance(value, int | float) and not isinstance(value, bool)
  if not is_number or not 0 < value < math.inf:
    raise SymtuneError(f"{name} is {value!r}; expected a positive number.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotary:
  """Rotary positions (Su et al. 2021, arXiv:2104.09864).

  Attributes:
    base: The slowest rotation takes about 2 pi `base` positions.
    share: Share of a head's width that is rotated, from its start; GPT-NeoX: 0.25.
    scaling: How frequencies are lowered.
    factor: By how much.
    low_frequency: LLAMA3: wavelengths above `original_length` / `low_frequency` are
      stretched by `factor`.
    high_frequency: LLAMA3: wavelengths below `original_length` / `high_frequency` are
      kept; those between the two are interpolated.
    original_length: LLAMA3: row length of pre-training.

  Raises:
    SymtuneError: A number is out of range.
  """

  base: float = 10_000.0
  share: float = 1.0
  scaling: RotaryScaling | str = RotaryScaling.NONE
  factor: float = 1.0
  low_frequency: float = 1.0
  high_frequency: float = 4.0
  original_length: int = 8192

  def __post_init__(self):
    object.__setattr__(
      self, "scaling", _choice("Rotary.scaling", RotaryScaling, self.scaling)
    )
    _check_count("Rotary.original_length", self.original_length)
    for name in ("base", "factor", "low_frequency", "high_frequency"):
      _check_positive(f"Rotary.{name}", getattr(self, name))
    _check_positive("Rotary.share", self.share)
    if self.share > 1.0:
      raise SymtuneError(f"Rotary.share is {self.share}; expected at most 1.")
    if not self.low_frequency < self.high_frequency:
      raise SymtuneError(
        f"Rotary.low_frequency is {self.low_frequency}; expected less than "
        f"high_frequency, which is {self.high_frequency}."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig:
  """Sizes and choices of one decoder-only network; the defaults are Llama's choices.

  A choice may be given by its name, which becomes the enum's member.

  Attributes:
    vocab_size: Rows of the embedding; at least the tokenizer's size.
    emb_dim: Width of the residual stream.
    num_layers: Layers.
    num_heads: Attention heads of the queries.
    num_kv_heads: Heads of keys and values; a divisor of num_heads.
    head_dim: Width of one head.
    mlp_dim: Width of the feed-forward layers.
    max_positions: Row length that the network was made for. Learned positions end
      there; rotary ones go on, at the reader's risk.
    dtype: Type of activations, float32 or bfloat16. Parameters are made in float32;
      norms, softmax, rotations and logits are always computed in float32.
    activation: Activation of the feed-forward layers.
    is_gated: Whether the feed-forward layer multiplies activation(x W0) with x W1.
    block: How a layer's two parts join the residual stream.
    norm: How vectors are normalised.
    norm_epsilon: Added to the mean square or the variance.
    has_qk_norm: Whether the heads of queries and keys are normalised; Qwen 3, Gemma 3.
    has_qkv_bias: Whether the projections to query, key and value have biases.
    has_out_bias: Whether attention's output projection has a bias.
    has_mlp_bias: Whether the feed-forward layers have biases.
    query_scale: Factor of the attention logits; None: 1 / sqrt(head_dim).
    positions: How positions enter.
    rotary: Rotations, for ROTARY positions.
    window_rotary: Rotations of the windowed layers; None: as in the others.
    window: A windowed layer sees this many positions back, its own included.
    windowed_layers: Numbers of the windowed layers, from 0, rising.
    scales_embedding: Whether embeddings are multiplied by sqrt(emb_dim); Gemma.
    logits_via_embedding: Use the embedding as output layer ("tied").
    attention: What a prompt's tokens attend to, in tuning and in scoring alike.
    remat_policy: As in `symtune.model.config.T5Config`.

  Raises:
    SymtuneError: A value is out of range, not among the choices, or contradicts
      another one.
  """

  vocab_size: int
  emb_dim: int
  num_layers: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  mlp_dim: int
  max_positions: int = 2048
  dtype: Any = jnp.float32
  activation: Activation | str = Activation.SILU
  is_gated: bool = True
  block: Block | str = Block.PRE_NORM
  norm: Norm | str = Norm.RMS
  norm_epsilon: float = 1e-6
  has_qk_norm: bool = False
  has_qkv_bias: bool = False
  has_out_bias: bool = False
  has_mlp_bias: bool = False
  query_scale: float | None = None
  positions: Positions | str = Positions.ROTARY
  rotary: Rotary = Rotary()
  window_rotary: Rotary | None = None
  window: int | None = None
  windowed_layers: Sequence[int] = ()
  scales_embedding: bool = False
  logits_via_embedding: bool = False
  attention: PromptAttention | str = PromptAttention.CAUSAL
  remat_policy: str = "none"

  def __post_init__(self):
    # Hashable and comparable, because the config is a static argument of jitted
    # functions, also where a file gives names and lists.
    object.__setattr__(self, "dtype", _float_dtype(self.dtype))
    object.__setattr__(self, "windowed_layers", tuple(self.windowed_layers))
    for name, kind in _CHOICES.items():
      value = _choice(f"DecoderConfig.{name}", kind, getattr(self, name))
      object.__setattr__(self, name, value)
    for name in _COUNTS:
      _check_count(f"DecoderConfig.{name}", getattr(self, name))
    _check_positive("DecoderConfig.norm_epsilon", self.norm_epsilon)
    if self.query_scale is not None:
      _check_positive("DecoderConfig.query_scale", self.query_scale)
    if self.remat_policy not in REMAT_POLICIES:
      raise SymtuneError(
        f"DecoderConfig.remat_policy is {self.remat_policy!r}; expected one of "
        f"{', '.join(REMAT_POLICIES)}."
      )
    if self.num_heads % self.num_kv_heads:
      raise SymtuneError(
        f"DecoderConfig.num_kv_heads is {self.num_kv_heads}; expected a divisor of "
        f"num_heads, which is {self.num_heads}."
      )
    _check_windows(self)
    if self.positions is Positions.ROTARY:
      for rotary in (self.rotary, self.window_rotary or self.rotary):
        _check_rotated(self.head_dim, rotary)

  @property
  def logit_scale(self) -> float:
    """The factor of the attention logits."""
    return self.query_scale or self.head_dim**-0.5


_COUNTS = (
  "vocab_size",
  "emb_dim",
  "num_layers",
  "num_heads",
  "num_kv_heads",
  "head_dim",
  "mlp_dim",
  "max_positions",
)
_CHOICES = {
  "activation": Activation,
  "attention": PromptAttention,
  "block": Block,
  "norm": Norm,
  "positions": Positions,
}


def rotated_width(head_dim: int, rotary: Rotary) -> int:
  """How many numbers of a head are rotated, from its start."""
  return int(head_dim * rotary.share)


def _check_windows(config: DecoderConfig) -> None:
  layers = config.windowed_layers
  if (config.window is None) != (not layers):
    raise SymtuneError(
      f"DecoderConfig.window is {config.window!r} and windowed_layers is {layers!r}; "
      "expected both or neither."
    )
  if config.window is not None:
    _check_count("DecoderConfig.window", config.window)
  known = range(config.num_layers)
  if any(i not in known for i in layers) or list(layers) != sorted(set(layers)):
    raise SymtuneError(
      f"DecoderConfig.windowed_layers is {layers!r}; expected rising numbers from 0 to "
      f"{config.num_layers - 1}."
    )


def _check_rotated(head_dim: int, rotary: Rotary) -> None:
  width = rotated_width(head_dim, rotary)
  if width < 2 or width % 2:
    raise SymtuneError(
      f"Rotary.share is {rotary.share} and head_dim is {head_dim}, so {width} numbers "
      "of a head are rotated; expected an even number of at least 2, because they are "
      "rotated in pairs."
    )
