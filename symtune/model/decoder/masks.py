"""Which token of a row may look at which, and how far back a windowed layer sees.

Every mask is boolean, [batch, q_length, k_length]. In the drawings a row is a query, a
column is a key, and 1 means that the query may attend to the key.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def row_mask(
  segment_ids: Int[Array, "batch length"] | None,
  is_prefix: Bool[Array, "batch length"] | None,
  *,
  length: int,
) -> Bool[Array, "#batch {length} {length}"]:
  """A token attends to earlier tokens of its example, and all of a prefix to itself.

  segment_ids = [1, 1, 1, 2, 2, 0], is_prefix = [1, 1, 0, 0, 0, 0]:

    1 1 0 0 0 0
    1 1 0 0 0 0
    1 1 1 0 0 0
    0 0 0 1 0 0
    0 0 0 1 1 0
    0 0 0 0 0 1

  Padding (segment 0) sees padding, which nothing else sees.

  Args:
    segment_ids: Example of each token, 0 for padding; None: one example per row.
    is_prefix: Tokens of prompts, which see each other in both directions within their
      example; None: causal throughout.
    length: Number of tokens in a row.

  Returns:
    The mask; without segments and prefixes, the same for every row.
  """
  place = jnp.arange(length)
  mask = (place[:, None] >= place[None, :])[None, :, :]
  if is_prefix is not None:
    both = is_prefix[:, :, None] & is_prefix[:, None, :]
    mask = jnp.broadcast_to(mask, both.shape) | both
  if segment_ids is not None:
    same = segment_ids[:, :, None] == segment_ids[:, None, :]
    mask = jnp.broadcast_to(mask, same.shape) & same
  return mask


def window_mask(
  q_positions: Int[Array, "batch q_length"],
  k_positions: Int[Array, "batch k_length"],
  window: int,
) -> Bool[Array, "batch q_length k_length"]:
  """A query attends to keys that are less than `window` positions away.

  q_positions = k_positions = [0, 1, 2, 3], window = 2:

    1 1 0 0
    1 1 1 0
    0 1 1 1
    0 0 1 1

  Ahead, too: in a prefix, a token sees equally far in both directions.

  Args:
    q_positions: Positions of the queries in their examples.
    k_positions: Positions of the keys.
    window: Number of positions seen back, the query's own included.

  Returns:
    The mask; combine it with one that says which example and direction is seen.
  """
  distance = q_positions[:, :, None] - k_positions[:, None, :]
  return jnp.abs(distance) < window
