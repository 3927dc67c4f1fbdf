"""Candidates in a tree behind a prefix score as each candidate does in a whole row."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_models import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from symtune.model.decoder import score
from symtune.model.decoder.cache import empty_cache
from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.network import Decoder, init_params
from symtune.model.decoder.score import read_prefix, row_length, score_rows, tree_rows
from symtune.model.token_tree import make_tree, padded_nodes

CLOSE = {"atol": 2e-5, "rtol": 0}
_SCORE = jax.jit(score_rows, static_argnums=0)
_READ = jax.jit(read_prefix, static_argnums=(0, 4))


def _whole(read, network, params, prompt, candidate, is_prefix=None) -> float:
  """Log p(candidate | prompt), from one row without a cache."""
  row = np.zeros((1, 12), np.int32)  # as long as a row of learned positions
  ids = [*prompt, *candidate]
  row[0, : len(ids)] = ids
  log_p = jax.nn.log_softmax(read(network, params, row, is_prefix=is_prefix)[0])
  places = np.arange(len(prompt) - 1, len(ids) - 1)
  return float(log_p[places, np.asarray(candidate)].sum())


def _score(
  network, params, prefix, rests, candidates, *, is_padded=True, is_packed=False
):
  """Log p of each candidate of each prompt, behind a prefix that all share.

  With padding, all calls have the same shapes, so that little is compiled.
  """
  trees = [make_tree(some) for some in candidates]
  rests = [np.asarray(rest, np.int32) for rest in rests]
  start, nodes = len(prefix), padded_nodes(trees)
  rows = prompts = len(rests)
  length = max(map(row_length, rests, trees))
  tokens, slots = np.asarray([prefix], np.int32), start
  if is_padded:
    rows, length, prompts, nodes, slots = 4, 24, 4, 16, 9
    tokens = np.full((1, 6), 9, np.int32)
    tokens[0, :start] = prefix
  cache = empty_cache(network.config, batch=1, slots=0)
  if start:
    cache = _READ(network, params, jnp.asarray(tokens), jnp.int32(start), slots)
  row_of = range(len(rests))
  if is_packed:
    rows, length, row_of = 2, rows * length, [0] * len(rests)
  batch = tree_rows(
    rests,
    trees,
    start=start,
    row_of=row_of,
    shape=(rows, length),
    prompts=prompts,
    nodes=nodes,
  )
  edges = np.asarray(_SCORE(network, params, cache, batch))
  return [
    [float(row[: len(m)][m].sum()) for m in tree.members]
    for tree, row in zip(trees, edges, strict=False)
  ]


def test_rows_are_those_drawn():
  tree = make_tree([[8, 9, 1], [8, 7, 1], [9, 1]])
  rest = np.asarray([3, 4], np.int32)
  rows = tree_rows(
    [rest], [tree], start=2, row_of=[0], shape=(2, 7), prompts=1, nodes=8
  )
  assert row_length(rest, tree) == 6
  assert rows.tokens.tolist() == [[3, 4, 8, 9, 7, 9, 0], [0] * 7]
  assert rows.positions[0, :6].tolist() == [2, 3, 4, 5, 5, 4]
  assert rows.visible[0].astype(int).tolist() == [
    [1, 0, 0, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0, 0],
    [1, 1, 1, 0, 0, 0, 0],
    [1, 1, 1, 1, 0, 0, 0],
    [1, 1, 1, 0, 1, 0, 0],
    [1, 1, 0, 0, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 1],
  ]
  assert rows.visible[1].tolist() == np.eye(7, dtype=bool).tolist()
  assert rows.places[0, :5].tolist() == [1, 2, 3, 4, 5]
  predicted = rows.places[0][rows.edge_nodes[0, :7]]
  assert predicted.tolist() == [1, 2, 3, 2, 4, 1, 5]
  assert rows.edge_tokens[0, :7].tolist() == [8, 9, 1, 7, 1, 9, 1]


def test_prompts_of_a_row_stand_behind_each_other():
  trees = [make_tree([[8, 1], [9, 1]]), make_tree([[7, 6, 1]])]
  rests = [np.asarray(rest, np.int32) for rest in ([3, 4], [5, 2])]
  rows = tree_rows(
    rests, trees, start=2, row_of=[1, 1], shape=(2, 9), prompts=3, nodes=8
  )
  assert rows.tokens.tolist() == [[0] * 9, [3, 4, 8, 9, 5, 2, 7, 6, 0]]
  assert rows.positions[1].tolist() == [2, 3, 4, 4, 2, 3, 4, 5, 0]
  first = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
  expected = np.eye(9, dtype=int)
  expected[:4, :4], expected[4:8, 4:8] = first, np.tri(4)
  assert rows.visible[1].astype(int).tolist() == expected.tolist()
  places = rows.places.tolist()
  assert (places[0][:3], places[1][:3]) == ([10, 11, 12], [14, 15, 16])
  assert places[2] == [0] * 8


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("start", [0, 4])
def test_a_tree_scores_as_whole_rows_do(family, read, start, is_packed):
  network, params = family
  prefix = [5, 6, 7, 8][:start]
  rests = [[3, 4, 2], [9, 10, 11, 12, 3]]
  candidates = [[[8, 9, 1], [8, 7, 1], [9, 1], [1]], [[2, 1], [4, 1, 1]]]
  found = _score(network, params, prefix, rests, candidates, is_packed=is_packed)
  for rest, some, scores in zip(rests, candidates, found, strict=True):
    expected = [
      _whole(read, network, params, [*prefix, *rest], candidate) for candidate in some
    ]
    np.testing.assert_allclose(scores, expected, **CLOSE)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_prompt_seen_in_both_directions_scores_as_in_tuning(family, read, is_packed):
  network, params = family
  rests = [[3, 4, 2], [9, 10, 11, 12, 3]]
  candidates = [[[8, 9, 1], [8, 7, 1], [9, 1]], [[2, 1], [4, 1, 1]]]
  trees = list(map(make_tree, candidates))
  batch = tree_rows(
    [np.asarray(rest, np.int32) for rest in rests],
    trees,
    start=0,
    row_of=[0, 0] if is_packed else [0, 1],
    shape=(1, 24) if is_packed else (2, 12),
    prompts=2,
    nodes=padded_nodes(trees),
    attention=PromptAttention.PREFIX,
  )
  empty = empty_cache(network.config, batch=1, slots=0)
  edges = np.asarray(_SCORE(network, params, empty, batch))
  for rest, some, tree, row in zip(rests, candidates, trees, edges, strict=True):
    is_prefix = jnp.asarray([np.arange(12) < len(rest)])
    for candidate, members in zip(some, tree.members, strict=True):
      expected = _whole(read, network, params, rest, candidate, is_prefix)
      causal = _whole(read, network, params, rest, candidate)
      assert float(row[: len(members)][members].sum()) == pytest.approx(
        expected, abs=2e-5
      )
      assert abs(expected - causal) > 1e-4


def test_padding_may_exceed_the_positions_that_are_learned(make_family):
  network, params = make_family("gpt2")  # it has 12 positions
  prefix, rest, candidates = [5, 6, 7, 8], [3, 4, 2], [[8, 9, 1], [1]]
  tokens = np.zeros((1, 32), np.int32)
  tokens[0, :4] = prefix
  cache = _READ(network, params, jnp.asarray(tokens), jnp.int32(4), 32)
  trees = [make_tree(candidates)]
  batch = tree_rows(
    [np.asarray(rest, np.int32)],
    trees,
    start=4,
    row_of=[0],
    shape=(1, 24),
    prompts=1,
    nodes=8,
  )
  (edges,) = np.asarray(_SCORE(network, params, cache, batch))
  found = [float(edges[: len(m)][m].sum()) for m in trees[0].members]
  (expected,) = _score(network, params, prefix, [rest], [candidates])
  np.testing.assert_allclose(found, expected, **CLOSE)


_IDS = st.integers(2, 31)
_CANDIDATES = st.lists(
  st.lists(_IDS, max_size=3).map(lambda ids: [*ids, 1]), min_size=1, max_size=5
)


@given(
  prefix=st.lists(_IDS, max_size=5),
  prompts=st.lists(
    st.tuples(st.lists(_IDS, min_size=1, max_size=5), _CANDIDATES),
    min_size=1,
    max_size=3,
  ),
)
@settings(max_examples=8)
def test_neither_company_nor_padding_nor_sharing_changes_a_score(
  make_family, prefix, prompts
):
  network, params = make_family("gemma3")
  rests, candidates = map(list, zip(*prompts, strict=True))
  together = _score(network, params, prefix, rests, candidates)
  for rest, some, scores in zip(rests, candidates, together, strict=True):
    (alone,) = _score(network, params, [], [[*prefix, *rest]], [some])
    np.testing.assert_allclose(scores, alone, **CLOSE)


def test_probabilities_of_all_tokens_sum_to_one(make_family):
  network, params = make_family("llama")
  every = [[token] for token in range(network.config.vocab_size)]
  (scores,) = _score(network, params, [5, 6], [[7, 8]], [every], is_padded=False)
  assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-5)


def test_few_logits_exist_at_once_and_change_nothing(make_family, monkeypatch):
  network, params = make_family("qwen3")
  asked = functools.partial(
    _score,
    network,
    params,
    [4],
    [[i + 3, i] for i in range(6)],
    [[[5, 1], [6, 1]]] * 6,
    is_padded=False,
  )
  whole = asked()
  monkeypatch.setattr(score, "_MOST_LOGITS", 2 * 8 * network.config.vocab_size)
  jax.clear_caches()
  text = str(
    jax.make_jaxpr(lambda *rows: score_rows(network, params, *rows))(
      empty_cache(network.config, batch=1, slots=0),
      tree_rows(
        [np.asarray([1, 2], np.int32)] * 6,
        [make_tree([[5, 1]])] * 6,
        start=0,
        row_of=range(6),
        shape=(6, 8),
        prompts=6,
        nodes=8,
      ),
    )
  )
  assert "f32[2,8,32]" in text
  assert "f32[6,8,32]" not in text
  np.testing.assert_allclose(asked(), whole, **CLOSE)
  jax.clear_caches()


@pytest.mark.parametrize("policy", ["minimal", "full"])
def test_a_network_that_rematerialises_reads_and_scores_alike(policy):
  plain = Decoder(TINY)
  other = Decoder(dataclasses.replace(TINY, remat_policy=policy))
  params = init_params(plain, jax.random.key(0))
  asked = ([5, 6], [[3, 4]], [[[8, 1], [9, 1]]])
  found = _score(other, params, *asked, is_padded=False)
  np.testing.assert_allclose(found, _score(plain, params, *asked, is_padded=False))
