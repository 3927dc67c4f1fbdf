"""One layer: attention and feed-forward layer, joined to the residual stream."""

from typing import Any

import flax.linen as nn
import jax
from flax.linen.spmd import with_logical_constraint
from jaxtyping import Array, Bool, Float, Int

from symtune.model import axes
from symtune.model.decoder.attention import GroupedAttention
from symtune.model.decoder.cache import LayerCache
from symtune.model.decoder.config import Block, DecoderConfig
from symtune.model.decoder.layers import MLP, Normalize
from symtune.model.decoder.rotary import Rotation

_IS_CAUSAL = (6,)  # place of the argument of this name; self has place 0


class DecoderBlock(nn.Module):
  """A layer of the network; `config.block` says how its parts are joined.

  Attributes:
    config: Settings of the network.
  """

  config: DecoderConfig

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "batch length embed"],
    mask: Bool[Array, "#batch length k_length"],
    rotation: Rotation | None,
    cache: LayerCache | None,
    slot: Int[Array, ""] | None,
    is_causal: bool,
  ) -> tuple[Float[Array, "batch length embed"], LayerCache | None]:
    """Applies the layer; arguments and results are those of `GroupedAttention`.

    None has a default: rematerialisation counts the arguments that it is given.
    """
    cfg = self.config
    normed = Normalize(cfg, name="pre_attention_norm")(x)
    attention = GroupedAttention(cfg, name="attention")
    found, cache = attention(normed, mask, rotation, cache, slot, is_causal)
    if cfg.block is Block.SANDWICH:
      found = Normalize(cfg, name="post_attention_norm")(found)
    middle = x + found
    source = x if cfg.block is Block.PARALLEL else middle
    thought = MLP(cfg, name="mlp")(Normalize(cfg, name="pre_mlp_norm")(source))
    if cfg.block is Block.SANDWICH:
      thought = Normalize(cfg, name="post_mlp_norm")(thought)
    result = middle + thought
    return with_logical_constraint(result, (axes.BATCH, axes.LENGTH, axes.EMBED)), cache


def remat_block(config: DecoderConfig) -> Any:
  """DecoderBlock, whose backward pass recomputes what `config.remat_policy` says."""
  if config.remat_policy == "none":
    return DecoderBlock
  policy = None
  if config.remat_policy == "minimal":
    policy = jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims
  return nn.remat(DecoderBlock, policy=policy, static_argnums=_IS_CAUSAL)
