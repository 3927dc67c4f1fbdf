"""Best-of-n: hand-computed cases, and the bound of its KL."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.align.best_of_n import best_of, choose_best, kl_bound
from symtune.errors import SymtuneError


def test_the_bound_by_hand():
  assert kl_bound(1) == 0.0
  assert kl_bound(4) == pytest.approx(math.log(4) - 0.75)
  with pytest.raises(SymtuneError, match="n is 0; expected 1 or more"):
    kl_bound(0)


def test_the_best_answer_is_the_first_of_the_highest():
  assert choose_best(np.array([[1.0, 3.0, 3.0], [0.0, -1.0, -2.0]])).tolist() == [1, 0]


def test_the_best_of_two_by_hand():
  # Two answers in four: rewards 0 (three times) and 1 (once), gold 1 and 0.
  found = best_of(np.array([[0.0, 0.0, 1.0, 0.0]]), np.array([[1.0, 1.0, 0.0, 1.0]]), 2)
  high = 1 - 0.75**2
  assert found.proxy[0] == pytest.approx(high)
  assert found.gold[0] == pytest.approx(1 - high)
  kl = high * math.log(high / 0.25) + (1 - high) * math.log((1 - high) / 0.75)
  assert found.kl[0] == pytest.approx(kl)


def test_the_best_of_one_is_the_mean():
  rng = np.random.default_rng(0)
  proxy, gold = rng.normal(size=(3, 8)), rng.random((3, 8))
  found = best_of(proxy, gold, 1)
  np.testing.assert_allclose(found.proxy, proxy.mean(axis=1))
  np.testing.assert_allclose(found.gold, gold.mean(axis=1))
  np.testing.assert_allclose(found.kl, 0.0, atol=1e-12)


@hypothesis.given(
  st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(1, 20)
)
def test_the_kl_is_never_above_its_bound(rewards, n):
  proxy = np.array([rewards], np.float64)
  found = best_of(proxy, proxy, n)
  assert 0.0 <= found.kl[0] <= kl_bound(n) + 1e-9
  assert found.proxy[0] <= proxy.max() + 1e-9


def test_different_answers_reach_the_bound():
  proxy = np.arange(5000.0)[None]
  assert best_of(proxy, proxy, 4).kl[0] == pytest.approx(kl_bound(4), abs=2e-3)


def test_a_reward_that_is_no_number_is_named():
  bad = np.array([[0.0, 1.0], [0.0, np.nan]])
  for call in (lambda: best_of(bad, bad, 2), lambda: choose_best(bad)):
    with pytest.raises(SymtuneError, match="answer 1 to prompt 1 is NaN"):
      call()
