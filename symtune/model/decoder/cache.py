"""Keys and values of earlier tokens, so that a new token costs only itself.

A cache has slots, which are filled from the left by one or several tokens at a time. A
slot knows the position of its token, so that rows of different lengths, padded on the
right, share a batch: their padding leaves slots that nothing attends to.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from symtune.model.decoder.config import DecoderConfig


class LayerCache(NamedTuple):
  """What one layer keeps; keys are rotated already.

  A cache of one row may stand before the tokens of many rows.

  Attributes:
    keys: Key vectors, by slot.
    values: Value vectors, by slot.
  """

  keys: Float[Array, "batch slots kv_heads kv"]
  values: Float[Array, "batch slots kv_heads kv"]

  def put(
    self,
    keys: Float[Array, "batch length kv_heads kv"],
    values: Float[Array, "batch length kv_heads kv"],
    slot: Int[Array, ""],
  ) -> "LayerCache":
    """The cache with the keys and values of new tokens, from a slot on."""
    return LayerCache(
      keys=jax.lax.dynamic_update_slice_in_dim(self.keys, keys, slot, axis=1),
      values=jax.lax.dynamic_update_slice_in_dim(self.values, values, slot, axis=1),
    )

  def before(
    self,
    keys: Float[Array, "batch length kv_heads kv"],
    values: Float[Array, "batch length kv_heads kv"],
  ) -> "LayerCache":
    """What stands in the slots, and then new tokens; the cache stays as it is."""
    return LayerCache(
      keys=jnp.concatenate([for_rows(self.keys, len(keys)), keys], axis=1),
      values=jnp.concatenate([for_rows(self.values, len(values)), values], axis=1),
    )


class Cache(NamedTuple):
  """The caches of all layers, and what they share.

  Attributes:
    layers: One cache per layer.
    positions: Position of the token in each slot.
    is_filled: Whether a slot holds a token.
    used: Slots used so far, the same for all rows.
  """

  layers: tuple[LayerCache, ...]
  positions: Int[Array, "batch slots"]
  is_filled: Bool[Array, "batch slots"]
  used: Int[Array, ""]


def empty_cache(config: DecoderConfig, *, batch: int, slots: int) -> Cache:
  """A cache without tokens.

  Args:
    config: Settings of the network.
    batch: Rows.
    slots: Most tokens of a row, those of its padding included.

  Returns:
    The cache, in the network's type.
  """
  shape = (batch, slots, config.num_kv_heads, config.head_dim)
  zeros = jnp.zeros(shape, config.dtype)
  return Cache(
    layers=(LayerCache(zeros, zeros),) * config.num_layers,
    positions=jnp.zeros((batch, slots), jnp.int32),
    is_filled=jnp.zeros((batch, slots), bool),
    used=jnp.zeros((), jnp.int32),
  )


def for_rows(
  x: Shaped[Array, "_rows *rest"], rows: int
) -> Shaped[Array, "{rows} *rest"]:
  """What each of some rows has of a cache, which is their own or one for all."""
  return jnp.broadcast_to(x, (rows, *x.shape[1:]))


def repeat_rows(cache: Cache, times: int) -> Cache:
  """The cache with each row several times, one after another."""
  return jax.tree.map(
    lambda x: jnp.repeat(x, times, axis=0) if x.ndim else x,  # `used` has no rows
    cache,
  )


def place_tokens(
  cache: Cache,
  positions: Int[Array, "batch length"],
  is_token: Bool[Array, "batch length"],
) -> Cache:
  """Gives the next slots to new tokens; the layers fill in keys and values."""
  return cache._replace(
    positions=jax.lax.dynamic_update_slice_in_dim(
      cache.positions, positions.astype(jnp.int32), cache.used, axis=1
    ),
    is_filled=jax.lax.dynamic_update_slice_in_dim(
      cache.is_filled, is_token, cache.used, axis=1
    ),
    used=cache.used + positions.shape[1],
  )


def branch_mask(
  cache: Cache, mask: Bool[Array, "batch length length"]
) -> Bool[Array, "batch length _places"]:
  """Which places tokens of a branch attend to: filled slots, and each other by `mask`.

  Args:
    cache: What stands before the tokens, for each row or for all.
    mask: Which of the tokens attends to which.

  Returns:
    The mask over all slots, and then the tokens.
  """
  batch, length, _ = mask.shape
  earlier = for_rows(cache.is_filled, batch)[:, None, :]
  earlier = jnp.broadcast_to(earlier, (batch, length, earlier.shape[2]))
  return jnp.concatenate([earlier, mask], axis=2)


def slot_mask(
  cache: Cache, mask: Bool[Array, "batch length length"]
) -> Bool[Array, "batch length slots"]:
  """Which slots new tokens attend to: all filled ones, and each other by `mask`.

  Args:
    cache: The cache before the new tokens.
    mask: Which new token attends to which.

  Returns:
    The mask over all slots.
  """
  batch, length, _ = mask.shape
  slots = cache.is_filled.shape[1]
  earlier = jnp.broadcast_to(cache.is_filled[:, None, :], (batch, length, slots))
  return jax.lax.dynamic_update_slice_in_dim(earlier, mask, cache.used, axis=2)
