"""Greedy and sampled generation, one token at a time, on a key-value cache.

A row ends with EOS, or with given sequences of tokens such as those of a blank line.
Rows of different lengths are padded on the right: slots of the cache know their
positions, so that the first generated token of each row follows its own last one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, UInt32

from symtune.errors import SymtuneError
from symtune.model.decoder.cache import Cache, empty_cache, repeat_rows
from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.masks import row_mask
from symtune.model.decoder.network import Decoder, Params
from symtune.model.sampling import (
  Choose,
  likeliest,
  make_sampler,
  penalize_presence,
)

NO_TOKEN = -1  # after the end of a row: any other number may be a token


class Ends(NamedTuple):
  """What ends a row.

  Attributes:
    eos_id: The row ends with this token.
    stops: It also ends with any of these sequences of tokens.
  """

  eos_id: int
  stops: tuple[tuple[int, ...], ...] = ()


class _State(NamedTuple):
  """What the loop carries from one position to the next.

  Attributes:
    step: Tokens of each row so far.
    output: The tokens, after as many others as a stop sequence can reach back.
    is_done: Rows that have ended.
    cache: What was read so far; not yet the last token.
  """

  step: Int[Array, ""]
  output: Int[Array, "batch _places"]
  is_done: Bool[Array, " batch"]
  cache: Cache


def generate_greedy(
  network: Decoder,
  params: Params,
  inputs: Int[Array, "batch length"],
  lengths: Int[Array, " batch"],
  ends: Ends,
  max_length: int,
  *,
  presence_penalty: float = 0.0,
) -> Int[Array, "batch {max_length}"]:
  """Takes the likeliest token, position by position, until the row ends.

  Stops early once every row has ended. Pure; jit it with network, ends, max_length and
  presence_penalty static.

  Args:
    network: The network.
    params: Its parameters.
    inputs: One prompt per row, padded on the right with any id.
    lengths: Tokens of each prompt, at least 1.
    ends: What ends a row.
    max_length: Most tokens to generate, with those that end the row.
    presence_penalty: Taken from the logits of tokens that the row already holds.

  Returns:
    Generated ids, int32, with those that end the row, and then `NO_TOKEN`.

  Raises:
    SymtuneError: max_length is not positive.
  """
  choose = penalize_presence(likeliest, presence_penalty)
  return _generate(network, params, inputs, lengths, ends, max_length, choose)


def generate_sampled(
  network: Decoder,
  params: Params,
  inputs: Int[Array, "batch length"],
  lengths: Int[Array, " batch"],
  ends: Ends,
  max_length: int,
  rng_key: Key[Array, ""] | UInt32[Array, "2"],
  *,
  temperature: float = 1.0,
  top_k: int | None = None,
  top_p: float | None = None,
  presence_penalty: float = 0.0,
  samples: int = 1,
) -> Int[Array, "_rows {max_length}"]:
  """Draws tokens, position by position, until the row ends.

  A row's tokens do not depend on the rows after it, on padding or on max_length
  (`model.sampling`). Pure; jit it with network, ends, max_length and the settings of
  the draw static.

  Args:
    network: The network.
    params: Its parameters.
    inputs: As of `generate_greedy`.
    lengths: As of `generate_greedy`.
    ends: What ends a row.
    max_length: Most tokens to generate, with those that end the row.
    rng_key: Random key.
    temperature: Divides the logits; below 1 sharpens, above 1 flattens.
    top_k: Draw only among this many of the likeliest tokens; None: among all.
    top_p: Draw only among the fewest tokens that are this likely together; None: among
      all.
    presence_penalty: Taken from the logits of tokens that the row already holds.
    samples: Rows of each prompt, one after another; each prompt is read once.

  Returns:
    As of `generate_greedy`.

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
  return _generate(network, params, inputs, lengths, ends, max_length, choose, samples)


def _generate(
  network: Decoder,
  params: Params,
  inputs: Int[Array, "batch length"],
  lengths: Int[Array, " batch"],
  ends: Ends,
  max_length: int,
  choose: Choose,
  samples: int = 1,
) -> Int[Array, "_rows {max_length}"]:
  """Reads the prompts, then token by token; `choose` turns logits into tokens."""
  if max_length < 1:
    raise SymtuneError(f"max_length is {max_length}; expected at least 1.")
  batch, length = inputs.shape
  reach = max([len(stop) - 1 for stop in ends.stops], default=0)

  def extend(tokens, cache, positions, **about) -> Any:
    return network.apply(
      {"params": params}, tokens, cache, positions, **about, method="extend"
    )

  def put(state: _State, logits: jax.Array, cache: Cache) -> _State:
    chosen = choose(logits, state.step, state.output[:, reach:]).astype(jnp.int32)
    token = jnp.where(state.is_done, NO_TOKEN, chosen)
    output = jax.lax.dynamic_update_slice_in_dim(
      state.output, token[:, None], state.step + reach, axis=1
    )
    is_done = state.is_done | (token == ends.eos_id)
    for stop in ends.stops:
      start = state.step + reach + 1 - len(stop)
      last = jax.lax.dynamic_slice_in_dim(output, start, len(stop), axis=1)
      is_done |= jnp.all(last == jnp.asarray(stop)[None, :], axis=1)
    return _State(state.step + 1, output, is_done, cache)

  def is_unfinished(state: _State) -> jax.Array:
    return (state.step < max_length) & ~jnp.all(state.is_done)

  def advance(state: _State) -> _State:
    last = jax.lax.dynamic_slice_in_dim(state.output, state.step - 1 + reach, 1, axis=1)
    # A row that has ended reads some token, whose logits nobody looks at.
    position = (lengths + state.step - 1)[:, None]
    logits, cache = extend(jnp.maximum(last, 0), state.cache, position)
    return put(state, logits[:, 0], cache)

  places = jnp.broadcast_to(jnp.arange(length)[None, :], (batch, length))
  is_prompt = places < lengths[:, None]
  is_both_ways = network.config.attention is PromptAttention.PREFIX
  logits, cache = extend(
    inputs,
    empty_cache(network.config, batch=batch, slots=length + max_length - 1),
    jnp.where(is_prompt, places, 0),  # a model may have no positions for the padding
    is_token=is_prompt,
    mask=row_mask(None, is_prompt, length=length) if is_both_ways else None,
    select=lengths[:, None] - 1,
  )
  rows = batch * samples
  logits, lengths = (jnp.repeat(x, samples, axis=0) for x in (logits, lengths))
  cache = repeat_rows(cache, samples)
  start = _State(
    step=jnp.int32(0),
    output=jnp.full((rows, reach + max_length), NO_TOKEN, jnp.int32),
    is_done=jnp.zeros((rows,), bool),
    cache=cache,
  )
  found = jax.lax.while_loop(is_unfinished, advance, put(start, logits[:, 0], cache))
  return found.output[:, reach:]
