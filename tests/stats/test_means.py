"""Intervals and p-values: hand-computed values, coverage, symmetry."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from symtune.data.rng import keyed_generator
from symtune.stats.clusters import TaskAnswers, measure_spread
from symtune.stats.means import (
  holm,
  macro_mean,
  mcnemar_p_value,
  paired_difference,
  smallest_detectable,
  weighted_difference,
  wilson_interval,
)


def _answers(values, queries=None, seeds=None):
  values = np.asarray(values, np.float64)
  queries = np.arange(len(values)) if queries is None else np.asarray(queries)
  seeds = np.zeros(len(values), np.int64) if seeds is None else np.asarray(seeds)
  return TaskAnswers(queries=queries, seeds=seeds, values=values)


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


def test_seeds_with_equal_answers_do_not_narrow_the_interval_of_a_task():
  once = macro_mean([_answers([1, 1, 0, 1])])
  seeds = [0] * 4 + [1] * 4
  twice = macro_mean([_answers([1, 1, 0, 1] * 2, [0, 1, 2, 3] * 2, seeds)])
  assert (once.n, twice.n) == (4, 8)
  assert (once.mean, once.low) == pytest.approx((twice.mean, twice.low))
  assert once.low == pytest.approx(wilson_interval(0.75, 4).low)


def test_variance_is_that_of_queries_plus_seeds_minus_residual():
  # Three queries x two seeds, mean 1/2; query means 1/2, 1/2, 1/2, seed means 2/3, 1/3:
  # MS queries 0; MS seeds 3 (1/36 + 1/36) = 1/6; SS in all 6/4, so MS residual
  # (3/2 - 1/6) / 2 = 2/3. The seeds' part is less than the residual.
  ids = [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1]
  spread = measure_spread([_answers([1, 0, 1, 0, 0, 1], *ids)])
  assert spread.queries == pytest.approx(0.0)
  assert spread.seeds == pytest.approx(1 / 6 / 6)
  assert spread.residual == pytest.approx(2 / 3 / 6)
  assert spread.variance == 0.0
  assert (spread.query_df, spread.seed_df) == (2, 1)
  # All right under seed 0, wrong under seed 1: MS seeds 3 (1/4 + 1/4), no residual.
  spread = measure_spread([_answers([1, 0, 1, 0, 1, 0], *ids)])
  assert spread.variance == pytest.approx(3 / 2 / 6)
  assert spread.quantile(0.975) == pytest.approx(scipy.stats.t.ppf(0.975, 1))
  one_seed = measure_spread([_answers([1, 0, 1, 1])])
  assert one_seed.variance == pytest.approx(0.75 * 0.25 / 3)


def test_parts_equal_those_of_an_analysis_of_variance():
  import pandas as pd
  from statsmodels.formula.api import ols
  from statsmodels.stats.anova import anova_lm

  queries, seeds = np.repeat(np.arange(9), 3), np.tile(np.arange(3), 9)
  values = _rng("anova").random(27) + 0.3 * seeds + 0.1 * queries
  spread = measure_spread([_answers(values, queries, seeds)])
  data = pd.DataFrame({"value": values, "query": queries, "seed": seeds})
  table = anova_lm(ols("value ~ C(query) + C(seed)", data).fit())
  expected = (table["mean_sq"] / 27).to_list()
  assert (spread.queries, spread.seeds, spread.residual) == pytest.approx(expected)


def test_holm_is_the_stepwise_bonferroni():
  # smallest x 3, next x 2, largest x 1, never decreasing
  assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
  assert holm([]) == ()


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_holm_equals_statsmodels(p_values):
  assert holm(p_values) == tuple(multipletests(p_values, method="holm")[1])


def test_holm_counts_a_hypothesis_once_with_its_largest_p():
  found = holm([0.04, 0.01, 0.02, 0.03], ["a", "b", "b", "c"])
  expected = holm([0.04, 0.02, 0.03])
  assert found == (expected[0], expected[1], expected[1], expected[2])


def test_smallest_detectable_difference_of_a_known_error():
  # 1.959964 + 0.841621 standard errors
  assert smallest_detectable(0.01) == pytest.approx(0.02801585, abs=1e-8)


def test_mcnemar_is_the_two_sided_binomial_test_of_the_changed_pairs():
  # 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024
  assert mcnemar_p_value(1, 9) == pytest.approx(0.021484375, abs=1e-12)
  assert mcnemar_p_value(9, 1) == pytest.approx(0.021484375, abs=1e-12)
  assert mcnemar_p_value(3, 3) == 1.0
  assert mcnemar_p_value(0, 0) == 1.0


@given(better=st.integers(0, 60), worse=st.integers(0, 60))
def test_mcnemar_equals_statsmodels(better, worse):
  table = [[5, better], [worse, 7]]
  expected = mcnemar(table, exact=True).pvalue if better + worse else 1.0
  assert mcnemar_p_value(better, worse) == pytest.approx(expected, rel=1e-9)


def test_every_task_weighs_the_same():
  tasks = [_answers([True]), _answers([True, False, False, False])]
  estimate = macro_mean(tasks)
  assert estimate.n == 5
  assert estimate.mean == pytest.approx((1 + 1 / 4) / 2)


def test_bootstrap_of_one_task_has_the_binomial_quantiles():
  # 25 of 50 queries get better: resampled counts are binomial(50, 1/2), whose 2.5% and
  # 97.5% points are 18 and 32; the spread is that of an unbiased variance, 50/49.
  found = paired_difference([_answers([0] * 50)], [_answers([1, 0] * 25)], _rng())
  half = 7 / 50 * np.sqrt(50 / 49) * scipy.stats.t.ppf(0.975, 49) / 1.959964
  assert found.low == pytest.approx(0.5 - half)
  assert found.high == pytest.approx(0.5 + half)


def test_interval_for_new_tasks_is_students():
  # changes of three tasks: 0, 1/2, 1; t(0.975, 2) = 4.302653, error 0.5 / sqrt 3
  first = [_answers([0, 0])] * 3
  last = [_answers([0, 0]), _answers([0, 1]), _answers([1, 1])]
  found = paired_difference(first, last, _rng())
  half = 4.302653 * 0.5 / np.sqrt(3)
  assert 0.5 + half > 1.0  # more than a difference can be
  assert found.new_tasks == pytest.approx((0.5 - half, 1.0), abs=1e-6)
  alike = paired_difference([last[1]] * 3, [last[1]] * 3, _rng())
  assert alike.new_tasks == (alike.low, alike.high)  # known no better than these
  assert paired_difference(first[:1], last[:1], _rng()).new_tasks is None


def test_same_interval_whatever_the_order_of_rows():
  correct = _rng("rows").random(40) < 0.7
  order = _rng("order").permutation(40)
  one = macro_mean([_answers(correct)])
  other = macro_mean([_answers(correct[order], order)])
  assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_a_mean_at_the_end_keeps_its_width():
  estimate = macro_mean([_answers([1] * 10), _answers([1] * 10)])
  assert (estimate.mean, estimate.high) == (1.0, 1.0)
  assert estimate.low == pytest.approx(wilson_interval(1.0, 20).low)
  mixed = macro_mean([_answers([1] * 10), _answers([0] * 10)])
  # (1/4) (2 x 11/12 x 1/12 / 10): both tasks might have been answered otherwise
  variance = 2 * (11 / 12) * (1 / 12) / 10 / 4
  assert mixed.low == pytest.approx(wilson_interval(0.5, 0.25 / variance + 1).low)


def test_seeds_of_one_query_are_no_new_evidence():
  correct = _rng("clusters").random(30) < 0.6
  once = macro_mean([_answers(correct)])
  seeds = np.repeat(np.arange(3), 30)
  thrice = macro_mean([_answers(np.tile(correct, 3), np.tile(np.arange(30), 3), seeds)])
  assert (thrice.mean, thrice.low, thrice.high) == pytest.approx(
    (once.mean, once.low, once.high)
  )
  assert (once.n, thrice.n) == (30, 90)


def test_a_query_counts_once_for_mcnemar_whatever_its_seeds():
  # query 0: better in both seeds; query 1: better and worse; query 2: worse in one
  queries = [0, 1, 2, 0, 1, 2]
  seeds = [0, 0, 0, 1, 1, 1]
  first = _answers([0, 0, 1, 0, 1, 1], queries, seeds)
  last = _answers([1, 1, 0, 1, 0, 1], queries, seeds)
  found = paired_difference([first], [last], _rng())
  assert found.difference == pytest.approx((2 + 0 - 1) / 6)
  assert mcnemar_p_value(1, 1) == 1.0
  assert found.p_value == 1.0


def test_seeds_that_differ_are_no_evidence_but_one_seed_is():
  # Every query is better under seed 0 alone: a seed's luck, not a checkpoint's.
  queries, seeds = np.tile(np.arange(40), 3), np.repeat(np.arange(3), 40)
  first = _answers(np.zeros(120), queries, seeds)
  last = _answers((seeds == 0).astype(float) * (queries < 38), queries, seeds)
  assert paired_difference([first], [last], _rng()).p_value > 0.2
  alone = paired_difference([_answers([0] * 40)], [_answers([1] * 40)], _rng())
  assert alone.p_value == mcnemar_p_value(40, 0)


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
  assert found.difference == 0.0
  # Twenty others might have changed: 1 or 2 of 20 in either direction is no surprise.
  assert found.low == pytest.approx(-found.high)
  assert 0.05 < found.high < 0.15
  assert found.p_value == 1.0
  # As if one query in twenty had changed: nothing smaller would have been seen.
  assert found.detectable == pytest.approx(smallest_detectable(1 / 20))


@pytest.mark.parametrize(
  "cells", [(36, 4, 2, 8), (20, 0, 5, 3), (30, 0, 0, 10), (0, 0, 9, 0)]
)
def test_few_changes_have_newcombes_interval(cells):
  both, worse, better, neither = cells
  n = sum(cells)
  first = [1] * both + [1] * worse + [0] * better + [0] * neither
  last = [1] * both + [0] * worse + [1] * better + [0] * neither
  found = paired_difference([_answers(first)], [_answers(last)], _rng())
  # Newcombe 1998, method 10, from the four cells.
  p1, p2 = (both + worse) / n, (both + better) / n
  l1, u1 = scipy.stats.binomtest(both + worse, n).proportion_ci(0.95, "wilson")
  l2, u2 = scipy.stats.binomtest(both + better, n).proportion_ci(0.95, "wilson")
  cross = both * neither - worse * better
  cross = max(cross - n / 2, 0.0) if cross > 0 else cross
  margins = (both + worse) * (better + neither) * (both + better) * (worse + neither)
  phi = cross / np.sqrt(margins) if margins else 0.0
  low = np.sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
  high = np.sqrt((u2 - p2) ** 2 - 2 * phi * (u2 - p2) * (p1 - l1) + (p1 - l1) ** 2)
  assert found.low == pytest.approx(max(-1.0, p2 - p1 - low), abs=1e-9)
  assert found.high == pytest.approx(min(1.0, p2 - p1 + high), abs=1e-9)


def test_tasks_with_one_query_each_have_an_interval():
  before, after = np.zeros(40), np.array([1.0] * 25 + [0.0] * 15)
  single = paired_difference(
    [_answers([x]) for x in before], [_answers([x]) for x in after], _rng()
  )
  pooled = paired_difference([_answers(before)], [_answers(after)], _rng())
  assert single.difference == pooled.difference == 0.625
  assert single.p_value == pooled.p_value
  width, expected = single.high - single.low, pooled.high - pooled.low
  assert 0.8 * expected < width < 1.5 * expected
  assert 0.8 * pooled.detectable < single.detectable < 1.5 * pooled.detectable


def test_one_query_with_several_seeds_does_not_look_certain():
  task = _answers([1, 1, 0], queries=[7, 7, 7], seeds=[0, 1, 2])
  mean = macro_mean([task])
  assert (mean.n, mean.mean) == (3, pytest.approx(2 / 3))
  assert mean.low < 0.25
  assert mean.high > 0.9


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


WEIGHTS = (1.0, -1.0, -1.0, 1.0)


def _four(length=40):
  return [
    [_answers([(i * k + k) % m == 0 for i in range(length)])]
    for k, m in ((1, 2), (3, 4), (5, 3), (7, 5))
  ]


def test_a_difference_is_a_weighted_one():
  first, last, *_ = _four()
  found = weighted_difference((first, last), (-1.0, 1.0), _rng())
  assert found == paired_difference(first, last, _rng())


def test_a_difference_of_differences_has_the_error_of_its_questions():
  """With one seed the answers are independent: Student's test of one sample."""
  cells = _four()
  values = [cell[0].values for cell in cells]
  each = (values[3] - values[2]) - (values[1] - values[0])
  found = weighted_difference(cells, WEIGHTS, _rng())
  assert found.difference == pytest.approx(each.mean())
  assert found.p_value == pytest.approx(scipy.stats.ttest_1samp(each, 0.0).pvalue)
  half = 1.96 * each.std(ddof=1) / np.sqrt(len(each))
  assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
  assert found.new_tasks is None


def test_a_difference_of_differences_may_reach_two():
  none, all_right = [_answers([0] * 30)], [_answers([1] * 30)]
  found = weighted_difference([all_right, none, none, all_right], WEIGHTS, _rng())
  assert found.difference == 2.0
  assert found.high == 2.0
  assert 1.5 < found.low < 2.0
  assert found.p_value < 1e-8
  same = weighted_difference([none, all_right, none, all_right], WEIGHTS, _rng())
  assert (same.difference, same.p_value) == (0.0, 1.0)
  assert same.low < 0.0 < same.high
