"""Means, intervals and p-values of right and wrong answers.

The mean over tasks weighs every task alike (Wei et al. 2023, Table 1). Answers are not
independent: those to one query under several exemplar seeds belong together, and so may
those of one seed. A task's variance is therefore clustered both ways (Cameron, Gelbach
and Miller 2011, equation 2.11): by query plus by seed minus by both. Tasks are taken as
given; `PairedDifference.new_tasks` alone takes them as a sample.

- Accuracies have Wilson's interval for the number of independent answers that would
  have this variance; it keeps its width where every answer is right.
- Two checkpoints are compared on the same questions: a paired bootstrap that draws the
  queries of each task again, with all their answers, spread to the clustered variance;
  and McNemar's exact test over queries.

scipy and statsmodels do what they have; tests/probe/test_stats_simulated.py shows that
the intervals cover what they claim.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float, Int

CONFIDENCE = 0.95
POWER = 0.8
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
    low: lower end of the interval, for these tasks.
    high: upper end of the interval, for these tasks.
    new_tasks: the interval for tasks of this kind (Student's t over tasks); None if
      there is one task only.
    p_value: two-sided, exact, of the queries that got better or worse.
    detectable: the smallest true difference that such an experiment would call
      significant at 5% in 80 of 100 repetitions.
  """

  n: int
  difference: float
  low: float
  high: float
  new_tasks: tuple[float, float] | None
  p_value: float
  detectable: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskAnswers:
  """Answers of one checkpoint to one task.

  Attributes:
    queries: the query that each answer is to.
    seeds: the exemplar seed of each answer.
    values: 1 for a right answer, 0 for a wrong one; or any other number that is to be
      averaged.
  """

  queries: Int[np.ndarray, " answers"]
  seeds: Int[np.ndarray, " answers"]
  values: Float[np.ndarray, " answers"]

  def __post_init__(self):
    sizes = {len(self.queries), len(self.seeds), len(self.values)}
    assert len(sizes) == 1, "a query and a seed for each answer"
    assert 0 not in sizes, "no answers"

  @property
  def mean(self) -> float:
    """Of the values."""
    return float(self.values.mean())


def wilson_interval(
  mean: float, n: int | float, confidence: float = CONFIDENCE
) -> Estimate:
  """The share of right answers with Wilson's score interval (Wilson 1927).

  It stays inside [0, 1] and keeps its width where every answer is right or wrong.

  Args:
    mean: share of right answers, 0 to 1.
    n: number of independent answers; need not be whole.
    confidence: how often such intervals hold the truth.
  """
  # Imported here: it takes a second, and only reports need it.
  from statsmodels.stats.proportion import proportion_confint

  assert n > 0, "a share of something"
  ends = proportion_confint(mean * n, n, 1.0 - confidence, method="wilson")
  low, high = (float(np.asarray(end)) for end in ends)
  return Estimate(n=round(n), mean=mean, low=max(0.0, low), high=min(1.0, high))


