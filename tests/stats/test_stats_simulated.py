"""Intervals cover, and tests err, as often as they say: 1,000 simulated experiments.

An answer is right with a probability that depends on task, query and exemplar seed, as
real answers do: logit = task + query + seed, all normal. The truth is the mean of these
probabilities over queries and seeds, by Gauss-Hermite quadrature.
"""

import functools

import numpy as np
import pytest
import scipy.stats
from scipy.special import expit
from statsmodels.stats.proportion import proportions_ztest

from symtune.data.rng import keyed_generator
from symtune.stats.clusters import TaskAnswers
from symtune.stats.means import (
  macro_mean,
  mcnemar_p_value,
  paired_difference,
  weighted_difference,
  weighted_interval,
)

EXPERIMENTS = 1_000
TASKS = np.linspace(-0.5, 1.5, 4)  # logits of the tasks: 38% to 82%
QUERIES, SEEDS = 80, 3
QUERY_SD, SEED_SD = 1.5, 0.3


def _draw(rng, effect=0.0, tasks=TASKS, seed_sd=SEED_SD, queries=QUERIES):
  """Answers of two checkpoints, the second better by `effect` logits everywhere."""
  first, last = [], []
  ids = np.repeat(np.arange(queries), SEEDS)
  seeds = np.tile(np.arange(SEEDS), queries)
  for task in tasks:
    query = rng.normal(0, QUERY_SD, (queries, 1))
    for answers, shift in ((first, 0.0), (last, effect)):
      seed = rng.normal(0, seed_sd, (1, SEEDS))
      right = rng.random((queries, SEEDS)) < expit(task + shift + query + seed)
      values = right.reshape(-1).astype(np.float64)
      answers.append(TaskAnswers(queries=ids, seeds=seeds, values=values))
  return first, last


def _truth(shift=0.0, tasks=TASKS, seed_sd=SEED_SD):
  points, weights = np.polynomial.hermite_e.hermegauss(40)
  spread = np.hypot(QUERY_SD, seed_sd)
  means = expit(tasks[:, None] + shift + spread * points) @ weights / weights.sum()
  return float(means.mean())


@pytest.mark.parametrize("seed_sd", [0.0, SEED_SD, 0.8])
def test_accuracy_interval_covers(seed_sd):
  """With 11 tasks; large seed effects need that many to be told from 3 seeds each."""
  rng = keyed_generator("accuracy", str(seed_sd))
  tasks = np.linspace(-0.5, 1.5, 11)
  truth = _truth(tasks=tasks, seed_sd=seed_sd)
  hits = 0
  for _ in range(EXPERIMENTS):
    found = macro_mean(_draw(rng, tasks=tasks, seed_sd=seed_sd, queries=30)[0])
    hits += found.low <= truth <= found.high
  assert 0.93 <= hits / EXPERIMENTS <= 0.97


def test_paired_difference_interval_covers():
  rng = keyed_generator("difference")
  truth = _truth(0.2) - _truth()
  hits = 0
  for _ in range(EXPERIMENTS):
    found = paired_difference(*_draw(rng, 0.2), rng, resamples=500)
    hits += found.low <= truth <= found.high
  assert 0.93 <= hits / EXPERIMENTS <= 0.97


def test_interval_for_new_tasks_covers():
  rng = keyed_generator("new tasks")
  truth = _truth_over_new_tasks(0.3) - _truth_over_new_tasks(0.0)
  hits = 0
  for _ in range(EXPERIMENTS):
    first, last = _draw_with_new_tasks(rng, 0.3)
    low, high = paired_difference(first, last, rng, resamples=2).new_tasks
    hits += low <= truth <= high
  assert 0.93 <= hits / EXPERIMENTS <= 0.97


def _draw_with_new_tasks(rng, effect):
  return _draw(rng, effect, tasks=rng.normal(0.5, 1.0, 6), queries=20)


def _truth_over_new_tasks(shift):
  points, weights = np.polynomial.hermite_e.hermegauss(40)
  spread = np.sqrt(1.0 + QUERY_SD**2 + SEED_SD**2)
  return float(expit(0.5 + shift + spread * points) @ weights / weights.sum())


