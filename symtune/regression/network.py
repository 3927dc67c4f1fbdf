"""The network: pairs of numbers to predictions, on the blocks of the decoder.

An episode becomes the row of tokens x_1, y_1, x_2, y_2, ..., each a vector of dim + 1
numbers (Akyurek et al. 2022, section 4.1 and the released code):

  x_i    0 x_i1 ... x_id
  y_i    y_i  0 ...  0

A linear layer reads them in, and another reads the prediction of y_i off the vector of
x_i. The tree of parameters is that of `symtune.model.decoder.network` with `read_in`
and `read_out` in place of the token embedder and the logits.
"""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import unfreeze
from jaxtyping import Array, Float, Float32, Key

from symtune.checks import check_types
from symtune.errors import SymtuneError
from symtune.model import axes
from symtune.model.decoder import rotary
from symtune.model.decoder.block import remat_block
from symtune.model.decoder.config import (
  Activation,
  DecoderConfig,
  Norm,
  Positions,
)
from symtune.model.decoder.layers import Embed, Linear, Normalize
from symtune.model.decoder.masks import row_mask

Params = dict[str, Any]

_NUMBERS = "numbers"  # logical axis of the numbers of a token
_DECODER_INIT = 0.02  # deviation of the decoder's initial kernels


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
  """Sizes of the network, a GPT-2 with pre-norm blocks as in both papers.

  Attributes:
    layers: number of blocks.
    width: width of the residual stream.
    heads: attention heads; a divisor of the width.
    mlp_width: width of the feed-forward layers; None: 4 times the width.
    positions: "learned", "rotary" or "none".
    dtype: type of activations, "float32" or "bfloat16".
    remat_policy: as in `DecoderConfig`.

  Raises:
    SymtuneError: a value is out of range or not among the choices.
  """

  layers: int
  width: int
  heads: int
  mlp_width: int | None = None
  positions: str = "learned"
  dtype: str = "float32"
  remat_policy: str = "none"

  def __post_init__(self):
    check_types(self)
    config = self.config(points=2)  # checks every setting
    if config.num_heads * config.head_dim != self.width:
      raise SymtuneError(
        f"NetworkSettings.heads is {self.heads}; expected a divisor of width, which is "
        f"{self.width}."
      )

  def config(self, *, points: int) -> DecoderConfig:
    """The settings of the decoder's blocks for episodes of `points` pairs."""
    return DecoderConfig(
      vocab_size=1,  # there are no token ids
      emb_dim=self.width,
      num_layers=self.layers,
      num_heads=self.heads,
      num_kv_heads=self.heads,
      head_dim=max(1, self.width // max(1, self.heads)),
      mlp_dim=self.mlp_width or 4 * self.width,
      max_positions=2 * points,
      dtype=self.dtype,
      activation=Activation.GELU_TANH,
      is_gated=False,
      norm=Norm.LAYER,
      has_qkv_bias=True,
      has_out_bias=True,
      has_mlp_bias=True,
      positions=self.positions,
      remat_policy=self.remat_policy,
    )


def to_tokens(
  xs: Float[Array, "batch points dim"], ys: Float[Array, "batch points"]
) -> Float[Array, "batch tokens numbers"]:
  """Lays pairs out as tokens, as this module's docstring draws them."""
  batch, points, dim = xs.shape
  x_tokens = jnp.pad(xs, ((0, 0), (0, 0), (1, 0)))
  y_tokens = jnp.pad(ys[:, :, None], ((0, 0), (0, 0), (0, dim)))
  both = jnp.stack([x_tokens, y_tokens], axis=2)
  return both.reshape(batch, 2 * points, dim + 1)


class Regressor(nn.Module):
  """Predicts every y of an episode from the pairs before it and its x.

  Attributes:
    config: Settings of the blocks.
  """

  config: DecoderConfig

  def setup(self):  # noqa: D102
    cfg = self.config
    self.read_in = Linear(cfg.emb_dim, (_NUMBERS, axes.EMBED), True, cfg.dtype)
    if cfg.positions is Positions.LEARNED:
      self.position_embedder = Embed(
        cfg.max_positions, axes.LENGTH, cfg.emb_dim, cfg.dtype
      )
    block = remat_block(cfg)
    self.layers = [block(cfg) for _ in range(cfg.num_layers)]
    self.final_norm = Normalize(cfg)
    self.read_out = Linear(1, (axes.EMBED, _NUMBERS), True, jnp.float32)

  def __call__(
    self, xs: Float[Array, "batch points dim"], ys: Float[Array, "batch points"]
  ) -> Float32[Array, "batch points"]:
    """Predicts ys[:, i] from xs[:, : i + 1] and ys[:, :i]."""
    last = self.states(xs, ys)[-1]
    return self.read_out(self.final_norm(last)[:, ::2])[:, :, 0]

  def states(
    self, xs: Float[Array, "batch points dim"], ys: Float[Array, "batch points"]
  ) -> list[Float[Array, "batch tokens embed"]]:
    """The residual stream before the first layer and after each layer."""
    cfg = self.config
    tokens = to_tokens(xs, ys)
    length = tokens.shape[1]
    places = jnp.broadcast_to(jnp.arange(length)[None, :], tokens.shape[:2])
    x = self.read_in(tokens)
    rotation = None
    if cfg.positions is Positions.LEARNED:
      x = x + self.position_embedder(places)
    elif cfg.positions is Positions.ROTARY:
      rotation = rotary.rotation(places, cfg.rotary, cfg.head_dim)
    mask = row_mask(None, None, length=length)
    states = [x]
    for layer in self.layers:
      x, _ = layer(x, mask, rotation, None, None, False)
      states.append(x)
    return states


def init_params(network: Regressor, key: Key[Array, ""], *, dim: int) -> Params:
  """Draws the parameters.

  Kernels and position vectors get the variance 1 / (3 fan_in) of Akyurek et al.'s
  uniform scaling: with the decoder's 0.02, a narrow network hardly starts to learn.
  Biases are zero.

  Args:
    network: The network.
    key: Random key.
    dim: Coordinates of x.

  Returns:
    Nested dict of float32 arrays.
  """
  pair = jnp.zeros((1, 1, dim)), jnp.zeros((1, 1))
  params = unfreeze(jax.jit(network.init)(key, *pair)["params"])

  def rescale(path, leaf):
    if path[-1].key not in ("kernel", "embedding"):
      return leaf
    fan_in = leaf.shape[0] if path[-1].key == "kernel" else leaf.shape[1]
    return leaf * (math.sqrt(1.0 / (3.0 * fan_in)) / _DECODER_INIT)

  return jax.tree_util.tree_map_with_path(rescale, params)
