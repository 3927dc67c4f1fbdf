"""Draws are those of NumPy over the allowed rows, whatever shares the query's text."""

import hypothesis
import hypothesis.strategies as st
import numpy as np

from symtune.data.draw.draws import ExemplarDrawer, RowIndex, Shots
from symtune.data.rng import KeyedGenerator, keyed_generator


def _index(groups: list[int], labels: list[int]) -> RowIndex:
  kinds = np.asarray(labels, np.int32)
  return RowIndex(
    rows=np.arange(100, 100 + len(groups), dtype=np.int32),
    labels=kinds,
    groups=np.asarray(groups, np.int32),
    exemplars=tuple(np.flatnonzero(kinds == c).astype(np.int32) for c in (0, 1)),
    queries=np.arange(len(groups), dtype=np.int32),
  )


@hypothesis.given(
  st.lists(st.integers(0, 6), min_size=30, max_size=60), st.integers(0, 2**63)
)
def test_draws_are_those_over_the_allowed_rows(groups, seed):
  index = _index(groups, [i % 2 for i in range(len(groups))])
  drawer = ExemplarDrawer(index, "f", Shots(minimum=0, maximum=3))
  for position in (0, len(groups) - 1):
    rng = keyed_generator(seed, "f", 100 + position, 5, "episode")
    k = int(rng.integers(0, 4))
    allowed = [e[index.groups[e] != index.groups[position]] for e in index.exemplars]
    hypothesis.assume(all(len(a) >= 3 for a in allowed))
    drawn = [rng.choice(a, size=k, replace=False, shuffle=False) for a in allowed]
    expected = np.concatenate(drawn)[rng.permutation(2 * k)]
    found = drawer.draw(position, seed=seed, variant=5)
    assert found == expected.tolist()
    assert index.groups[position] not in index.groups[found]


@hypothesis.given(st.lists(st.tuples(st.integers(), st.text()), min_size=1, max_size=5))
def test_a_generator_set_to_a_key_is_a_fresh_one(keys):
  keyed = KeyedGenerator()
  for key in keys:
    rng, fresh = keyed.at(*key), keyed_generator(*key)
    # Three 32-bit draws leave half a word behind for the next key.
    assert [rng.integers(7) for _ in range(3)] == [fresh.integers(7) for _ in range(3)]
    assert rng.random() == fresh.random()
    np.testing.assert_array_equal(rng.permutation(9), fresh.permutation(9))
