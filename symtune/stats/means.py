"""Means, intervals and p-values of right and wrong answers.

The mean over tasks gives every task equal weight (Wei et al. 2023, Table 1). Tasks are
taken as given; only `PairedDifference.new_tasks` treats them as a sample, whose tasks
may have things in common (`shared.py`). The answers to a task are clustered by query
and by exemplar seed (`clusters.py`).

- Accuracies have Wilson's interval for the number of independent answers that would
  have this variance; it keeps its width if every answer is right. The variance due to
  seeds enters with Student's quantile.
- Two checkpoints are compared on the same questions. The interval is a paired bootstrap
  that resamples the queries of each task, with all their answers, and is scaled to the
  clustered error. If fewer than ten queries deviate from the most common change, or a
  task has only one query, there is too little to resample: the interval is then
  Newcombe's (1998, method 10), which combines the intervals of both accuracies using
  their correlation.
- The p-value is McNemar's exact test over queries if there is one exemplar seed. With
  several seeds, queries are not independent, and it is Student's test with the
  clustered error. So it is for a difference of differences: signs do not test its mean.

scipy and statsmodels are used where they have a method;
tests/stats/test_stats_simulated.py shows that the intervals have their stated coverage.
"""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float

from symtune.stats.clusters import Spread, TaskAnswers, measure_spread, per_query
from symtune.stats.shared import mean_error, sharing