def mcnemar_p_value(better: int, worse: int) -> float:
  """McNemar's exact two-sided p-value; 1 if nothing changed.

  Args:
    better: pairs that only the last checkpoint answered right.
    worse: pairs that only the first checkpoint answered right.
  """
  if better + worse == 0:
    return 1.0
  return float(scipy.stats.binomtest(better, better + worse, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
  """P-values corrected for how many there are (Holm 1979): one family, one table.

  Args:
    p_values: of every comparison of the table.

  Returns:
    In the same order; below 0.05 for any of them at most 5 times in 100 tables whose
    differences are all zero.
  """
  from statsmodels.stats.multitest import multipletests

  if not p_values:
    return ()
  corrected = np.asarray(multipletests(p_values, method="holm")[1])
  return tuple(corrected.tolist())


def clustered_variance(task: TaskAnswers) -> float:
  """Variance of a task's mean, clustered by query and by seed.

  By query plus by seed minus by both, but never less than by query alone: the part of
  the seeds is an estimate from a few of them.

  Args:
    task: its answers.

  Returns:
    0 if there is a single query.
  """
  by_query = _variance_by(task.queries, task.values)
  by_seed = _variance_by(task.seeds, task.values)
  by_both = _variance_by(_pair_ids(task.queries, task.seeds), task.values)
  return by_query + max(0.0, by_seed - by_both)


def macro_mean(
  tasks: Sequence[TaskAnswers], confidence: float = CONFIDENCE
) -> Estimate:
  """The mean over tasks of the share of right answers, with Wilson's interval.

  Args:
    tasks: at least one; values from 0 to 1.
    confidence: how often such intervals hold the truth, for these tasks.
  """
  mean = float(np.mean([t.mean for t in tasks]))
  variance = sum(_smoothed_variance(t) for t in tasks) / len(tasks) ** 2
  if 0.0 < mean < 1.0 and variance > 0.0:
    # With one task and one seed the variance is mean (1 - mean) / (n - 1): this is n.
    number = mean * (1.0 - mean) / variance + 1.0
  else:
    number = float(_count_queries(tasks))
  interval = wilson_interval(mean, number, confidence)
  return dataclasses.replace(interval, n=sum(len(t.values) for t in tasks))


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
    last: answers of the last checkpoint: same tasks, same questions, same order.
    rng: draws the queries, the same for both checkpoints.
    resamples: of the bootstrap.
    confidence: how often such intervals hold the truth.

  Returns:
    The difference. McNemar's pairs are queries: one that several seeds asked counts
    once, as better or worse on the whole.
  """
  changes = [_change(a, b) for a, b in zip(first, last, strict=True)]
  mean, error = mean_and_error(changes)
  low, high = _bootstrap(changes, error, rng, resamples, confidence)
  signs = np.concatenate(
    [np.sign(_per_query(t.queries, t.values)[:, 0]) for t in changes]
  )
  return PairedDifference(
    n=sum(len(t.values) for t in changes),
    difference=mean,
    low=low,
    high=high,
    new_tasks=_interval_over_tasks(changes, confidence),
    p_value=mcnemar_p_value(int((signs > 0).sum()), int((signs < 0).sum())),
    detectable=smallest_detectable(error or 1.0 / _count_queries(changes)),
  )


def mean_and_error(tasks: Sequence[TaskAnswers]) -> tuple[float, float]:
  """The mean over tasks and its clustered standard error.

  Args:
    tasks: at least one.
  """
  mean = float(np.mean([t.mean for t in tasks]))
  variance = sum(clustered_variance(t) for t in tasks) / len(tasks) ** 2
  return mean, float(np.sqrt(variance))


def smallest_detectable(error: float) -> float:
  """The true difference that is called significant at 5% with power 80%.

  Args:
    error: standard error of the difference.
  """
  quantiles = scipy.stats.norm.ppf([(1.0 + CONFIDENCE) / 2, POWER])
  return float(quantiles.sum()) * error


def _count_queries(tasks: Sequence[TaskAnswers]) -> int:
  return sum(len(np.unique(t.queries)) for t in tasks)


def _change(first: TaskAnswers, last: TaskAnswers) -> TaskAnswers:
  same = np.array_equal(first.queries, last.queries) and np.array_equal(
    first.seeds, last.seeds
  )
  assert same, "answers are not paired"
  return dataclasses.replace(first, values=last.values - first.values)


def _pair_ids(
  queries: Int[np.ndarray, " answers"], seeds: Int[np.ndarray, " answers"]
) -> Int[np.ndarray, " answers"]:
  places = [np.unique(ids, return_inverse=True)[1] for ids in (queries, seeds)]
  return places[0] * (places[1].max() + 1) + places[1]


def _variance_by(
  clusters: Int[np.ndarray, " answers"], values: Float[np.ndarray, " answers"]
) -> float:
  """Variance of the mean if clusters are independent; 0 if there is one only."""
  _, places = np.unique(clusters, return_inverse=True)
  sums = np.bincount(places.reshape(-1), weights=values - values.mean())
  count = len(sums)
  if count < 2:
    return 0.0
  return float(count / (count - 1) * np.sum(sums**2)) / len(values) ** 2


def _smoothed_variance(task: TaskAnswers) -> float:
  """As `clustered_variance`, but not 0 where all answers are right or all are wrong.

  There it is that of Laplace's (right + 1) / (n + 2), since other queries of the task
  might have been answered differently.
  """
  if task.values.min() < task.values.max():
    return clustered_variance(task)
  n = len(np.unique(task.queries))
  share = (task.mean * n + 1.0) / (n + 2.0)
  return share * (1.0 - share) / n


def _per_query(
  queries: Int[np.ndarray, " answers"], values: Float[np.ndarray, " answers"]
) -> Float[np.ndarray, "queries 2"]:
  """Sum of values and number of answers of each query, in order of queries.

  queries  [7 3 7]
  values   [1 1 0]   ->   [[1 1]     query 3
                           [1 2]]    query 7
  """
  _, places = np.unique(queries, return_inverse=True)
  counts = np.bincount(places)
  sums = np.bincount(places, weights=values)
  return np.stack([sums, counts.astype(np.float64)], axis=1)


def _bootstrap(
  tasks: Sequence[TaskAnswers],
  error: float,
  rng: np.random.Generator,
  resamples: int,
  confidence: float,
) -> tuple[float, float]:
  """Percentile interval of the mean over tasks, spread to its standard error."""
  means = np.zeros(resamples)
  variance = 0.0
  for task in tasks:
    per_query = _per_query(task.queries, task.values)
    means += _resampled_means(per_query, rng, resamples) / len(tasks)
    queries = len(per_query)
    variance += _variance_by(task.queries, task.values) * (queries - 1) / queries
  centre = float(np.mean([t.mean for t in tasks]))
  spread = error / np.sqrt(variance / len(tasks) ** 2) if variance > 0.0 else 1.0
  tail = (1.0 - confidence) / 2
  low, high = centre + spread * np.quantile(means - centre, [tail, 1.0 - tail])
  return float(low), float(high)


def _resampled_means(
  per_query: Float[np.ndarray, "queries 2"], rng: np.random.Generator, resamples: int
) -> Float[np.ndarray, " resamples"]:
  """Means of one task, each over queries drawn with replacement.

  Queries with the same sum and count are alike, so drawing how many there are of each
  kind is the same as drawing queries, with a handful of numbers per resample. Kinds
  stand in order of appearance, so that swapping two checkpoints mirrors the result.
  """
  sums, counts = per_query.T
  _, first_places, sizes = np.unique(
    sums + 1j * counts, return_index=True, return_counts=True
  )
  order = np.argsort(first_places)
  kinds, sizes = per_query[first_places[order]], sizes[order]
  num_queries = len(per_query)
  drawn = rng.multinomial(num_queries, sizes / num_queries, size=resamples)
  totals = drawn @ kinds
  return totals[:, 0] / totals[:, 1]


def _interval_over_tasks(
  tasks: Sequence[TaskAnswers], confidence: float
) -> tuple[float, float] | None:
  if len(tasks) < 2:
    return None
  means = np.array([t.mean for t in tasks])
  error = means.std(ddof=1) / np.sqrt(len(means))
  half = scipy.stats.t.ppf((1.0 + confidence) / 2, len(means) - 1) * error
  return float(means.mean() - half), float(means.mean() + half)
