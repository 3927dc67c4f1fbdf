"""The variance of a mean of answers that are clustered by query and by exemplar seed.

Answers to one query under several seeds are correlated, and so are the answers to all
queries under one seed. With answers x[query, seed] of one task, the variance of their
mean is that of a crossed random-effects design (Searle, Casella and McCulloch 1992,
section 4.5):

  (MS_queries + max(0, MS_seeds - MS_residual)) / answers

Tests use Satterthwaite's degrees of freedom (1946). With few seeds, the variance due to
seeds is poorly known, so it widens an interval all the more.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import scipy.special
from jaxtyping import Float, Int

_CERTAIN = 1e9  # degrees of freedom: Student's distribution is then the normal one


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskAnswers:
  """Answers of one checkpoint to one task.

  Attributes:
    queries: the query of each answer.
    seeds: the exemplar seed of each answer.
    values: 1 for a right answer and 0 for a wrong one, or any other number to average.
    shares: names of what the task has in common with other tasks (`shared.py`).
  """

  queries: Int[np.ndarray, " answers"]
  seeds: Int[np.ndarray, " answers"]
  values: Float[np.ndarray, " answers"]
  shares: tuple[str, ...] = ()

  def __post_init__(self):
    sizes = {len(self.queries), len(self.seeds), len(self.values)}
    assert len(sizes) == 1, "a query and a seed for each answer"
    assert 0 not in sizes, "no answers"

  @property
  def mean(self) -> float:
    """The mean of the values."""
    return float(self.values.mean())

  # Cached, since one comparison uses them some ten times.
  @functools.cached_property
  def query_places(self) -> Int[np.ndarray, " answers"]:
    """The query of each answer, as an index 0, 1, ... into the sorted queries."""
    return np.unique(self.queries, return_inverse=True)[1]

  @functools.cached_property
  def seed_places(self) -> Int[np.ndarray, " answers"]:
    """The seed of each answer, as an index 0, 1, ... into the sorted seeds."""
    return np.unique(self.seeds, return_inverse=True)[1]

  @property
  def num_queries(self) -> int:
    """How many different ones."""
    return int(self.query_places.max()) + 1

  @property
  def num_seeds(self) -> int:
    """How many different ones."""
    return int(self.seed_places.max()) + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
  """The variance of a mean over tasks, and how well it is known.

  Attributes:
    queries: the part due to queries.
    seeds: the part due to seeds, including the residual.
    residual: the part expected for seeds if they had no effect.
    query_df: degrees of freedom of `queries`.
    seed_df: degrees of freedom of `seeds`; 0 if there is only one seed.
  """

  queries: float
  seeds: float
  residual: float
  query_df: int
  seed_df: int

  @property
  def variance(self) -> float:
    """The variance of the mean."""
    return self.queries + max(0.0, self.seeds - self.residual)

  def quantile(self, share: float) -> float:
    """Student's quantile for Satterthwaite's degrees of freedom."""
    return float(scipy.special.stdtrit(self._freedom(), share))

  def joint_quantile(self, share: float) -> float:
    """A quantile: normal for the part due to queries, Student's for what seeds add.

    This is the modified large-sample limit of Graybill and Wang (1980): the squares of
    both half widths add up.
    """
    normal = float(scipy.special.ndtri(share))
    added = self.variance - self.queries
    if added <= 0.0:
      return normal
    student = float(scipy.special.stdtrit(self.seed_df, share))
    squares = normal**2 * self.queries + student**2 * added
    return float(np.sqrt(squares / self.variance))

  def p_value(self, mean: float) -> float:
    """Two-sided p-value of a mean whose true value is 0; needs a positive variance."""
    ratio = abs(mean) / np.sqrt(self.variance)
    return float(2.0 * scipy.special.stdtr(self._freedom(), -ratio))

  def _freedom(self) -> float:
    parts = ((self.seeds, self.seed_df), (self.queries, self.query_df))
    unsure = sum(part**2 / df for part, df in parts if df > 0)
    return self.variance**2 / unsure if unsure > 0.0 else _CERTAIN


def measure_spread(tasks: Sequence[TaskAnswers], *, smooth: bool = False) -> Spread:
  """The spread of the mean over tasks, which have equal weight and are taken as given.

  Seeds are assumed to have similar effects in all tasks: their parts are summed over
  tasks before they are compared with the residual.

  Args:
    tasks: answers of each task; at least one task.
    smooth: for shares of right answers. If all answers of a task are right or all are
      wrong, or if it has only one query, the part due to its queries is not 0 but that
      of Laplace's share (right + 1) / (n + 2), of the task or of all tasks, whichever
      has less variance.
  """
  floor = _laplace_variance(tasks) if smooth else None
  parts = np.array([_parts(task, floor) for task in tasks])
  queries, seeds, residual = parts.sum(axis=0) / len(tasks) ** 2
  return Spread(
    queries=float(queries),
    seeds=float(seeds),
    residual=float(residual),
    query_df=sum(t.num_queries - 1 for t in tasks),
    seed_df=sum(t.num_seeds - 1 for t in tasks),
  )


def per_query(task: TaskAnswers) -> Float[np.ndarray, "queries 2"]:
  """Sum of values and number of answers of each query, sorted by query.

  For example:

    queries  [7 3 7]
    values   [1 1 0]   ->   [[1 1]     query 3
                             [1 2]]    query 7
  """
  counts = np.bincount(task.query_places)
  sums = np.bincount(task.query_places, weights=task.values)
  return np.stack([sums, counts.astype(np.float64)], axis=1)


def _laplace_variance(tasks: Sequence[TaskAnswers]) -> float:
  """The variance of one answer, for Laplace's share of right ones."""
  n = sum(task.num_queries for task in tasks)
  right = sum(task.mean * task.num_queries for task in tasks)
  share = (right + 1.0) / (n + 2.0)
  return share * (1.0 - share)


def _parts(task: TaskAnswers, floor: float | None) -> tuple[float, float, float]:
  """Mean squares of queries, seeds and residual, each over the number of answers."""
  is_unknown = task.num_queries < 2 or task.values.min() == task.values.max()
  if floor is not None and is_unknown:
    variance = min(floor, _laplace_variance([task]))
    return variance / task.num_queries, 0.0, 0.0
  count = len(task.values)
  deviations = task.values - task.mean
  by_query, query_means = _by_group(task.query_places, deviations)
  by_seed, seed_means = _by_group(task.seed_places, deviations)
  left = max(1, count - task.num_queries - task.num_seeds + 1)
  rest = deviations - query_means - seed_means
  residual = float(rest @ rest) / left / count if task.num_seeds > 1 else 0.0
  return by_query, by_seed, residual


def _by_group(
  places: Int[np.ndarray, " answers"], deviations: Float[np.ndarray, " answers"]
) -> tuple[float, Float[np.ndarray, " answers"]]:
  """Variance of the mean if groups are independent, and each answer's group mean."""
  sums = np.bincount(places, weights=deviations)
  means = (sums / np.bincount(places))[places]
  groups = len(sums)
  if groups < 2:
    return 0.0, means
  variance = groups / (groups - 1) * float(sums @ sums) / len(deviations) ** 2
  return variance, means