CONFIDENCE = 0.95
POWER = 0.8
RESAMPLES = 10_000
FEW_CHANGES = 10  # queries; with fewer, all resamples of the bootstrap are nearly equal


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
    n: number of answers of each checkpoint.
    difference: mean of the last minus mean of the first, -1 to 1.
    low: lower end of the interval, for these tasks.
    high: upper end of the interval, for these tasks.
    new_tasks: the interval for other tasks of this kind (Student's t over tasks, with
      errors that respect what tasks share), never narrower than the one for these
      tasks; None if there is only one task.
    p_value: two-sided; exact if there is one exemplar seed.
    detectable: the smallest true difference that such an experiment would find
      significant at 5% in 80 of 100 repetitions; above 1 if there is none.
  """

  n: int
  difference: float
  low: float
  high: float
  new_tasks: tuple[float, float] | None
  p_value: float
  detectable: float


def wilson_interval(
  mean: float, n: int | float, quantile: float | None = None
) -> Estimate:
  """The share of right answers with Wilson's score interval (Wilson 1927).

  It stays inside [0, 1] and keeps its width if all answers are right or all are wrong.

  Args:
    mean: share of right answers, 0 to 1.
    n: number of independent answers; need not be an integer.
    quantile: number of standard errors on each side; None takes 1.96, for 95%.
  """
  # Imported here: it takes a second, and only reports need it.
  from statsmodels.stats.proportion import proportion_confint

  assert n > 0, "there must be answers"
  tails = 1.0 - CONFIDENCE if quantile is None else 2.0 * scipy.stats.norm.sf(quantile)
  ends = proportion_confint(mean * n, n, float(tails), method="wilson")
  low, high = (float(np.asarray(end)) for end in ends)
  # Rounding must not put the mean outside the interval.
  low, high = max(0.0, min(low, mean)), min(1.0, max(high, mean))
  return Estimate(n=round(n), mean=mean, low=low, high=high)


def mcnemar_p_value(better: int, worse: int) -> float:
  """McNemar's exact two-sided p-value; 1 if nothing changed.

  Args:
    better: pairs that only the last checkpoint answered right.
    worse: pairs that only the first checkpoint answered right.
  """
  if better + worse == 0:
    return 1.0
  return float(scipy.stats.binomtest(better, better + worse, 0.5).pvalue)


def holm(
  p_values: Sequence[float], hypotheses: Sequence[Hashable] | None = None
) -> tuple[float, ...]:
  """Corrects the p-values of one table, a family, for their number (Holm 1979).

  Args:
    p_values: the p-value of every comparison in the table.
    hypotheses: what each comparison tests. Comparisons with equal ones are one test
      that is shown several times, and count once, with the largest of their p-values;
      None if all differ.

  Returns:
    The corrected values in the same order. If all true differences are zero, any of
    them is below 0.05 in at most 5 of 100 tables.
  """
  tested = list(range(len(p_values))) if hypotheses is None else list(hypotheses)
  largest: dict[Hashable, float] = {}
  for hypothesis, p_value in zip(tested, p_values, strict=True):
    largest[hypothesis] = max(p_value, largest.get(hypothesis, 0.0))
  # statsmodels has the same, and collects all garbage of the process at each call.
  ascending = sorted(largest, key=largest.__getitem__)
  steps = [largest[h] * (len(largest) - rank) for rank, h in enumerate(ascending)]
  corrected = np.minimum(np.maximum.accumulate(steps), 1.0).tolist()
  by_hypothesis = dict(zip(ascending, corrected, strict=True))
  return tuple(by_hypothesis[hypothesis] for hypothesis in tested)


def macro_mean(tasks: Sequence[TaskAnswers]) -> Estimate:
  """The mean over tasks of the share of right answers, with Wilson's interval.

  Args:
    tasks: answers of each task, at least one task; values from 0 to 1.

  Returns:
    The mean and its 95% interval, for these tasks.
  """
  mean = float(np.mean([t.mean for t in tasks]))
  spread = measure_spread(tasks, smooth=True)
  if 0.0 < mean < 1.0 and spread.variance > 0.0:
    # With one task and one seed the variance is mean (1 - mean) / (n - 1): this is n.
    number = mean * (1.0 - mean) / spread.variance + 1.0
  else:
    number = float(_count_queries(tasks))
  quantile = spread.joint_quantile((1.0 + CONFIDENCE) / 2)
  interval = wilson_interval(mean, number, quantile)
  return dataclasses.replace(interval, n=sum(len(t.values) for t in tasks))


def paired_difference(
  first: Sequence[TaskAnswers],
  last: Sequence[TaskAnswers],
  rng: np.random.Generator,
  *,
  resamples: int = RESAMPLES,
) -> PairedDifference:
  """The mean over tasks of the difference between two checkpoints.

  Args:
    first: answers of the first checkpoint.
    last: answers of the last checkpoint: same tasks, same questions, same order.
    rng: draws the queries, the same for both checkpoints.
    resamples: number of bootstrap resamples.

  Returns:
    The difference, with 95% intervals. The pairs of McNemar's test are queries: a query
    asked with several seeds counts once, as better or worse overall.
  """
  return weighted_difference((first, last), (-1.0, 1.0), rng, resamples=resamples)


def weighted_difference(
  cells: Sequence[Sequence[TaskAnswers]],
  weights: Sequence[float],
  rng: np.random.Generator,
  *,
  resamples: int = RESAMPLES,
) -> PairedDifference:
  """The mean over tasks of a weighted sum of answers to the same questions.

  Args:
    cells: answers, 0 to 1, of each checkpoint or setting, task by task; same questions,
      same order.
    weights: one per cell: -1 and 1 for a difference, and 1, -1, -1, 1 for a difference
      of differences, (last - third) - (second - first).
    rng: draws the queries, the same for all cells.
    resamples: number of bootstrap resamples.
  """
  changes = [_combine(task, weights) for task in zip(*cells, strict=True)]
  most = sum(map(abs, weights)) / 2.0  # all right in one half, all wrong in the other
  sums = np.concatenate([per_query(t)[:, 0] for t in changes])
  equal = int(np.unique(sums, return_counts=True)[1].max())
  spread = measure_spread(changes)
  # A task with one query does not show how much its queries differ.
  has_single = any(t.num_queries < 2 for t in changes)
  is_few = has_single or len(sums) - equal < FEW_CHANGES
  if is_few:
    low, high = weighted_interval(cells, weights)
  else:
    low, high = _bootstrap(changes, spread, rng, resamples)
  error = float(np.sqrt(spread.variance)) or 1.0 / _count_queries(changes)
  if has_single:
    error = float((high - low) / 2.0 / scipy.stats.norm.ppf((1.0 + CONFIDENCE) / 2))
  new_tasks = interval_over_tasks(
    np.array([t.mean for t in changes]), [t.shares for t in changes], low, high
  )
  return PairedDifference(
    n=sum(len(t.values) for t in changes),
    difference=float(np.mean([t.mean for t in changes])),
    low=max(-most, low),
    high=min(most, high),
    new_tasks=new_tasks and (max(-most, new_tasks[0]), min(most, new_tasks[1])),
    p_value=_p_value(changes, spread, sums, is_few, len(cells) == 2),
    detectable=smallest_detectable(error, spread),
  )


def weighted_interval(
  checkpoints: Sequence[Sequence[TaskAnswers]], weights: Sequence[float]
) -> tuple[float, float]:
  """The 95% interval of a weighted sum of accuracies on the same questions.

  For weights -1 and 1 this is Newcombe's method 10 (1998); for others, its extension by
  Zou (2009). It combines the intervals of the accuracies, so it has a width even if
  nothing changed.

  Args:
    checkpoints: answers of each checkpoint, task by task; same questions, same order.
    weights: one per checkpoint.
  """
  estimates = [macro_mean(tasks) for tasks in checkpoints]
  means = np.array([e.mean for e in estimates])
  down = means - np.array([e.low for e in estimates])
  up = np.array([e.high for e in estimates]) - means
  given = np.asarray(weights, np.float64)
  correlation = _correlations(checkpoints)
  centre = float(given @ means)
  ends = []
  for below, above in ((down, up), (up, down)):
    steps = given * np.where(given > 0.0, below, above)
    ends.append(float(np.sqrt(max(0.0, steps @ correlation @ steps))))
  return centre - ends[0], centre + ends[1]


def smallest_detectable(error: float, spread: Spread | None = None) -> float:
  """The true difference that is found significant at 5% with a power of 80%.

  Args:
    error: standard error of the difference.
    spread: tells how well the error is known; None takes it as known exactly.
  """
  shares = ((1.0 + CONFIDENCE) / 2, POWER)
  if spread is None:
    return float(scipy.stats.norm.ppf(shares).sum()) * error
  return sum(spread.quantile(share) for share in shares) * error


def _p_value(
  changes: Sequence[TaskAnswers],
  spread: Spread,
  sums: Float[np.ndarray, " queries"],
  is_few: bool,
  has_two: bool,
) -> float:
  exact = mcnemar_p_value(int((sums > 0).sum()), int((sums < 0).sum()))
  if (spread.seed_df == 0 and has_two) or spread.variance == 0.0:
    return exact
  clustered = spread.p_value(float(np.mean([t.mean for t in changes])))
  # With only a handful of changed queries, Student's test is overconfident.
  return max(exact, clustered) if is_few else clustered


def _correlations(
  checkpoints: Sequence[Sequence[TaskAnswers]],
) -> Float[np.ndarray, "checkpoints checkpoints"]:
  """Correlations of mean accuracies; positive ones are reduced as by Newcombe."""
  smoothed = [measure_spread(tasks, smooth=True).variance for tasks in checkpoints]
  plain = [measure_spread(tasks).variance for tasks in checkpoints]
  counts = [task.num_queries for task in checkpoints[0]]
  less = sum(0.5 / (n * (n - 1)) for n in counts if n > 1) / len(counts) ** 2
  found = np.eye(len(checkpoints))
  for i in range(len(checkpoints)):
    for j in range(i):
      pairs = zip(checkpoints[i], checkpoints[j], strict=True)
      changes = [_combine(pair, (-1.0, 1.0)) for pair in pairs]
      both = (plain[i] + plain[j] - measure_spread(changes).variance) / 2
      both = max(0.0, both - less) if both > 0.0 else both
      scale = np.sqrt(smoothed[i] * smoothed[j])
      value = np.clip(both / scale, -1.0, 1.0) if scale > 0.0 else 0.0
      found[i, j] = found[j, i] = value
  return found


def _count_queries(tasks: Sequence[TaskAnswers]) -> int:
  return sum(t.num_queries for t in tasks)


def _combine(cells: Sequence[TaskAnswers], weights: Sequence[float]) -> TaskAnswers:
  """The weighted sum of the answers to each question of one task."""
  for name in ("queries", "seeds"):
    asked = [getattr(cell, name) for cell in cells]
    assert all(np.array_equal(asked[0], a) for a in asked), "answers are not paired"
  values = np.asarray(weights) @ np.stack([cell.values for cell in cells])
  return dataclasses.replace(cells[0], values=values)


def _bootstrap(
  tasks: Sequence[TaskAnswers],
  spread: Spread,
  rng: np.random.Generator,
  resamples: int,
) -> tuple[float, float]:
  """Percentile interval of the mean over tasks, scaled to its clustered error.

  Resampling queries shows the variance due to queries. A factor widens the interval for
  the variance due to seeds and for its uncertainty with few seeds.
  """
  means = np.zeros(resamples)
  for task in tasks:
    means += _resampled_means(per_query(task), rng, resamples) / len(tasks)
  centre = float(np.mean([t.mean for t in tasks]))
  drawn = spread.queries * _share_drawn(tasks)
  upper = (1.0 + CONFIDENCE) / 2
  wider = np.sqrt(spread.variance / drawn) if drawn > 0.0 else 1.0
  wider *= spread.quantile(upper) / scipy.stats.norm.ppf(upper)
  low, high = centre + wider * np.quantile(means - centre, [1.0 - upper, upper])
  return float(low), float(high)


def _share_drawn(tasks: Sequence[TaskAnswers]) -> float:
  """The share of the variance that resampling shows: (n - 1) / n for n queries."""
  counts = np.array([t.num_queries for t in tasks], np.float64)
  parts = np.array([measure_spread([t]).queries for t in tasks])
  total = float(parts.sum())
  return float(parts @ ((counts - 1.0) / counts)) / total if total > 0.0 else 1.0


def _resampled_means(
  answers: Float[np.ndarray, "queries 2"], rng: np.random.Generator, resamples: int
) -> Float[np.ndarray, " resamples"]:
  """Means of one task, each over queries drawn with replacement.

  Queries with the same sum and count are of one kind. Drawing the number of queries of
  each kind is the same as drawing queries, but needs few numbers per resample. Kinds
  are in order of appearance, so swapping the two checkpoints mirrors the result.
  """
  sums, counts = answers.T
  _, first_places, sizes = np.unique(
    sums + 1j * counts, return_index=True, return_counts=True
  )
  order = np.argsort(first_places)
  kinds, sizes = answers[first_places[order]], sizes[order]
  num_queries = len(answers)
  drawn = rng.multinomial(num_queries, sizes / num_queries, size=resamples)
  totals = drawn @ kinds
  return totals[:, 0] / totals[:, 1]


def interval_over_tasks(
  means: Float[np.ndarray, " tasks"],
  shares: Sequence[tuple[str, ...]],
  low: float,
  high: float,
) -> tuple[float, float] | None:
  """The 95% interval of a mean for other tasks of this kind (`shared.py`).

  Args:
    means: a mean or difference of each task.
    shares: names of what each task has in common with other tasks.
    low: lower end of the interval for these tasks.
    high: its upper end.

  Returns:
    The interval, never narrower than the one for these tasks; None for a single task.
  """
  if len(means) < 2:
    return None
  half = mean_error(means, sharing(shares)).half_width(CONFIDENCE)
  centre = float(means.mean())
  return min(low, centre - half), max(high, centre + half)
