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
  places       1 2 3 4 5      of the nodes among the tokens of all rows

Short prompts may share a row, one behind another; they do not see each other.

Logits are computed at the nodes alone, and for a few prompts at a time: with 262,144
ids, those of a whole batch would take more memory than the network.
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
  from node 0, and the nodes of padding prompts are the first token of all.
  """

  tokens: Int[np.ndarray, "rows length"]
  positions: Int[np.ndarray, "rows length"]
  visible: Bool[np.ndarray, "rows length length"]
  places: Int[np.ndarray, "prompts nodes"]
  edge_nodes: Int[np.ndarray, "prompts edges"]
  edge_tokens: Int[np.ndarray, "prompts edges"]


def tree_rows(
  rests: Sequence[Int[np.ndarray, " _rest"]],
  trees: Sequence[TokenTree],
  *,
  start: int,
  row_of: Sequence[int],
  shape: tuple[int, int],
  prompts: int,
  nodes: int,
  attention: PromptAttention = PromptAttention.CAUSAL,
) -> TreeRows:
  """Builds rows.

  Args:
    rests: What follows the prefix in each prompt; at least one token each.
    trees: The candidates of each prompt.
    start: Tokens of the prefix.
    row_of: The row of each prompt, where it stands behind those before it.
    shape: Rows, and tokens to pad each to; a row has room for the `row_length` of
      its prompts together.
    prompts: Prompts to pad to; at least as many as there are.
    nodes: Nodes to pad to, at least `padded_nodes(trees)`.
    attention: What a prompt's tokens attend to. With PREFIX nothing can stand in the
      cache, because its tokens would have to see the rest of the prompt.

  Returns:
    The rows.
  """
  rows, length = shape
  padded = batch_trees(trees, prompts, nodes)
  tokens, positions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
  places = np.zeros((prompts, nodes), np.int32)
  visible = np.broadcast_to(np.eye(length, dtype=bool), (rows, length, length)).copy()
  used = [0] * rows
  for prompt, (row, rest, tree) in enumerate(zip(row_of, rests, trees, strict=True)):
    first = used[row]
    root, end = first + len(rest) - 1, first + row_length(rest, tree)
    used[row] = end
    tokens[row, first : root + 1] = rest
    tokens[row, root + 1 : end] = tree.tokens[1:]
    positions[row, first:root] = start + np.arange(root - first)
    positions[row, root:end] = start + root - first + tree.depths
    visible[row, first:root, first:root] = np.tri(root - first, dtype=bool)
    visible[row, root:end, first:root] = True
    visible[row, root:end, root:end] = tree.visible
    if attention is PromptAttention.PREFIX:
      visible[row, first : root + 1, first : root + 1] = True
    in_row = np.minimum(root + np.arange(nodes), length - 1)
    places[prompt] = row * length + in_row
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
) -> Float32[Array, "prompts edges"]:
  """Computes log p(token) of each edge of each prompt. Pure; may be jitted.

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
  at_nodes = vectors.reshape(-1, vectors.shape[-1])[rows.places]

  def score(part: tuple[Any, ...]) -> Float32[Array, "_prompts edges"]:
    return _edge_scores(network, params, *part)

  count, nodes = rows.places.shape
  size = _prompts_at_once(count, nodes * network.config.vocab_size)
  parts = (at_nodes, rows.edge_nodes, rows.edge_tokens)
  if size == count:
    return score(parts)
  split = jax.tree.map(lambda x: x.reshape(count // size, size, *x.shape[1:]), parts)
  return jax.lax.map(score, split).reshape(count, -1)


def _edge_scores(
  network: Decoder,
  params: Params,
  vectors: Float[Array, "prompts nodes embed"],
  edge_nodes: Int[Array, "prompts edges"],
  edge_tokens: Int[Array, "prompts edges"],
) -> Float32[Array, "prompts edges"]:
  logits = network.apply({"params": params}, vectors, method="logits")
  assert isinstance(logits, jax.Array)
  norms = jax.scipy.special.logsumexp(logits, axis=-1)
  prompt = jnp.arange(len(logits))[:, None]
  return logits[prompt, edge_nodes, edge_tokens] - norms[prompt, edge_nodes]


def _prompts_at_once(prompts: int, logits_per_prompt: int) -> int:
  """The largest share of the prompts whose logits fit into `_MOST_LOGITS`."""
  size = prompts
  while size > 1 and (prompts % size or size * logits_per_prompt > _MOST_LOGITS):
    size -= 1
  return size
