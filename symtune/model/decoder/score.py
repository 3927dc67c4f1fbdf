"""Log-probability of candidates after prompts, in nats; each prompt is read once.

A row holds the rest of a prompt and then the tree of its candidates (`token_tree.py`).
The tree's first node is the prompt's last token. What several prompts have in common at
their start, such as their exemplars, is read once into a cache that stands before all
rows. Without a common start the cache has no slots.

  prefix       5 6            of all rows
  candidates   8 9 1   and   8 7 1   and   9 1

  row          3 4 8 9 7 9    rest of the prompt, then the nodes but the first
  positions    2 3 4 5 5 4
  visible      1              and all of the prefix
               1 1
               1 1 1
               1 1 1 1
               1 1 1   1
               1 1       1
  places       1 2 3 4 5      of the nodes in the row

Logits are computed at the nodes alone, and for a few rows at a time: with 262,144 ids,
those of a whole batch would take more memory than the network.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from symtune.model.decoder.cache import Cache, empty_cache
from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.network import Decoder, Params
from symtune.model.token_tree import TokenTree, batch_trees

# Logits that exist at the same time: 128 MB in float32.
_MOST_LOGITS = 2**25


class TreeRows(NamedTuple):
  """Rows of the module's docstring, padded to one size, as input of the network.

  Padding tokens attend only to themselves and the prefix; padding edges predict token 0
  from node 0.
  """

  tokens: Int[np.ndarray, "rows length"]
  positions: Int[np.ndarray, "rows length"]
  visible: Bool[np.ndarray, "rows length length"]
  places: Int[np.ndarray, "rows nodes"]
  edge_nodes: Int[np.ndarray, "rows edges"]
  edge_tokens: Int[np.ndarray, "rows edges"]


def tree_rows(
  rests: Sequence[Int[np.ndarray, " _rest"]],
  trees: Sequence[TokenTree],
  *,
  start: int,
  rows: int,
  length: int,
  nodes: int,
  attention: PromptAttention = PromptAttention.CAUSAL,
) -> TreeRows:
  """Builds rows.

  Args:
    rests: What follows the prefix in each prompt; at least one token each.
    trees: The candidates of each prompt.
    start: Tokens of the prefix.
    rows: Rows to pad to; at least as many as there are prompts.
    length: Tokens of a row to pad to; at least `row_length` of each prompt.
    nodes: Nodes to pad to, at least `padded_nodes(trees)`.
    attention: What a prompt's tokens attend to. With PREFIX nothing can stand in the
      cache, because its tokens would have to see the rest of the prompt.

  Returns:
    The rows.
  """
  padded = batch_trees(trees, rows, nodes)
  tokens, positions, places = (
    np.zeros((rows, size), np.int32) for size in (length, length, nodes)
  )
  visible = np.broadcast_to(np.eye(length, dtype=bool), (rows, length, length)).copy()
  for row, (rest, tree) in enumerate(zip(rests, trees, strict=True)):
    root, end = len(rest) - 1, row_length(rest, tree)
    tokens[row, : root + 1] = rest
    tokens[row, root + 1 : end] = tree.tokens[1:]
    positions[row, :root] = start + np.arange(root)
    positions[row, root:end] = start + root + tree.depths
    visible[row, :root, :root] = np.tri(root, dtype=bool)
    visible[row, root:end, :root] = True
    visible[row, root:end, root:end] = tree.visible
    if attention is PromptAttention.PREFIX:
      visible[row, : root + 1, : root + 1] = True
    places[row] = np.minimum(root + np.arange(nodes), length - 1)
  return TreeRows(
    tokens=tokens,
    positions=positions,
    visible=visible,
    places=places,
    edge_nodes=padded.edge_nodes,
    edge_tokens=padded.edge_tokens,
  )


def row_length(rest: Int[np.ndarray, " _rest"], tree: TokenTree) -> int:
  """Tokens that a prompt and its candidates take in a row; see `tree_rows`."""
  return len(rest) + len(tree.tokens) - 1


def read_prefix(
  network: Decoder,
  params: Params,
  tokens: Int[Array, "1 length"],
  count: Int[Array, ""],
  slots: int,
) -> Cache:
  """Reads what several prompts have in common. Pure; jit it with `slots` static.

  Args:
    network: The network.
    params: Its parameters.
    tokens: Token ids, with padding on the right.
    count: Tokens without padding.
    slots: Slots of the cache, at least `length`: few sizes mean few compilations.

  Returns:
    The cache of one row.
  """
  places = jnp.arange(tokens.shape[1])[None, :]
  is_token = places < count
  cache = empty_cache(network.config, batch=1, slots=slots)
  extended: Any = network.apply(
    {"params": params},
    tokens,
    cache,
    jnp.where(is_token, places, 0),  # a model may have no positions for the padding
    is_token=is_token,
    select=jnp.zeros((1, 1), jnp.int32),
    method="extend",
  )
  return extended[1]


def score_rows(
  network: Decoder, params: Params, prefix: Cache, rows: TreeRows
) -> Float32[Array, "rows edges"]:
  """Computes log p(token) of each edge of each row. Pure; may be jitted.

  The score of a candidate is the sum over its edges (`TokenTree.members`).

  Args:
    network: The network.
    params: Its parameters.
    prefix: What stands before all rows, from `read_prefix`; or a cache without slots.
    rows: The rows.

  Returns:
    Log-probabilities in nats; those of padding edges are meaningless.
  """
  vectors = network.apply(
    {"params": params},
    rows.tokens,
    prefix,
    rows.positions,
    rows.visible,
    method="branch",
  )
  assert isinstance(vectors, jax.Array)
  at_nodes = jnp.take_along_axis(vectors, rows.places[:, :, None], axis=1)

  def score(part: tuple[Any, ...]) -> Float32[Array, "_rows edges"]:
    return _edge_scores(network, params, *part)

  count, nodes = rows.places.shape
  size = _rows_at_once(count, nodes * network.config.vocab_size)
  parts = (at_nodes, rows.edge_nodes, rows.edge_tokens)
  if size == count:
    return score(parts)
  split = jax.tree.map(lambda x: x.reshape(count // size, size, *x.shape[1:]), parts)
  return jax.lax.map(score, split).reshape(count, -1)


def _edge_scores(
  network: Decoder,
  params: Params,
  vectors: Float[Array, "rows nodes embed"],
  edge_nodes: Int[Array, "rows edges"],
  edge_tokens: Int[Array, "rows edges"],
) -> Float32[Array, "rows edges"]:
  logits = network.apply({"params": params}, vectors, method="logits")
  assert isinstance(logits, jax.Array)
  norms = jax.scipy.special.logsumexp(logits, axis=-1)
  row = jnp.arange(len(logits))[:, None]
  return logits[row, edge_nodes, edge_tokens] - norms[row, edge_nodes]


def _rows_at_once(rows: int, logits_per_row: int) -> int:
  """The largest share of the rows whose logits fit into `_MOST_LOGITS`."""
  size = rows
  while size > 1 and (rows % size or size * logits_per_row > _MOST_LOGITS):
    size -= 1
  return size
