"""Logits -> the next token of each row: the likeliest, or drawn at random."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt32

from symtune.errors import SymtuneError

# (logits [batch, vocab], step) -> tokens [batch]
Choose = Callable[[jax.Array, jax.Array], jax.Array]


def likeliest(
  logits: Float[Array, "batch vocab"], step: Int[Array, ""]
) -> Int[Array, " batch"]:
  """The likeliest token of each row, at any step."""
  del step
  return jnp.argmax(logits, axis=-1)


def make_sampler(
  rng_key: Key[Array, ""] | UInt32[Array, "2"],
  *,
  rows: int,
  vocab_size: int,
  temperature: float,
  top_k: int | None,
) -> Choose:
  """Draws tokens.

  Row r at step s draws with `fold_in(fold_in(rng_key, r), s)`, so a row's tokens do not
  depend on the rows after it.

  Args:
    rng_key: Random key.
    rows: Rows of the batch.
    vocab_size: Token ids.
    temperature: Divides the logits; below 1 sharpens, above 1 flattens.
    top_k: Draw only among this many of the likeliest tokens; None: among all.

  Returns:
    (logits [rows, vocab], step) -> tokens [rows].

  Raises:
    SymtuneError: temperature or top_k is not positive, or top_k exceeds the vocabulary.
  """
  if not temperature > 0.0:
    raise SymtuneError(
      f"temperature is {temperature}; expected above 0. To take the likeliest token, "
      "use generate_greedy."
    )
  if top_k is not None and not 1 <= top_k <= vocab_size:
    raise SymtuneError(f"top_k is {top_k}; expected 1 to {vocab_size}, the vocabulary.")
  row_keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(rng_key, jnp.arange(rows))

  def draw(logits: jax.Array, step: jax.Array) -> jax.Array:
    scaled = logits / temperature
    if top_k is not None:
      lowest = jax.lax.top_k(scaled, top_k)[0][:, -1:]
      scaled = jnp.where(scaled < lowest, -jnp.inf, scaled)
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(row_keys, step)
    return jax.vmap(jax.random.categorical)(keys, scaled)

  return draw
