"""Intervals cover, and tests err, as often as they say: 1,000 simulated experiments.

An answer is right with a probability that depends on task, query and exemplar seed, as
real answers do: logit = task + query + seed, all normal. The truth is the mean of these
probabilities over queries and seeds, by Gauss-Hermite quadrature.
"""

import numpy as np
import pytest
from scipy.special import expit
from statsmodels.stats.proportion import proportions_ztest

from symtune.data.rng import keyed_generator
from symtune.probe.stats import TaskAnswers, macro_mean, paired_difference

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
