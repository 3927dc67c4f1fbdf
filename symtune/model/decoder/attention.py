"""Attention with fewer heads of keys and values than of queries, and a cache."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.spmd import with_logical_constraint
from jaxtyping import Array, Bool, Float, Int

from symtune.model import axes
from symtune.model.attention import MASKED_LOGIT
from symtune.model.decoder.cache import LayerCache
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.layers import Linear, Normalize
from symtune.model.decoder.rotary import Rotation, rotate

_BLOCK = 256  # queries of a long row that attend at once


def causal_attention(
  query: Float[Array, "batch length heads kv"],
  key: Float[Array, "batch length kv_heads kv"],
  value: Float[Array, "batch length kv_heads kv"],
  mask: Bool[Array, "#batch length length"],
  *,
  scale: float,
) -> Float[Array, "batch length heads kv"]:
  """`grouped_attention` of rows in which no token sees a later one.

  Queries attend block by block, each block to the keys up to its own end. A long row
  then needs little more than half of the products, and its logits never stand in memory
  as a whole; both would otherwise cost a CPU as much time as the rest of the network.

  Args:
    query: Query vectors.
    key: Key vectors.
    value: Value vectors.
    mask: True where a query may attend to a key, which must not stand behind it.
    scale: Factor of the logits.

  Returns:
    The averages, in the type of `value`.
  """
  length = query.shape[1]
  found = []
  for start in range(0, length, _BLOCK):
    end = min(start + _BLOCK, length)
    block = query[:, start:end], key[:, :end], value[:, :end], mask[:, start:end, :end]
    found.append(grouped_attention(*block, scale=scale))
  return jnp.concatenate(found, axis=1)


def grouped_attention(
  query: Float[Array, "batch q_length heads kv"],
  key: Float[Array, "batch k_length kv_heads kv"],
  value: Float[Array, "batch k_length kv_heads kv"],
  mask: Bool[Array, "#batch q_length k_length"],
  *,
  scale: float,
) -> Float[Array, "batch q_length heads kv"]:
  """Averages `value`, weighted by how well each query matches each key.

  Query heads are cut into `kv_heads` groups of neighbours, and each group attends to
  one head of keys and values (Ainslie et al. 2023, arXiv:2305.13245). Logits and
  softmax are float32. `jax.nn.dot_product_attention` computes the same, but its
  gradient mixes types, which the tests forbid.

  Args:
    query: Query vectors; the heads are a multiple of `kv_heads`.
    key: Key vectors.
    value: Value vectors.
    mask: True where a query may attend to a key.
    scale: Factor of the logits.

  Returns:
    The averages, in the type of `value`. A query that sees nothing gets the mean of all
    values, not NaN.
  """
  batch, length, heads, width = query.shape
  groups = key.shape[2]
  repeats = heads // groups
  # Heads of a group stand in the same matrix, so that each group has one product and
  # its logits are never transposed.
  by_place = query.reshape(batch, length, groups, repeats, width)
  grouped = by_place.transpose(0, 2, 3, 1, 4).reshape(batch, groups, -1, width)
  logits = jnp.einsum(
    "bgqd,bkgd->bgqk", grouped, key, preferred_element_type=jnp.float32
  ).reshape(batch, groups, repeats, length, key.shape[1])
  visible = mask[:, None, None, :, :]
  weights = jax.nn.softmax(jnp.where(visible, logits * scale, MASKED_LOGIT))
  flat = weights.astype(value.dtype).reshape(batch, groups, repeats * length, -1)
  found = jnp.einsum("bgqk,bkgd->bgqd", flat, value)
  by_group = found.reshape(batch, groups, repeats, length, width)
  return by_group.transpose(0, 3, 1, 2, 4).reshape(query.shape)


class GroupedAttention(nn.Module):
  """Projects to heads, normalises and rotates them, attends, projects back.

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
    cache: LayerCache | None = None,
    slot: Int[Array, ""] | None = None,
    is_causal: bool = False,
  ) -> tuple[Float[Array, "batch length embed"], LayerCache | None]:
    """Attends from the tokens to each other, or to all slots of a cache.

    Args:
      x: One vector per token.
      mask: Which token attends to which token; with a cache, to which slot; with a
        cache but no slot, to which slot and then which token.
      rotation: Rotations of the tokens; None: positions do not enter here.
      cache: Earlier tokens of this layer.
      slot: The first slot for the tokens; None keeps them out of the cache.
      is_causal: There is no cache, and the mask lets no token see a later one.

    Returns:
      One vector per token, and the cache, with the tokens if they have slots.
    """
    cfg = self.config
    query = self._heads("query", x, cfg.num_heads)
    # Where keys and values lie is left to the compiler: there may be fewer heads than
    # devices that share a layer.
    key = self._heads("key", x, cfg.num_kv_heads)
    value = self._heads("value", x, cfg.num_kv_heads)
    if cfg.has_qk_norm:
      query = Normalize(cfg, axes.KV, name="query_norm")(query)
      key = Normalize(cfg, axes.KV, name="key_norm")(key)
    if rotation is not None:
      query, key = rotate(query, rotation), rotate(key, rotation)
    query = with_logical_constraint(
      query, (axes.BATCH, axes.LENGTH, axes.HEADS, axes.KV)
    )
    if cache is not None and slot is not None:
      cache = cache.put(key, value, slot)
      key, value = cache
    elif cache is not None:
      key, value = cache.before(key, value)
    attend = causal_attention if is_causal else grouped_attention
    found = attend(query, key, value, mask, scale=cfg.logit_scale)
    joined = found.reshape(*x.shape[:2], cfg.num_heads * cfg.head_dim)
    kernel_axes = (axes.JOINED_KV, axes.EMBED)
    out = Linear(cfg.emb_dim, kernel_axes, cfg.has_out_bias, cfg.dtype, name="out")
    return out(joined), cache

  def _heads(
    self, name: str, x: Float[Array, "batch length embed"], heads: int
  ) -> Float[Array, "batch length heads kv"]:
    cfg = self.config
    kernel_axes = (axes.EMBED, axes.JOINED_KV)
    linear = Linear(
      heads * cfg.head_dim, kernel_axes, cfg.has_qkv_bias, cfg.dtype, name=name
    )
    return linear(x).reshape(*x.shape[:2], heads, cfg.head_dim)
