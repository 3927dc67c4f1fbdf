"""A tree of candidates scores them as one by one does, at fewer positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symtune.model.score import score_candidates, score_trees
from symtune.model.token_tree import batch_trees, make_tree, padded_nodes

_TREES = jax.jit(score_trees, static_argnums=0)
_PLAIN = jax.jit(score_candidates, static_argnums=0)


def test_tree_is_the_one_drawn():
  tree = make_tree([[7, 8, 1], [7, 9, 1], [1]])
  assert tree.tokens.tolist() == [0, 7, 8, 9]
  assert tree.depths.tolist() == [0, 1, 2, 2]
  assert tree.visible.astype(int).tolist() == [
    [1, 0, 0, 0],
    [1, 1, 0, 0],
    [1, 1, 1, 0],
    [1, 1, 0, 1],
  ]
  assert tree.edge_nodes.tolist() == [0, 1, 2, 1, 3, 0]
  assert tree.edge_tokens.tolist() == [7, 8, 1, 9, 1, 1]
  assert tree.members.astype(int).tolist() == [
    [1, 1, 1, 0, 0, 0],
    [1, 0, 0, 1, 1, 0],
    [0, 0, 0, 0, 0, 1],
  ]


_CANDIDATES = st.lists(
  st.lists(st.integers(2, 5), max_size=4).map(lambda ids: [*ids, 1]),
  min_size=1,
  max_size=6,
)


@given(candidates=_CANDIDATES)
def test_members_spell_the_candidates_and_sizes_fit(candidates):
  tree = make_tree(candidates)
  for candidate, members in zip(candidates, tree.members, strict=True):
    edges = np.flatnonzero(members)
    spelt = edges[np.argsort(tree.depths[tree.edge_nodes[edges]])]
    assert tree.edge_tokens[spelt].tolist() == candidate
  # A node is a beginning that goes on; none is there twice.
  beginnings = {tuple(c[:i]) for c in candidates for i in range(len(c))}
  assert len(tree.tokens) == len(beginnings)
  assert len(tree.edge_nodes) < 2 * len(tree.tokens)
  nodes = padded_nodes([tree])
  batch = batch_trees([tree], 2, nodes)
  assert batch.tokens.shape == (2, nodes)
  assert batch.edge_nodes.shape == (2, 2 * nodes)
  assert (batch.visible.any(axis=2)).all()  # no node without anything to look at


def _pad(candidates):
  """As many rows and columns as the largest examples have: one shape, one program."""
  rows = np.zeros((1, 6, 5), np.int32)
  for row, candidate in zip(rows[0], candidates, strict=False):
    row[: len(candidate)] = candidate
  return jnp.asarray(rows)


@settings(max_examples=10)
@given(candidates=_CANDIDATES)
def test_scores_equal_those_of_candidates_side_by_side(network, params, candidates):
  inputs = jnp.asarray([[5, 6, 7, 8, 1, 0]], jnp.int32)
  tree = make_tree(candidates)
  edges = _TREES(network, params, inputs, batch_trees([tree], 1, 32))[0]
  ours = tree.members @ np.asarray(edges)[: tree.members.shape[1]]
  plain = _PLAIN(network, params, inputs, _pad(candidates))[0, : len(candidates)]
  np.testing.assert_allclose(ours, plain, atol=1e-5)


def test_padding_rows_change_nothing(either_network, either_params):
  inputs = jnp.asarray([[5, 6, 7, 8, 1, 0], [0] * 6], jnp.int32)
  tree = make_tree([[3, 4, 5, 1], [3, 1], [3, 4, 1]])
  count = tree.members.shape[1]
  two = _TREES(either_network, either_params, inputs, batch_trees([tree], 2, 8))
  one = _TREES(either_network, either_params, inputs[:1], batch_trees([tree], 1, 16))
  np.testing.assert_allclose(two[0, :count], one[0, :count], atol=1e-5)
  assert jnp.isfinite(two).all()


def test_encoder_runs_once_per_prompt(network, params):
  inputs = jnp.ones((7, 11), jnp.int32)
  trees = batch_trees([make_tree([[3, 1], [4, 1], [5, 1]])] * 7, 7, 8)
  text = _TREES.lower(network, params, inputs, trees).as_text()
  assert "tensor<7x11x8xf32>" in text
  assert "tensor<21x11" not in text


def test_no_candidates_are_a_mistake_of_the_caller():
  with pytest.raises(AssertionError, match="nothing to score"):
    make_tree([])
