"""Intervals for tasks of a kind, from a sample of tasks that have things in common.

Two tasks that share something, such as a category of words, are not independent: an
error of the mean that takes them to be is too small. The dyadic-robust variance of a
mean of n values (Aronow, Samii and Assenova 2015; Cameron, Gelbach and Miller 2011 for
clusters in several ways) adds the products of residuals over all pairs that share:

  (sum_i e_i^2 + sum_{i != j that share} e_i e_j) / n^2,   e_i = x_i - mean

Residuals are smaller than errors, so both sums are too small in small samples. They are
therefore corrected like the sample variance (n - 1 for n): with a common variance v and
a common covariance c of tasks that share, the expected sums are linear in v and c, and
the equations are solved for them. Student's quantile has Satterthwaite's degrees of
freedom of the estimate (as Bell and McCaffrey 2002). If nothing is shared, all of this
is Student's interval with n - 1 degrees of freedom.

In simulations with 11 to 56 tasks, 94 to 98 of 100 intervals cover the true mean. They
are too narrow where tasks are in two groups (88 to 97 with 11 tasks), or where all but
one share the same thing (79 to 96): one difference tells little about how groups vary.
"""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import scipy.special
from jaxtyping import Bool, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanError:
  """How well a mean over tasks is known.

  Attributes:
    variance: variance of the mean.
    freedom: degrees of freedom of that variance, at least 1.
  """

  variance: float
  freedom: float

  def half_width(self, confidence: float) -> float:
    """Half of the width of Student's interval."""
    quantile = scipy.special.stdtrit(self.freedom, (1.0 + confidence) / 2)
    return float(quantile * np.sqrt(self.variance))


def sharing(tasks: Sequence[Collection[str]]) -> Bool[np.ndarray, "tasks tasks"]:
  """Which pairs of different tasks have something in common.

  Args:
    tasks: names of what each task shares with others.
  """
  names = sorted({name for task in tasks for name in task})
  place = {name: i for i, name in enumerate(names)}
  has = np.zeros((len(tasks), len(names)), np.int64)
  for i, task in enumerate(tasks):
    has[i, [place[name] for name in task]] = 1
  found = has @ has.T > 0
  np.fill_diagonal(found, False)
  return found


def mean_error(
  values: Float[np.ndarray, " tasks"], shared: Bool[np.ndarray, "tasks tasks"]
) -> MeanError:
  """The variance of the mean of values of tasks, as a sample of tasks of their kind.

  Args:
    values: one value per task; at least two tasks.
    shared: which pairs have something in common (`sharing`).

  Returns:
    The variance. It is never below that of independent tasks. What all tasks share
    belongs to their kind, and is no reason to expect other values from other tasks.
  """
  n = len(values)
  identity, pairs = np.eye(n), shared.astype(np.float64)
  centring = identity - 1.0 / n
  residuals = values - values.mean()  # centred first: no square is below 0 by rounding
  spread = float(residuals @ residuals) / (n - 1)
  form = _robust_form(pairs, centring)
  variance = 0.0 if form is None else float(residuals @ form @ residuals)
  if form is None or variance <= spread / n:
    return MeanError(variance=spread / n, freedom=n - 1.0)
  covariance = (variance * n**2 - spread * n) / pairs.sum()
  product = form @ (spread * identity + covariance * pairs)
  freedom = np.trace(product) ** 2 / np.trace(product @ product)
  return MeanError(variance=variance, freedom=float(np.clip(freedom, 1.0, n - 1.0)))


def _robust_form(
  pairs: Float[np.ndarray, "tasks tasks"], centring: Float[np.ndarray, "tasks tasks"]
) -> Float[np.ndarray, "tasks tasks"] | None:
  """The matrix whose quadratic form is the variance; None if it cannot be estimated."""
  n = len(pairs)
  if not pairs.any():
    return None
  centred = centring @ pairs @ centring
  # Expected sums of squares and of shared products, for v = 1 and for c = 1.
  expected = np.array(
    [
      [n - 1.0, np.trace(centred)],
      [np.trace(centred), np.sum(centred * pairs)],
    ]
  )
  if abs(np.linalg.det(expected)) < 1e-6 * n * n:
    return None
  of_v, of_c = np.linalg.solve(expected, [n, pairs.sum()]) / n**2
  return of_v * centring + of_c * centred
