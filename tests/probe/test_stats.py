"""Intervals and p-values: hand-computed values, coverage, symmetry."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from symtune.data.rng import keyed_generator
from symtune.probe.stats import (
  TaskAnswers,
  chance_level,
  macro_mean,
  mcnemar_p_value,
  paired_difference,
  task_mean,
  wilson_interval,
)


def _answers(correct, queries=None):
  correct = np.asarray(correct, bool)
  queries = np.arange(len(correct)) if queries is None else np.asarray(queries)
  return TaskAnswers(queries=queries, correct=correct)


def _rng(*key):
  return keyed_generator("test_stats", *key)


def test_wilson_interval_of_eight_in_ten():
  # (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964
  estimate = wilson_interval(0.8, 10)
  assert (estimate.n, estimate.mean) == (10, 0.8)
  assert estimate.low == pytest.approx(0.490162, abs=1e-6)
  assert estimate.high == pytest.approx(0.943318, abs=1e-6)


@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_interval_is_scipys(n, share):
  correct = round(n * share)
  estimate = wilson_interval(correct / n, n)
  interval = scipy.stats.binomtest(correct, n).proportion_ci(0.95, "wilson")
  assert (estimate.low, estimate.high) == pytest.approx(
    (interval.low, interval.high), abs=1e-12
  )


def test_wilson_interval_keeps_its_width_at_the_ends():
  z2 = 1.959964**2
  assert wilson_interval(0.0, 10).low == pytest.approx(0.0, abs=1e-12)
  assert wilson_interval(0.0, 10).high == pytest.approx(z2 / (10 + z2), abs=1e-6)
  assert wilson_interval(1.0, 10).low == pytest.approx(10 / (10 + z2), abs=1e-6)
  assert wilson_interval(1.0, 10).high == pytest.approx(1.0, abs=1e-12)


def test_seeds_do_not_narrow_the_interval_of_a_task():
  once = task_mean(_answers([1, 1, 0, 1]))
  twice = task_mean(_answers([1, 1, 0, 1] * 2, [0, 1, 2, 3] * 2))
  assert (once.n, twice.n) == (4, 8)
  assert (once.mean, once.low, once.high) == (twice.mean, twice.low, twice.high)
  assert once.low == wilson_interval(0.75, 4).low


def test_mcnemar_is_the_two_sided_binomial_test_of_the_changed_pairs():
  # 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024
  assert mcnemar_p_value(1, 9) == pytest.approx(0.021484375, abs=1e-12)
  assert mcnemar_p_value(9, 1) == pytest.approx(0.021484375, abs=1e-12)
  assert mcnemar_p_value(3, 3) == 1.0
  assert mcnemar_p_value(0, 0) == 1.0


def test_chance_is_the_mean_over_tasks():
  assert chance_level([2, 2, 3]) == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)


def test_every_task_weighs_the_same():
  tasks = [_answers([True]), _answers([True, False, False, False])]
  estimate = macro_mean(tasks, _rng())
  assert estimate.n == 5
  assert estimate.mean == pytest.approx((1 + 1 / 4) / 2)


def test_bootstrap_of_one_task_has_the_binomial_quantiles():
  # 25 of 50: resampled counts are binomial(50, 1/2), whose 2.5% and 97.5% points
  # are 18 and 32.
  estimate = macro_mean([_answers([True, False] * 25)], _rng())
  assert estimate.low == pytest.approx(18 / 50)
  assert estimate.high == pytest.approx(32 / 50)


def test_same_generator_same_interval_whatever_the_order_of_rows():
  correct = _rng("rows").random(40) < 0.7
  order = _rng("order").permutation(40)
  one = macro_mean([_answers(correct)], _rng(1))
  assert one == macro_mean([_answers(correct)], _rng(1))
  assert one == macro_mean([_answers(correct[order], order)], _rng(1))


def test_interval_covers_the_truth_about_as_often_as_it_says():
  truth = np.array([0.5, 0.7, 0.9])
  rng = _rng("coverage")
  hits = 0
  for _ in range(400):
    tasks = [_answers(rng.random(60) < p) for p in truth]
    estimate = macro_mean(tasks, rng, resamples=500)
    hits += estimate.low <= truth.mean() <= estimate.high
  assert 0.91 <= hits / 400 <= 0.98


def test_difference_covers_the_truth_about_as_often_as_it_says():
  rng = _rng("paired coverage")
  hits = 0
  for _ in range(400):
    luck = rng.random((2, 80))  # easy queries are easy for both checkpoints
    first = [_answers(row < 0.5) for row in luck]
    last = [_answers(row < 0.6) for row in luck]
    found = paired_difference(first, last, rng, resamples=500)
    hits += found.low <= 0.1 <= found.high
  assert 0.91 <= hits / 400 <= 0.98


def test_seeds_of_one_query_are_no_new_evidence():
  correct = _rng("clusters").random(30) < 0.6
  once = macro_mean([_answers(correct)], _rng(1))
  thrice = macro_mean(
    [_answers(np.tile(correct, 3), np.tile(np.arange(30), 3))], _rng(1)
  )
  assert (thrice.mean, thrice.low, thrice.high) == pytest.approx(
    (once.mean, once.low, once.high)
  )
  assert (once.n, thrice.n) == (30, 90)


def test_a_query_counts_once_for_mcnemar_whatever_its_seeds():
  # query 0: better in both seeds; query 1: better and worse; query 2: worse in one
  queries = [0, 1, 2, 0, 1, 2]
  first = _answers([0, 0, 1, 0, 1, 1], queries)
  last = _answers([1, 1, 0, 1, 0, 1], queries)
  found = paired_difference([first], [last], _rng())
  assert found.difference == pytest.approx((2 + 0 - 1) / 6)
  assert found.p_value == mcnemar_p_value(1, 1) == 1.0


def test_p_value_is_over_the_queries_of_all_tasks():
  # nine queries get better, one gets worse, in two tasks
  first = [_answers([0] * 5 + [1]), _answers([0] * 4 + [1])]
  last = [_answers([1] * 5 + [0]), _answers([1] * 5)]
  found = paired_difference(first, last, _rng())
  assert found.p_value == pytest.approx(0.021484375)
  assert found.difference == pytest.approx((4 / 6 + 4 / 5) / 2)
  assert found.n == 11


def test_identical_answers_differ_by_nothing():
  answers = [_answers(_rng("same").random(20) < 0.5)]
  found = paired_difference(answers, answers, _rng())
  assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
  assert found.p_value == 1.0


def test_pairing_narrows_the_interval():
  rng = _rng("narrow")
  luck = rng.random(200)
  first, last = _answers(luck < 0.5), _answers(luck < 0.6)
  paired = paired_difference([first], [last], _rng(1))
  shuffled = _answers(rng.permutation(luck) < 0.6)
  unpaired = paired_difference([first], [shuffled], _rng(1))
  assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)


@settings(max_examples=30)
@given(
  st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=30
  )
)
def test_swapping_the_checkpoints_mirrors_the_interval(rows):
  queries, one, other = (np.array(column) for column in zip(*rows, strict=True))
  a, b = _answers(one, queries), _answers(other, queries)
  there = paired_difference([a, a], [b, a], _rng(1), resamples=300)
  back = paired_difference([b, a], [a, a], _rng(1), resamples=300)
  assert back.difference == pytest.approx(-there.difference, abs=1e-12)
  assert back.low == pytest.approx(-there.high, abs=1e-12)
  assert back.high == pytest.approx(-there.low, abs=1e-12)
  assert back.p_value == pytest.approx(there.p_value, abs=1e-12)


def test_unpaired_answers_are_refused():
  with pytest.raises(AssertionError, match="not paired"):
    paired_difference([_answers([1, 0])], [_answers([1, 0], [5, 6])], _rng())
