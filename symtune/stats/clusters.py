"""How much a mean of answers would vary: answers come in queries and exemplar seeds.

Answers to one query under several seeds belong together, and so do those of one seed to
all queries. With answers x[query, seed] of one task, the variance of their mean is that
of a crossed random-effects design (Searle, Casella and McCulloch 1992, section 4.5):

  (MS_queries + max(0, MS_seeds - MS_residual)) / answers

A test has Satterthwaite's degrees of freedom (1946). A few seeds tell little of how
much seeds matter, and what they add widens an interval all the more.
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

  # Kept, since one comparison asks for them some ten times.
  @functools.cached_property
  def query_places(self) -> Int[np.ndarray, " answers"]:
    """Each answer's query as its place among all: 0, 1, ..."""
    return np.unique(self.queries, return_inverse=True)[1]

  @functools.cached_property
  def seed_places(self) -> Int[np.ndarray, " answers"]:
    """Each answer's seed as its place among all: 0, 1, ..."""
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
  """Variance of a mean over tasks, and how well it is known.

  Attributes:
    queries: the part of the queries.
    seeds: the part of the seeds, with what would be there if they did not matter.
    residual: what would be there.
    query_df: degrees of freedom of the first.
    seed_df: of the second; 0 if there is one seed only.
  """

  queries: float
  seeds: float
  residual: float
  query_df: int
  seed_df: int

  @property
  def variance(self) -> float:
    """Of the mean."""
    return self.queries + max(0.0, self.seeds - self.residual)

  def quantile(self, share: float) -> float:
    """Student's quantile for Satterthwaite's degrees of freedom."""
    return float(scipy.special.stdtrit(self._freedom(), share))

  def joint_quantile(self, share: float) -> float:
    """Normal for the part of the queries, Student's for what the seeds add.

    The modified large-sample limit of Graybill and Wang (1980): squares of both half
    widths add up.
    """
    normal = float(scipy.special.ndtri(share))
    added = self.variance - self.queries
    if added <= 0.0:
      return normal
    student = float(scipy.special.stdtrit(self.seed_df, share))
    squares = normal**2 * self.queries + student**2 * added
    return float(np.sqrt(squares / self.variance))

  def p_value(self, mean: float) -> float:
    """Two-sided, of a mean whose truth is 0; the variance is positive."""
    ratio = abs(mean) / np.sqrt(self.variance)
    return float(2.0 * scipy.special.stdtr(self._freedom(), -ratio))

  def _freedom(self) -> float:
    parts = ((self.seeds, self.seed_df), (self.queries, self.query_df))
    unsure = sum(part**2 / df for part, df in parts if df > 0)
    return self.variance**2 / unsure if unsure > 0.0 else _CERTAIN


def measure_spread(tasks: Sequence[TaskAnswers], *, smooth: bool = False) -> Spread:
  """The spread of the mean over tasks, which weigh alike and are taken as given.

  Seeds are taken to matter alike in all tasks: their parts are added before they are
  compared with the residual.

  Args:
    tasks: at least one.
    smooth: for shares of right answers: where a task's are all right or all wrong, the
      part of its queries is not 0 but that of Laplace's (right + 1) / (n + 2), of the
      task or of all tasks together, whichever varies less.
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
  """Sum of values and number of answers of each query, in order of queries.

  queries  [7 3 7]
  values   [1 1 0]   ->   [[1 1]     query 3
                           [1 2]]    query 7
  """
  counts = np.bincount(task.query_places)
  sums = np.bincount(task.query_places, weights=task.values)
  return np.stack([sums, counts.astype(np.float64)], axis=1)


def _laplace_variance(tasks: Sequence[TaskAnswers]) -> float:
  """Of one answer, at Laplace's share of right ones: (right + 1) / (n + 2)."""
  n = sum(task.num_queries for task in tasks)
  right = sum(task.mean * task.num_queries for task in tasks)
  share = (right + 1.0) / (n + 2.0)
  return share * (1.0 - share)


def _parts(task: TaskAnswers, floor: float | None) -> tuple[float, float, float]:
  """Mean squares of queries, seeds and residual, each over the number of answers."""
  if floor is not None and task.values.min() == task.values.max():
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
