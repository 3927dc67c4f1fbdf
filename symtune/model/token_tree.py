"""Candidates -> one tree of tokens, so that a shared prefix is decoded once.

A node is a decoder position: the token it reads (`tokens`), its distance from the start
(`depths`), and the nodes it may attend to, which are itself and its ancestors
(`visible`). An edge is one token to predict: the node that predicts it, and its id.

  candidates   7 8 1   and   7 9 1   and   1        (1 ends a target)

  node           0  1  2  3
  tokens         0  7  8  9        0 starts every target
  depths         0  1  2  2
  visible        1
                 1  1
                 1  1  1
                 1  1     1

  edge           0  1  2  3  4  5
  edge_nodes     0  1  2  1  3  0
  edge_tokens    7  8  1  9  1  1
  members        1  1  1           candidate 7 8 1
                 1        1  1     candidate 7 9 1
                                1  candidate 1

The log-probability of a candidate is the sum over its edges. Without sharing, these
candidates would take seven positions.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

_FEWEST_NODES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenTree:
  """The tree of one prompt's candidates; the module docstring shows an example.

  Attributes:
    tokens: the token that each node reads.
    depths: distance of each node from the start.
    visible: `visible[i, j]` tells whether node i may attend to node j.
    edge_nodes: the node that predicts each edge's token.
    edge_tokens: the token of each edge.
    members: `members[i, j]` tells whether edge j belongs to candidate i.
  """

  tokens: Int[np.ndarray, " nodes"]
  depths: Int[np.ndarray, " nodes"]
  visible: Bool[np.ndarray, "nodes nodes"]
  edge_nodes: Int[np.ndarray, " edges"]
  edge_tokens: Int[np.ndarray, " edges"]
  members: Bool[np.ndarray, "candidates edges"]


class TreeBatch(NamedTuple):
  """The trees of several prompts, padded to the same size, as input of the network.

  Padding nodes attend only to themselves; padding edges predict token 0 from node 0.
  """

  tokens: Int[np.ndarray, "prompts nodes"]
  depths: Int[np.ndarray, "prompts nodes"]
  visible: Bool[np.ndarray, "prompts nodes nodes"]
  edge_nodes: Int[np.ndarray, "prompts edges"]
  edge_tokens: Int[np.ndarray, "prompts edges"]


def make_tree(candidates: Sequence[Sequence[int]]) -> TokenTree:
  """Builds the tree of complete targets.

  Args:
    candidates: token ids of each candidate with what ends it: EOS, or for a
      decoder-only network a blank line; at least one candidate.

  Returns:
    The tree; `members[i]` belongs to `candidates[i]`.
  """
  assert candidates, "nothing to score"
  assert all(len(c) for c in candidates), "a target holds at least EOS"
  tokens, parents, depths = [0], [-1], [0]
  node_by_prefix: dict[tuple[int, ...], int] = {(): 0}
  edge_by_path: dict[tuple[int, ...], int] = {}
  edges: list[tuple[int, int]] = []
  paths: list[list[int]] = []
  for candidate in candidates:
    ids = tuple(int(token) for token in candidate)
    path = []
    for i, token in enumerate(ids):
      node = node_by_prefix.get(ids[:i])
      if node is None:
        node = node_by_prefix[ids[:i]] = len(tokens)
        tokens.append(ids[i - 1])
        parents.append(node_by_prefix[ids[: i - 1]])
        depths.append(i)
      if ids[: i + 1] not in edge_by_path:
        edge_by_path[ids[: i + 1]] = len(edges)
        edges.append((node, token))
      path.append(edge_by_path[ids[: i + 1]])
    paths.append(path)
  members = np.zeros((len(paths), len(edges)), np.bool_)
  for row, path in enumerate(paths):
    members[row, path] = True
  edge_nodes, edge_tokens = np.asarray(edges, np.int32).T
  return TokenTree(
    tokens=np.asarray(tokens, np.int32),
    depths=np.asarray(depths, np.int32),
    visible=_visible(parents),
    edge_nodes=edge_nodes,
    edge_tokens=edge_tokens,
    members=members,
  )


def padded_nodes(trees: Sequence[TokenTree]) -> int:
  """The size to which these trees are padded in a batch: 8, 12, 16, 24, 32, 48, ...

  Twice as many edges fit, too: many one-token candidates are edges of one node.
  """
  largest = max(
    max(len(tree.tokens), math.ceil(len(tree.edge_nodes) / 2)) for tree in trees
  )
  nodes = _FEWEST_NODES
  while nodes < largest:
    nodes *= 2
  between = 3 * nodes // 4
  return between if nodes > _FEWEST_NODES and largest <= between else nodes


def batch_trees(trees: Sequence[TokenTree], rows: int, nodes: int) -> TreeBatch:
  """Pads trees: arrays of nodes to [rows, nodes], of edges to [rows, 2 * nodes].

  Args:
    trees: at most `rows` of them.
    rows: number of prompts in the batch; those beyond `trees` are padding.
    nodes: number of nodes to pad to, at least `padded_nodes(trees)`.
  """
  batch = TreeBatch(
    tokens=np.zeros((rows, nodes), np.int32),
    depths=np.zeros((rows, nodes), np.int32),
    visible=np.broadcast_to(np.eye(nodes, dtype=np.bool_), (rows, nodes, nodes)).copy(),
    edge_nodes=np.zeros((rows, 2 * nodes), np.int32),
    edge_tokens=np.zeros((rows, 2 * nodes), np.int32),
  )
  for row, tree in enumerate(trees):
    size, edges = len(tree.tokens), len(tree.edge_nodes)
    batch.tokens[row, :size] = tree.tokens
    batch.depths[row, :size] = tree.depths
    batch.visible[row, :size, :size] = tree.visible
    batch.edge_nodes[row, :edges] = tree.edge_nodes
    batch.edge_tokens[row, :edges] = tree.edge_tokens
  return batch


def _visible(parents: Sequence[int]) -> Bool[np.ndarray, "nodes nodes"]:
  visible = np.eye(len(parents), dtype=np.bool_)
  for node, parent in enumerate(parents):
    if parent >= 0:
      visible[node] |= visible[parent]
  return visible
