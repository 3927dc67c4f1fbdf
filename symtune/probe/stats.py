"""Means, intervals and p-values of right and wrong answers.

The mean over tasks weighs every task alike (Wei et al. 2023, Table 1). Its interval is
a percentile bootstrap that draws queries with replacement inside each task; tasks are
taken as given. Answers to one query, one per seed, stay together: they are no
independent draws. Two checkpoints are compared on the same drawn queries, and by
McNemar's exact test over queries.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Int

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
  """A mean and its interval.

  Attributes:
    n: number of answers.
    mean: share of right answers, 0 to 1.
    low: lower end of the interval.
    high: upper end of the interval.
  """

  n: int
  mean: float
  low: float
  high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedDifference:
  """How much better the last checkpoint is than the first.

  Attributes:
    n: number of answers of each.
    difference: mean of the last minus mean of the first, -1 to 1.
    low: lower end of the interval.
    high: upper end of the interval.
    p_value: two-sided, exact, of the queries that got better or worse.
  """

  n: int
  difference: float
  low: float
  high: float
  p_value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskAnswers:
  """Answers of one checkpoint to one task.

  Attributes:
    queries: the query that each answer is to; several answers if there were several
      seeds.
    correct: whether each answer is right.
  """

  queries: Int[np.ndarray, " answers"]
  correct: Bool[np.ndarray, " answers"]

  def __post_init__(self):
    assert len(self.queries) == len(self.correct) > 0, "one query for each answer"


def wilson_interval(mean: float, n: int, confidence: float = CONFIDENCE) -> Estimate:
  """The share of right answers with Wilson's score interval (Wilson 1927).

  It stays inside [0, 1] and keeps its width where every answer is right or wrong.

  Args:
    mean: share of right answers, 0 to 1.
    n: number of independent answers.
    confidence: how often such intervals hold the truth.
  """
  assert n > 0, "a share of something"
  z = float(scipy.stats.norm.ppf((1.0 + confidence) / 2))
  centre = mean + z * z / (2 * n)
  half = z * np.sqrt(mean * (1.0 - mean) / n + (z / (2 * n)) ** 2)
  scale = 1.0 + z * z / n
  low, high = (centre - half) / scale, (centre + half) / scale
  return Estimate(n=n, mean=mean, low=max(0.0, float(low)), high=min(1.0, float(high)))


def mcnemar_p_value(better: int, worse: int) -> float:
  """McNemar's exact two-sided p-value; 1 if nothing changed.

  Args:
    better: pairs that only the last checkpoint answered right.
    worse: pairs that only the first checkpoint answered right.
  """
  if better + worse == 0:
    return 1.0
  return float(scipy.stats.binomtest(better, better + worse, 0.5).pvalue)


def chance_level(num_classes: Sequence[int]) -> float:
  """The mean over tasks of a uniform guesser's accuracy.

  Args:
    num_classes: of each task.
  """
  return float(np.mean(1.0 / np.asarray(num_classes, np.float64)))


def task_mean(task: TaskAnswers) -> Estimate:
  """The share of right answers to one task, with Wilson's interval.

  Only different queries count as independent: more seeds leave the width as it is.
  """
  mean = float(task.correct.mean())
  interval = wilson_interval(mean, len(np.unique(task.queries)))
  return dataclasses.replace(interval, n=len(task.correct))


def macro_mean(
  tasks: Sequence[TaskAnswers],
  rng: np.random.Generator,
  *,
  resamples: int = RESAMPLES,
  confidence: float = CONFIDENCE,
) -> Estimate:
  """The mean over tasks of the share of right answers.

  Args:
    tasks: at least one.
    rng: draws the queries.
    resamples: of the bootstrap.
    confidence: how often such intervals hold the truth.

  Returns:
    The mean and its bootstrap interval. If every answer is right, or every answer is
    wrong, there is nothing to resample and the interval has no width.
  """
  values = [t.correct.astype(np.int64) for t in tasks]
  low, high = _bootstrap(
    [t.queries for t in tasks], values, rng, resamples=resamples, confidence=confidence
  )
  return Estimate(n=_count(tasks), mean=_mean_of_means(values), low=low, high=high)


def paired_difference(
  first: Sequence[TaskAnswers],
  last: Sequence[TaskAnswers],
  rng: np.random.Generator,
  *,
  resamples: int = RESAMPLES,
  confidence: float = CONFIDENCE,
) -> PairedDifference:
  """The mean over tasks of what changed between two checkpoints.

  Args:
    first: answers of the first checkpoint.
    last: answers of the last checkpoint: same tasks, same queries, same order.
    rng: draws the queries, the same for both checkpoints.
    resamples: of the bootstrap.
    confidence: how often such intervals hold the truth.

  Returns:
    The difference, its bootstrap interval, and McNemar's exact p-value. Its pairs are
    queries: one that several seeds asked counts once, as better or worse on the whole.
  """
  for one, other in zip(first, last, strict=True):
    assert np.array_equal(one.queries, other.queries), "answers are not paired"
  values = [
    b.correct.astype(np.int64) - a.correct.astype(np.int64)
    for a, b in zip(first, last, strict=True)
  ]
  queries = [t.queries for t in first]
  low, high = _bootstrap(
    queries, values, rng, resamples=resamples, confidence=confidence
  )
  changes = np.concatenate(
    [_per_query(q, v)[:, 0] for q, v in zip(queries, values, strict=True)]
  )
  return PairedDifference(
    n=_count(first),
    difference=_mean_of_means(values),
    low=low,
    high=high,
    p_value=mcnemar_p_value(int((changes > 0).sum()), int((changes < 0).sum())),
  )


def _count(tasks: Sequence[TaskAnswers]) -> int:
  return sum(len(t.correct) for t in tasks)


def _mean_of_means(values: Sequence[Int[np.ndarray, " _"]]) -> float:
  return float(np.mean([v.mean() for v in values]))


def _per_query(
  queries: Int[np.ndarray, " answers"], values: Int[np.ndarray, " answers"]
) -> Int[np.ndarray, "queries 2"]:
  """Sum of values and number of answers of each query, in order of queries.

  queries  [7 3 7]
  values   [1 1 0]   ->   [[1 1]     query 3
                           [1 2]]    query 7
  """
  _, places = np.unique(queries, return_inverse=True)
  counts = np.bincount(places)
  sums = np.bincount(places, weights=values).astype(np.int64)
  return np.stack([sums, counts], axis=1)


def _bootstrap(
  queries: Sequence[Int[np.ndarray, " _"]],
  values: Sequence[Int[np.ndarray, " _"]],
  rng: np.random.Generator,
  *,
  resamples: int,
  confidence: float,
) -> tuple[float, float]:
  """Percentile interval of the mean over tasks."""
  assert queries, "at least one task"
  means = np.zeros(resamples)
  for task_queries, task_values in zip(queries, values, strict=True):
    means += _resampled_means(_per_query(task_queries, task_values), rng, resamples)
  tail = (1.0 - confidence) / 2
  low, high = np.quantile(means / len(queries), [tail, 1.0 - tail])
  return float(low), float(high)


def _resampled_means(
  per_query: Int[np.ndarray, "queries 2"], rng: np.random.Generator, resamples: int
) -> Float[np.ndarray, " resamples"]:
  """Means of one task, each over queries drawn with replacement.

  Queries with the same sum and count are alike, so drawing how many there are of each
  kind is the same as drawing queries, with a handful of numbers per resample. Kinds
  stand in order of appearance, so that swapping two checkpoints mirrors the result.
  """
  kinds, first_places, sizes = np.unique(
    per_query, axis=0, return_index=True, return_counts=True
  )
  order = np.argsort(first_places)
  kinds, sizes = kinds[order], sizes[order]
  num_queries = len(per_query)
  drawn = rng.multinomial(num_queries, sizes / num_queries, size=resamples)
  sums, counts = (drawn @ kinds).T
  return sums / counts
