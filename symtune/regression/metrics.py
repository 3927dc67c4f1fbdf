"""Squared errors and distances between predictors, by number of exemplars.

All are means over episodes divided by the dimension. Intervals are those of the
bootstrap over episodes, 95%: the same resamples serve all predictors, so differences
and ratios are paired.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64

from symtune.data.rng import keyed_generator
from symtune.regression.evaluate import Evaluated, Linearized
from symtune.stats.means import CONFIDENCE

RESAMPLES = 2000
_TAILS = [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
  """A mean by number of exemplars, 0 to points - 1, with its interval.

  Attributes:
    mean: the mean over episodes.
    low: lower ends.
    high: upper ends.
  """

  mean: Float64[np.ndarray, "points"]
  low: Float64[np.ndarray, "points"]
  high: Float64[np.ndarray, "points"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number:
  """A number with its interval."""

  value: float
  low: float
  high: float


def resample_counts(
  episodes: int, resamples: int = RESAMPLES
) -> Float64[np.ndarray, "{resamples} {episodes}"]:
  """How often each resample draws each episode, as shares that sum to 1."""
  rng = keyed_generator("regression", "resamples", episodes)
  shares = np.full(episodes, 1.0 / episodes)
  return rng.multinomial(episodes, shares, size=resamples) / episodes


def mean_curve(
  values: Float64[np.ndarray, "episodes points"],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> Curve:
  """The mean over episodes with its interval.

  Args:
    values: a number for each episode and number of exemplars.
    counts: from `resample_counts`.
  """
  low, high = np.quantile(counts @ values, _TAILS, axis=0)
  return Curve(mean=values.mean(axis=0), low=low, high=high)


def mean_number(
  values: Float64[np.ndarray, "episodes"],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> Number:
  """The mean over episodes with its interval."""
  low, high = np.quantile(counts @ values, _TAILS)
  return Number(value=float(values.mean()), low=float(low), high=float(high))


def ratio(
  over: Float64[np.ndarray, "episodes"],
  under: Float64[np.ndarray, "episodes"],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> Number:
  """The ratio of two means over the same episodes, with its paired interval.

  Args:
    over: a number for each episode.
    under: another one, 0 or more; if all are 0, the ratio is infinite.
    counts: from `resample_counts`.
  """
  if not under.any():
    return Number(value=np.inf, low=np.inf, high=np.inf)
  low, high = np.quantile((counts @ over) / (counts @ under), _TAILS)
  value = over.mean() / under.mean()
  return Number(value=float(value), low=float(low), high=float(high))


def squared_errors(
  evaluated: Evaluated,
) -> dict[str, Float64[np.ndarray, "episodes points"]]:
  """(prediction - y)^2 / dim of every predictor."""
  return {
    name: np.square(predicted - evaluated.answers) / evaluated.dim
    for name, predicted in evaluated.by_predictor.items()
  }


def prediction_distances(
  evaluated: Evaluated, origin: str
) -> dict[str, Float64[np.ndarray, "episodes points"]]:
  """SPD: (prediction - prediction of `origin`)^2 / dim of every other predictor.

  Akyurek et al. 2022, section 4.1, squared prediction difference.

  Args:
    evaluated: the predictions.
    origin: name of one predictor.
  """
  start = evaluated.by_predictor[origin]
  return {
    name: np.square(predicted - start) / evaluated.dim
    for name, predicted in evaluated.by_predictor.items()
    if name != origin
  }


def weight_distances(
  linear: Linearized, origin: str
) -> dict[str, Float64[np.ndarray, "episodes points"]]:
  """ILWD: |w - w of `origin`|^2 / dim of every other predictor.

  Akyurek et al. 2022, section 4.1, implicit linear weight difference.

  Args:
    linear: the fitted weights.
    origin: name of one predictor.
  """
  start = linear.weights[origin]
  return {
    name: np.square(weights - start).sum(axis=2) / linear.dim
    for name, weights in linear.weights.items()
    if name != origin
  }


def few_exemplars(dim: int, points: int) -> slice:
  """The numbers of exemplars of MSPD: 1 to dim - 1, where w is not determined."""
  return slice(1, max(2, min(dim, points)))


def distance_matrix(
  evaluated: Evaluated,
  part: Callable[
    [Float64[np.ndarray, "episodes points"]], Float64[np.ndarray, "episodes"]
  ],
) -> dict[str, dict[str, float]]:
  """The mean SPD of every predictor to every other, for a part of the places.

  Args:
    evaluated: the predictions.
    part: reduces the distances of an episode to one number.
  """
  return {
    origin: {
      name: float(part(distances).mean())
      for name, distances in prediction_distances(evaluated, origin).items()
    }
    for origin in evaluated.by_predictor
  }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Closest:
  """The predictor that is closest to the model.

  Attributes:
    name: the predictor.
    share: share of the resamples in which it is the closest.
  """

  name: str
  share: float


def closest(
  distances: Mapping[str, Float64[np.ndarray, "episodes"]],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> Closest:
  """The predictor of the smallest mean distance, and how sure that is.

  Args:
    distances: distances to the model, by predictor.
    counts: from `resample_counts`.
  """
  names = list(distances)
  values = np.stack([distances[name] for name in names], axis=1)
  best = int(values.mean(axis=0).argmin())
  winners = (counts @ values).argmin(axis=1)
  return Closest(name=names[best], share=float((winners == best).mean()))
