"""Logits -> the next token of each row: the likeliest, or drawn at random.

Both can be made to avoid what a row already holds (`penalize_presence`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt32

from symtune.errors import SymtuneError

_HALVINGS = 50  # more than the bits of a probability

# (logits [batch, vocab], step, output [batch, max_length]) -> tokens [batch], where the
# output's first `step` tokens were generated before.
Choose = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def likeliest(
  logits: Float[Array, "batch vocab"],
  step: Int[Array, ""],
  output: Int[Array, "batch max_length"],
) -> Int[Array, " batch"]:
  """The likeliest token of each row, at any step."""
  del step, output
  return jnp.argmax(logits, axis=-1)


def penalize_presence(choose: Choose, penalty: float) -> Choose:
  """Makes a row's own tokens less likely: their logits are lowered, however many.

  This is the presence penalty of OpenAI's API, of which tokens of the prompt are no
  part.

  Args:
    choose: Takes a token of the lowered logits.
    penalty: What is taken from the logits, in nats; 0 changes nothing.
  """
  if not penalty:
    return choose

  def choose_penalized(
    logits: jax.Array, step: jax.Array, output: jax.Array
  ) -> jax.Array:
    rows, vocab = logits.shape
    is_written = (jnp.arange(output.shape[1]) < step)[None, :] & (output >= 0)
    places = (jnp.arange(rows)[:, None], jnp.where(is_written, output, vocab))
    seen = jnp.zeros((rows, vocab), logits.dtype).at[places].set(1.0, mode="drop")
    return choose(logits - penalty * seen, step, output)

  return choose_penalized


def make_sampler(
  rng_key: Key[Array, ""] | UInt32[Array, "2"],
  *,
  rows: int,
  vocab_size: int,
  temperature: float,
  top_k: int | None,
  top_p: float | None = None,
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
    top_p: Draw only among the fewest tokens that are this likely together, after the
      temperature (Holtzman et al. 2020, arXiv 1904.09751); None: among all.

  Raises:
    SymtuneError: temperature or top_k is not positive, top_k exceeds the vocabulary, or
      top_p is not in (0, 1].
  """
  if not temperature > 0.0:
    raise SymtuneError(
      f"temperature is {temperature}; expected above 0. To take the likeliest token, "
      "use generate_greedy."
    )
  if top_k is not None and not 1 <= top_k <= vocab_size:
    raise SymtuneError(f"top_k is {top_k}; expected 1 to {vocab_size}, the vocabulary.")
  if top_p is not None and not 0.0 < top_p <= 1.0:
    raise SymtuneError(f"top_p is {top_p}; expected above 0 and at most 1.")
  row_keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(rng_key, jnp.arange(rows))

  def draw(logits: jax.Array, step: jax.Array, output: jax.Array) -> jax.Array:
    del output
    scaled = logits / temperature
    if top_k is not None:
      lowest = jax.lax.top_k(scaled, top_k)[0][:, -1:]
      scaled = jnp.where(scaled < lowest, -jnp.inf, scaled)
    if top_p is not None and top_p < 1.0:
      p = jax.nn.softmax(scaled, axis=-1)
      scaled = jnp.where(p < _least_likely(p, top_p), -jnp.inf, scaled)
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(row_keys, step)
    return jax.vmap(jax.random.categorical)(keys, scaled)

  return draw


def _least_likely(
  p: Float[Array, "batch vocab"], top_p: float
) -> Float[Array, "batch 1"]:
  """The lowest probability of the fewest tokens that sum to `top_p`.

  It is found by halving, since sorting a large vocabulary on a CPU takes longer than
  the network.
  """

  def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    low, high = bounds
    middle = (low + high) / 2
    mass = jnp.sum(jnp.where(p >= middle, p, 0.0), axis=-1, keepdims=True)
    is_enough = mass >= top_p
    return jnp.where(is_enough, middle, low), jnp.where(is_enough, high, middle)

  highest = jnp.max(p, axis=-1, keepdims=True)
  low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.zeros_like(highest), highest))
  # The likeliest token alone may be enough, which no middle reaches.
  mass = jnp.sum(jnp.where(p >= high, p, 0.0), axis=-1, keepdims=True)
  return jnp.where(mass >= top_p, high, low)
