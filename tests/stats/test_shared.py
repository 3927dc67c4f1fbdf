"""Means over tasks that share things: by hand, and by 1,000 simulated samples."""

import itertools

import numpy as np
import pytest
import scipy.stats

from symtune.data.rng import keyed_generator
from symtune.stats.clusters import TaskAnswers
from symtune.stats.means import paired_difference
from symtune.stats.shared import mean_error, sharing

SAMPLES = 1_000
ALL_PAIRS = list(itertools.combinations("abcdef", 2))  # 15 tasks of 6 categories
# As in the microworld: a group of 28 tasks, and two groups without common categories.
GROUP = list(itertools.combinations("abcdefgh", 2))
DESIGNS = {
  "all pairs": ALL_PAIRS,
  "group": GROUP,
  "two groups": [*GROUP, *itertools.combinations("stuvwxyz", 2)],
}


def _coverage(tasks, category_sd, rng):
  """How often the intervals hold 0: that of sharing tasks, and Student's."""
  names = sorted({name for task in tasks for name in task})
  has = np.array([[float(name in task) for name in names] for task in tasks])
  shared, nothing = sharing(tasks), np.zeros((len(tasks), len(tasks)), bool)
  hits = np.zeros(2)
  for _ in range(SAMPLES):
    values = has @ rng.normal(0, category_sd, len(names)) + rng.normal(size=len(tasks))
    for i, pairs in enumerate((shared, nothing)):
      hits[i] += abs(values.mean()) <= mean_error(values, pairs).half_width(0.95)
  return hits / SAMPLES


@pytest.mark.parametrize("category_sd", [0.5, 1.0])
@pytest.mark.parametrize("design", DESIGNS)
def test_interval_covers_if_tasks_share_categories(design, category_sd):
  rng = keyed_generator("sharing", design, str(category_sd))
  covered, naive = _coverage(DESIGNS[design], category_sd, rng)
  assert 0.93 <= covered <= 0.97
  assert naive < 0.85  # what it was without


def test_without_sharing_it_is_students_interval():
  values = keyed_generator("alone").normal(size=9)
  found = mean_error(values, sharing([()] * 9))
  low, high = scipy.stats.t.interval(
    0.95, 8, loc=values.mean(), scale=scipy.stats.sem(values)
  )
  assert found.half_width(0.95) == pytest.approx((high - low) / 2)
  assert found.freedom == 8


def test_the_variance_is_unbiased_for_both_parts():
  """The mean of the estimate over samples is the true variance of the mean."""
  rng = keyed_generator("unbiased")
  shared = sharing(ALL_PAIRS)
  has = np.array([[float(name in task) for name in "abcdef"] for task in ALL_PAIRS])
  values = [has @ rng.normal(0, 2.0, 6) + rng.normal(size=15) for _ in range(4_000)]
  found = np.mean([mean_error(v, shared).variance for v in values])
  # Each category is in 5 of 15 tasks: 6 * 4 * (5 / 15)^2 + 1 / 15
  assert found == pytest.approx(6 * 4 / 9 + 1 / 15, rel=0.05)


def test_what_all_tasks_share_tells_nothing():
  values = np.array([0.1, 0.5, 0.2, 0.9])
  alone = mean_error(values, sharing([()] * 4))
  assert mean_error(values, sharing([("x",)] * 4)) == alone


@pytest.mark.parametrize("names", [(), ("x",)])
def test_equal_values_have_no_spread_whatever_the_rounding(names):
  """Their mean may be off by a rounding, and no square may come out below 0."""
  shared = sharing([names, names, ()])
  for value in keyed_generator("equal").random(200):
    found = mean_error(np.full(3, value), shared)
    assert found.variance == pytest.approx(0.0, abs=1e-30)
    assert found.half_width(0.95) == pytest.approx(0.0, abs=1e-12)


def test_pairs_share_if_any_name_is_common():
  found = sharing([("a", "b"), ("b", "c"), ("d",), ()])
  assert np.argwhere(found).tolist() == [[0, 1], [1, 0]]


def test_paired_differences_respect_what_tasks_share():
  """Tasks of a category change alike, so there are fewer independent ones."""
  rng = keyed_generator("paired")
  ids = np.arange(50)
  share = dict(zip("abcdef", (0.0, 0.1, 0.2, 0.5, 0.8, 0.9), strict=True))

  def answers(with_shares):
    tasks = [
      TaskAnswers(
        queries=ids,
        seeds=np.zeros(50, np.int64),
        values=(ids / 50 < (share[a] + share[b]) / 2).astype(np.float64),
        shares=(a, b) if with_shares else (),
      )
      for a, b in ALL_PAIRS
    ]
    return tasks, [_none_right(task) for task in tasks]

  alone, together = (
    paired_difference(*answers(shares)[::-1], rng, resamples=10)
    for shares in (False, True)
  )
  assert alone.difference == together.difference
  width = [r.new_tasks[1] - r.new_tasks[0] for r in (alone, together)]
  assert width[1] > 1.5 * width[0]


def _none_right(task):
  return TaskAnswers(
    queries=task.queries,
    seeds=task.seeds,
    values=np.zeros(50),
    shares=task.shares,
  )