def test_paired_test_errs_as_often_as_it_says_and_beats_the_unpaired_one():
  """One task and seed a query, as McNemar's test has it."""
  rng = keyed_generator("p values")
  paired = {0.0: 0, 0.5: 0}
  unpaired = {0.0: 0, 0.5: 0}
  repeats = {0.0: EXPERIMENTS, 0.5: 300}
  for effect in paired:
    for _ in range(repeats[effect]):
      first, last = (
        [_one_seed(task) for task in side] for side in _draw(rng, effect, seed_sd=0.0)
      )
      paired[effect] += paired_difference(first, last, rng, resamples=10).p_value < 0.05
      sums = [sum(t.values.sum() for t in side) for side in (last, first)]
      n = sum(len(t.values) for t in first)
      unpaired[effect] += proportions_ztest(sums, [n, n])[1] < 0.05
  assert 0.03 <= paired[0.0] / EXPERIMENTS <= 0.07
  assert paired[0.5] > 1.1 * unpaired[0.5]
  assert paired[0.5] < 0.95 * repeats[0.5]  # not at the ceiling


def _one_seed(task):
  chosen = task.seeds == 0
  return TaskAnswers(
    queries=task.queries[chosen], seeds=task.seeds[chosen], values=task.values[chosen]
  )


def test_detectable_difference_is_found_with_the_power_it_names():
  """An effect of that size is called significant in about 80 of 100 experiments."""
  rng = keyed_generator("power")
  effect = 0.45
  truth = _truth(effect, seed_sd=0.0) - _truth(seed_sd=0.0)
  detectable, found = [], 0
  for _ in range(300):
    change = paired_difference(*_draw(rng, effect, seed_sd=0.0), rng, resamples=500)
    detectable.append(change.detectable)
    found += change.low > 0.0
  # The power at `truth`, from the mean detectable difference: Phi(2.8016 r - 1.96).
  from scipy.stats import norm

  expected = norm.cdf(2.8016 * truth / np.mean(detectable) - 1.96)
  assert abs(found / 300 - expected) < 0.06


ONE_TASK = np.array([0.5])


@pytest.mark.parametrize("seed_sd", [0.0, SEED_SD, 0.6])
def test_accuracy_interval_of_one_task_with_three_seeds_covers(seed_sd):
  """A row of the table by task: seeds are told from three of them."""
  rng = keyed_generator("one task", str(seed_sd))
  truth = _truth(tasks=ONE_TASK, seed_sd=seed_sd)
  hits = 0
  for _ in range(EXPERIMENTS):
    found = macro_mean(_draw(rng, tasks=ONE_TASK, seed_sd=seed_sd, queries=100)[0])
    hits += found.low <= truth <= found.high
  assert 0.93 <= hits / EXPERIMENTS <= 0.97


@pytest.mark.parametrize(
  ("tasks", "seed_sd"), [(ONE_TASK, SEED_SD), (ONE_TASK, 0.8), (TASKS, SEED_SD)]
)
def test_differences_under_three_seeds_err_as_often_as_they_say(tasks, seed_sd):
  """Seeds matter, to each checkpoint differently: queries alone would err more."""
  rng = keyed_generator("seeds", len(tasks), str(seed_sd))
  hits, errors, naive = 0, 0, 0
  for _ in range(EXPERIMENTS):
    first, last = _draw(rng, tasks=tasks, seed_sd=seed_sd)
    found = paired_difference(first, last, rng, resamples=200)
    hits += found.low <= 0.0 <= found.high
    errors += found.p_value < 0.05
    naive += _mcnemar_over_queries(first, last) < 0.05
  assert 0.03 <= errors / EXPERIMENTS <= 0.07
  assert 0.93 <= hits / EXPERIMENTS <= 0.97
  assert naive / EXPERIMENTS > 0.1


def _mcnemar_over_queries(first, last):
  signs = np.concatenate(
    [
      np.sign((b.values - a.values).reshape(-1, SEEDS).sum(1))
      for a, b in zip(first, last, strict=True)
    ]
  )
  return _mcnemar(int((signs > 0).sum()), int((signs < 0).sum()))


