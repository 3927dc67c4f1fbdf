"""Multi-head attention and its cache for decoding."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.spmd import with_logical_constraint
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from symtune.errors import SymtuneError
from symtune.model import axes
from symtune.model.layers import Dense

MASKED_LOGIT = -1e10

_KERNEL_INIT = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


def masked_bias(
  mask: Bool[Array, "batch #heads q_length k_length"] | None,
  bias: Float[Array, "#batch heads q_length k_length"] | None,
  dtype: Any,
) -> Float[Array, "..."] | None:
  """What is added to the attention logits: the bias, and -1e10 where masked.

  Args:
    mask: True where a query may attend to a key; None: everywhere.
    bias: Relative position bias; None: no bias.
    dtype: Type of the result.

  Returns:
    An array that broadcasts to [batch, heads, q_length, k_length], or None.
  """
  if mask is None:
    return bias
  # -1e10 rather than -inf: a query without visible keys gets equal weights, not NaN.
  hidden = jnp.where(mask, 0.0, MASKED_LOGIT).astype(dtype)
  if bias is None:
    return hidden
  shape = jnp.broadcast_shapes(hidden.shape, bias.shape)
  return jnp.broadcast_to(hidden, shape) + jnp.broadcast_to(bias, shape)


def dot_product_attention(
  query: Float[Array, "batch q_length heads kv"],
  key: Float[Array, "batch k_length heads kv"],
  value: Float[Array, "batch k_length heads kv"],
  bias: Float[Array, "#batch #heads q_length k_length"] | None = None,
  *,
  dropout_key: Key[Array, ""] | UInt32[Array, "2"] | None = None,
  dropout_rate: float = 0.0,
  float32_logits: bool = False,
) -> Float[Array, "batch q_length heads kv"]:
  """Averages `value`, weighted by how well each query matches each key.

  The logits are not divided by the root of kv: T5 has this factor in the initialiser of
  the query projection.
  Source: t5x/examples/t5/layers.py, dot_product_attention.

  Args:
    query: Query vectors.
    key: Key vectors.
    value: Value vectors.
    bias: Added to the logits.
    dropout_key: Random key for dropout of the weights; None: no dropout.
    dropout_rate: Share of key positions dropped, the same for all queries of a row.
    float32_logits: Compute logits and softmax in float32.

  Returns:
    The averages, in the type of `value`.
  """
  dtype = value.dtype
  if float32_logits:
    query, key = query.astype(jnp.float32), key.astype(jnp.float32)
  logits = jnp.einsum("bqhd,bkhd->bhqk", query, key)
  if bias is not None:
    logits = logits + jnp.broadcast_to(bias.astype(logits.dtype), logits.shape)
  weights = jax.nn.softmax(logits).astype(dtype)
  if dropout_key is not None and dropout_rate > 0.0:
    batch, heads, _, k_length = weights.shape
    keep_rate = 1.0 - dropout_rate
    keep = jax.random.bernoulli(dropout_key, keep_rate, (batch, heads, 1, k_length))
    weights = weights * (keep.astype(dtype) / jnp.asarray(keep_rate, dtype))
  return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class MultiHeadAttention(nn.Module):
  """Projects to heads, attends, projects back.

  With decode=True, the first call creates an empty cache with the length of its input;
  each later call takes one position and appends its key and value:

    cached_key, cached_value  [batch, heads, kv, length]
    cache_index               int32 scalar: positions filled so far

  The layout is that of T5X, whose beam search reorders these arrays along `batch`.

  Attributes:
    num_heads: Attention heads.
    head_dim: Width of one head.
    dropout_rate: Dropout of attention weights.
    dtype: Type of the computation.
    float32_logits: Compute logits and softmax in float32.
  """

  num_heads: int
  head_dim: int
  dropout_rate: float
  dtype: Any = jnp.float32
  float32_logits: bool = False

  @nn.compact
  def __call__(
    self,
    inputs_q: Float[Array, "batch q_length embed"],
    inputs_kv: Float[Array, "batch k_length embed"],
    mask: Bool[Array, "batch 1 q_length k_length"] | None = None,
    bias: Float[Array, "#batch heads b_length b_length"] | None = None,
    *,
    deterministic: bool,
    decode: bool = False,
  ) -> Float[Array, "batch q_length embed"]:
    """Attends from inputs_q to inputs_kv.

    Args:
      inputs_q: Vectors of the query positions.
      inputs_kv: Vectors of the key positions.
      mask: True where a query may attend to a key; None: everywhere.
      bias: Relative position bias; in a decode step, the bias of the whole length.
      deterministic: Whether dropout is off.
      decode: Use the cache, which also makes the mask; `mask` must then be None.

    Returns:
      One vector per query position.

    Raises:
      SymtuneError: The shapes of a decode step do not match the cache.
    """
    query = self._heads("query", inputs_q)
    # Dropout means training, where the order of products must be that of T5X.
    if deterministic and not decode and self._folding_pays(query, inputs_kv):
      x = self._attend_folded(query, inputs_kv, masked_bias(mask, bias, self.dtype))
    else:
      key = self._heads("key", inputs_kv)
      value = self._heads("value", inputs_kv)
      if decode:
        assert mask is None, "with a cache, a position attends to all earlier ones"
        key, value, mask, bias = self._use_cache(key, value, bias)
      has_dropout = not deterministic and self.dropout_rate > 0.0
      x = dot_product_attention(
        query,
        key,
        value,
        masked_bias(mask, bias, self.dtype),
        dropout_key=self.make_rng("dropout") if has_dropout else None,
        dropout_rate=self.dropout_rate,
        float32_logits=self.float32_logits,
      )
    joined = x.reshape(*x.shape[:2], self.num_heads * self.head_dim)
    return Dense(
      inputs_q.shape[-1],
      (axes.JOINED_KV, axes.EMBED),
      self.dtype,
      _KERNEL_INIT,
      name="out",
    )(joined)

  def _heads(
    self, name: str, x: Float[Array, "batch length embed"]
  ) -> Float[Array, "batch length heads kv"]:
    joined = self._dense(name)(x)
    heads = joined.reshape(*x.shape[:2], self.num_heads, self.head_dim)
    return with_logical_constraint(
      heads, (axes.BATCH, axes.LENGTH, axes.HEADS, axes.KV)
    )

  def _dense(self, name: str) -> Dense:
    def query_init(*args):
      # T5 applies the factor 1/sqrt(head_dim) here, once, instead of in every call.
      return _KERNEL_INIT(*args) / jnp.sqrt(jnp.float32(self.head_dim))

    return Dense(
      self.num_heads * self.head_dim,
      (axes.EMBED, axes.JOINED_KV),
      self.dtype,
      query_init if name == "query" else _KERNEL_INIT,
      name=name,
    )

  def _folding_pays(self, query: jax.Array, inputs_kv: jax.Array) -> bool:
    """Whether `_attend_folded` needs under half of the usual multiplications."""
    queries, keys = query.shape[1], inputs_kv.shape[1]
    return 2 * queries * (keys + self.head_dim) < keys * self.head_dim

  def _attend_folded(
    self,
    query: Float[Array, "batch q_length heads kv"],
    inputs_kv: Float[Array, "batch k_length embed"],
    bias: Float[Array, "#batch #heads q_length k_length"] | None,
  ) -> Float[Array, "batch q_length heads kv"]:
    """Attends from few queries to many positions without projecting the positions.

    query . (K x)  =  (query K) . x          sum of w V x  =  V (sum of w x)
    """
    batch, queries, heads, _ = query.shape
    embed = inputs_kv.shape[2]
    shape = (embed, heads, self.head_dim)
    key_kernel, value_kernel = (
      self._dense(name).kernel(embed).reshape(shape) for name in ("key", "value")
    )
    # All heads attend to the same vectors, so they become more queries of one head.
    lifted = jnp.einsum("bqhd,ehd->bhqe", query, key_kernel)
    if bias is not None:
      full = (batch, heads, queries, bias.shape[3])
      bias = jnp.broadcast_to(bias, full).reshape(batch, 1, heads * queries, full[3])
    shared = inputs_kv.astype(self.dtype)[:, :, None, :]
    found = dot_product_attention(
      lifted.reshape(batch, heads * queries, 1, embed),
      shared,
      shared,
      bias,
      float32_logits=self.float32_logits,
    )
    averages = found.reshape(batch, heads, queries, embed)
    return jnp.einsum("bhqe,ehd->bqhd", averages, value_kernel)

  def _use_cache(
    self,
    key: Float[Array, "batch length heads kv"],
    value: Float[Array, "batch length heads kv"],
    bias: Float[Array, "#batch heads b_length b_length"] | None,
  ) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None]:
    """Creates the cache, or appends one position; see the class docstring.

    Returns:
      Keys, values, mask and bias to attend with; in a decode step, of all positions.
    """
    is_step = self.has_variable("cache", "cached_key")
    new_key, new_value = jnp.moveaxis(key, 1, 3), jnp.moveaxis(value, 1, 3)
    keys = self.variable("cache", "cached_key", jnp.zeros, new_key.shape, new_key.dtype)
    values = self.variable(
      "cache", "cached_value", jnp.zeros, new_value.shape, new_value.dtype
    )
    index = self.variable("cache", "cache_index", jnp.zeros, (), jnp.int32)
    if not is_step:
      return key, value, None, bias
    length = keys.value.shape[3]
    _check_step(keys.value.shape, new_key.shape, bias)
    step = index.value
    keys.value = _put(keys.value, new_key, step)
    values.value = _put(values.value, new_value, step)
    index.value = step + 1
    seen = (jnp.arange(length) <= step)[None, None, None, :]
    mask = jnp.broadcast_to(seen, (key.shape[0], 1, 1, length))
    if bias is not None:
      bias = jax.lax.dynamic_slice_in_dim(bias, step, 1, axis=2)
    return jnp.moveaxis(keys.value, 3, 1), jnp.moveaxis(values.value, 3, 1), mask, bias


def _put(
  cache: Float[Array, "batch heads kv length"],
  new: Float[Array, "batch heads kv 1"],
  step: Int[Array, ""],
) -> Float[Array, "batch heads kv length"]:
  return jax.lax.dynamic_update_slice_in_dim(cache, new, step, axis=3)


def _check_step(cache_shape, new_shape, bias) -> None:
  if new_shape != (*cache_shape[:3], 1):
    raise SymtuneError(
      f"A decode step got keys of shape {new_shape} ([batch, heads, kv, length]); the "
      f"cache is {cache_shape}. Decode one position at a time, with the batch size "
      "that the cache was made for."
    )
  if bias is not None and bias.shape[3] != cache_shape[3]:
    raise SymtuneError(
      f"A decode step got a position bias of length {bias.shape[3]}; the cache has "
      f"{cache_shape[3]} positions. Pass max_decode_length={cache_shape[3]} to decode."
    )
