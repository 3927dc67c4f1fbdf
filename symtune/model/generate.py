"""Greedy and sampled generation with a decode cache."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, UInt32

from symtune.errors import SymtuneError
from symtune.model.network import Params, Transformer
from symtune.model.sampling import (
  Choose,
  likeliest,
  make_sampler,
  penalize_presence,
)

PAD_ID = 0
EOS_ID = 1


class _State(NamedTuple):
  """What the loop carries from one position to the next."""

  step: Int[Array, ""]
  last: Int[Array, "batch 1"]
  output: Int[Array, "batch max_length"]
  is_done: Bool[Array, " batch"]
  cache: Any


def empty_cache(
  network: Transformer,
  params: Params,
  inputs: Int[Array, "batch enc_length"],
  max_length: int,
) -> Any:
  """A decode cache of zeros, made without running the network.

  Args:
    network: The network.
    params: Its parameters.
    inputs: Encoder tokens; only the shape is used.
    max_length: Number of positions that the cache can hold.

  Returns:
    The "cache" collection: for each decoder layer, cached_key and cached_value, both
    [batch, heads, kv, max_length], and cache_index.
  """
  targets = jnp.zeros((inputs.shape[0], max_length), jnp.int32)

  def first_call():
    return network.apply(
      {"params": params},
      inputs,
      targets,
      targets,
      enable_dropout=False,
      decode=True,
      mutable=["cache"],
    )[1]["cache"]

  shapes = jax.eval_shape(first_call)
  return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def generate_greedy(
  network: Transformer,
  params: Params,
  inputs: Int[Array, "batch enc_length"],
  max_length: int,
  *,
  presence_penalty: float = 0.0,
) -> Int[Array, "batch max_length"]:
  """Takes the likeliest token, position by position, until EOS.

  Stops early once every row has ended. Pure; jit it with network, max_length and
  presence_penalty static.

  Args:
    network: The network.
    params: Its parameters.
    inputs: One prompt per row, 0 for padding.
    max_length: Most tokens to generate, EOS included.
    presence_penalty: Taken from the logits of tokens that the row already holds.

  Returns:
    Generated ids, int32: EOS is kept, padding (0) follows it.

  Raises:
    SymtuneError: max_length is not positive.
  """
  choose = penalize_presence(likeliest, presence_penalty)
  return _generate(network, params, inputs, max_length, choose)


def generate_sampled(
  network: Transformer,
  params: Params,
  inputs: Int[Array, "batch enc_length"],
  max_length: int,
  rng_key: Key[Array, ""] | UInt32[Array, "2"],
  *,
  temperature: float = 1.0,
  top_k: int | None = None,
  top_p: float | None = None,
  presence_penalty: float = 0.0,
  samples: int = 1,
) -> Int[Array, "_rows max_length"]:
  """Draws tokens, position by position, until EOS.

  Row r at step s draws with `fold_in(fold_in(rng_key, r), s)`, so a row's tokens do not
  depend on the rows after it or on max_length. Pure; jit it with network, max_length
  and the settings of the draw static.

  Args:
    network: The network.
    params: Its parameters.
    inputs: One prompt per row, 0 for padding.
    max_length: Most tokens to generate, EOS included.
    rng_key: Random key.
    temperature: Divides the logits; below 1 sharpens, above 1 flattens.
    top_k: Draw only among this many of the likeliest tokens; None: among all.
    top_p: Draw only among the fewest tokens that are this likely together; None: among
      all.
    presence_penalty: Taken from the logits of tokens that the row already holds.
    samples: Rows of each prompt, one after another; the encoder reads it once.

  Returns:
    Generated ids, int32: EOS is kept, padding (0) follows it.

  Raises:
    SymtuneError: max_length, temperature or top_k is not positive, top_k exceeds the
      vocabulary, or top_p is not in (0, 1].
  """
  choose = make_sampler(
    rng_key,
    rows=samples * len(inputs),
    vocab_size=network.config.vocab_size,
    temperature=temperature,
    top_k=top_k,
    top_p=top_p,
  )
  choose = penalize_presence(choose, presence_penalty)
  return _generate(network, params, inputs, max_length, choose, samples)


def _generate(
  network: Transformer,
  params: Params,
  inputs: Int[Array, "batch enc_length"],
  max_length: int,
  choose: Choose,
  samples: int = 1,
) -> Int[Array, "_rows max_length"]:
  """Runs the decoder step by step; `choose` takes the tokens."""
  if max_length < 1:
    raise SymtuneError(f"max_length is {max_length}; expected at least 1.")
  variables = {"params": params}
  encoded = network.apply(variables, inputs, enable_dropout=False, method="encode")
  assert isinstance(encoded, jax.Array)  # not a tuple: no collection is mutable
  encoded, inputs = (jnp.repeat(x, samples, axis=0) for x in (encoded, inputs))

  def is_unfinished(state: _State) -> jax.Array:
    return (state.step < max_length) & ~jnp.all(state.is_done)

  def advance(state: _State) -> _State:
    logits, updated = network.apply(
      {**variables, "cache": state.cache},
      encoded,
      inputs,
      state.last,
      state.last,
      enable_dropout=False,
      decode=True,
      max_decode_length=max_length,
      mutable=["cache"],
      method="decode",
    )
    chosen = choose(logits[:, -1, :], state.step, state.output).astype(jnp.int32)
    token = jnp.where(state.is_done, PAD_ID, chosen)[:, None]
    return _State(
      step=state.step + 1,
      last=token,
      output=jax.lax.dynamic_update_slice_in_dim(
        state.output, token, state.step, axis=1
      ),
      is_done=state.is_done | (token[:, 0] == EOS_ID),
      cache=updated["cache"],
    )

  batch = inputs.shape[0]
  start = _State(
    step=jnp.int32(0),
    last=jnp.zeros((batch, 1), jnp.int32),
    output=jnp.full((batch, max_length), PAD_ID, jnp.int32),
    is_done=jnp.zeros((batch,), bool),
    cache=empty_cache(network, params, inputs, max_length),
  )
  return jax.lax.while_loop(is_unfinished, advance, start).output