_mcnemar = functools.cache(mcnemar_p_value)  # the same counts come again and again


@pytest.mark.parametrize(("better", "worse"), [(0.01, 0.0), (0.02, 0.02), (0.9, 0.0)])
def test_intervals_of_rare_or_one_sided_changes_cover(better, worse):
  """One task and seed: few changes, or all the same way, must not look certain."""
  rng = keyed_generator("rare", str(better), str(worse))
  queries = 100
  hits = 0
  for _ in range(EXPERIMENTS):
    chance = rng.random(queries)
    change = (chance < better) * 1.0 - (chance > 1.0 - worse)
    first = np.where(change == 0.0, rng.random(queries) < 0.5, change < 0.0)
    sides = (_answer_each(first), _answer_each(first + change))
    found = paired_difference(*([side] for side in sides), rng, resamples=200)
    hits += found.low <= better - worse <= found.high
  assert hits / EXPERIMENTS >= 0.93


def _answer_each(values):
  ids = np.arange(len(values))
  values = np.asarray(values, np.float64)
  return TaskAnswers(queries=ids, seeds=0 * ids, values=values)


def test_slope_interval_covers():
  rng = keyed_generator("slope", "three seeds")
  weights = (-0.5, 0.5)
  truth = (_truth(0.5, ONE_TASK) - _truth(0.0, ONE_TASK)) / 2
  hits = 0
  for _ in range(EXPERIMENTS):
    sides = _draw(rng, 0.5, tasks=ONE_TASK)
    low, high = weighted_interval(sides, weights)
    hits += low <= truth <= high
  assert 0.93 <= hits / EXPERIMENTS <= 0.97


def test_override_rate_interval_covers():
  """A share of those questions alone that set the hypotheses apart: 2 in 3 here."""
  rng = keyed_generator("override")
  truth, hits = _truth(), 0
  for _ in range(EXPERIMENTS):
    tasks = _draw(rng)[0]
    kept = [rng.random(len(task.values)) < 2 / 3 for task in tasks]
    asked = [
      TaskAnswers(
        queries=task.queries[chosen],
        seeds=task.seeds[chosen],
        values=task.values[chosen],
      )
      for task, chosen in zip(tasks, kept, strict=True)
    ]
    found = macro_mean(asked)
    hits += found.low <= truth <= found.high
  assert 0.93 <= hits / EXPERIMENTS <= 0.97


@pytest.mark.parametrize("effect", [0.0, 0.8])
def test_difference_of_differences_errs_as_often_as_it_says(effect):
  """Two settings of two checkpoints; all four answer the same queries and seeds."""
  rng = keyed_generator("difference of differences", str(effect))
  shifts, weights = (0.0, 1.0, 0.0, 1.0 - effect), (1.0, -1.0, -1.0, 1.0)
  truth = float(np.dot(weights, [_truth(shift) for shift in shifts]))
  hits = significant = detectable = 0
  ids, seeds = np.repeat(np.arange(QUERIES), SEEDS), np.tile(np.arange(SEEDS), QUERIES)
  for _ in range(EXPERIMENTS):
    cells: list[list[TaskAnswers]] = [[], [], [], []]
    for task in TASKS:
      query = rng.normal(0, QUERY_SD, (QUERIES, 1))
      for cell, shift in zip(cells, shifts, strict=True):
        seed = rng.normal(0, SEED_SD, (1, SEEDS))
        right = rng.random((QUERIES, SEEDS)) < expit(task + shift + query + seed)
        values = right.reshape(-1).astype(np.float64)
        cell.append(TaskAnswers(queries=ids, seeds=seeds, values=values))
    found = weighted_difference(cells, weights, rng, resamples=500)
    hits += found.low <= truth <= found.high
    significant += found.p_value < 0.05
    detectable += found.detectable / EXPERIMENTS
  assert 0.93 <= hits / EXPERIMENTS <= 0.98
  # The power that `detectable`, 2.8 standard errors, promises; 5% without effect.
  ratio = 2.8 * truth / detectable
  power = scipy.stats.norm.sf([1.96 - ratio, 1.96 + ratio]).sum()
  assert significant / EXPERIMENTS == pytest.approx(power, abs=0.03)
