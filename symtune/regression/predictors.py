"""Reference predictors: what known algorithms predict from the same exemplars.

Each is a pure function of many episodes at once, in float64. Without exemplars all of
them predict 0, the mean over functions, except the mean over a pool, which knows its
functions (Garg et al. 2022, released code).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float64

from symtune.checks import check_types
from symtune.errors import SymtuneError
from symtune.regression.draw import pool_vectors
from symtune.regression.tasks import Family, FunctionClass

# [episodes n dim], [episodes n] and [episodes queries dim] -> [episodes queries]
Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_Xs = Float[np.ndarray, "episodes n dim"]
_Ys = Float[np.ndarray, "episodes n"]
_Weights = Float64[np.ndarray, "episodes dim"]
_LASSO_SWEEPS = 2000
_LASSO_TOLERANCE = 1e-9
_POOL_CHUNK = 2**24  # numbers held at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class References:
  """Which predictors a model is compared with, besides least squares and averaging.

  The defaults are those of Akyurek et al. 2022, section 4.2.

  Attributes:
    penalties: of ridge regression; the Bayes penalty is always added.
    neighbours: numbers of nearest neighbours, uniform and weighted.
    rates: of gradient descent; the best rate of one step is always added.
    steps: numbers of steps of gradient descent.
    pass_rates: of one pass of stochastic gradient descent.
    lasso: penalties of the lasso.

  Raises:
    SymtuneError: a value is out of range.
  """

  penalties: Sequence[float] = (0.1, 0.5)
  neighbours: Sequence[int] = (3,)
  rates: Sequence[float] = (0.01, 0.02)
  steps: Sequence[int] = (1,)
  pass_rates: Sequence[float] = (0.01, 0.03)
  lasso: Sequence[float] = ()

  def __post_init__(self):
    check_types(self)
    for field in dataclasses.fields(self):
      values = tuple(getattr(self, field.name))
      object.__setattr__(self, field.name, values)
      if not all(value > 0 for value in values):
        raise SymtuneError(
          f"References.{field.name} is {values}; expected numbers above 0."
        )


def make_predictors(
  references: References, functions: FunctionClass
) -> dict[str, Predictor]:
  """The predictors by name, such as "least squares" and "ridge 0.1".

  Args:
    references: which ones.
    functions: the class of functions, which decides the Bayes penalty and the pool.
  """
  bayes = functions.bayes_penalty
  found: dict[str, Predictor] = {"least squares": linear(least_squares)}
  for penalty in references.penalties:
    found[f"ridge {penalty:.4g}"] = linear(functools.partial(ridge, penalty=penalty))
  if bayes > 0.0:
    found["ridge Bayes"] = linear(functools.partial(ridge, penalty=bayes))
  for k in references.neighbours:
    found[f"{k} nearest"] = functools.partial(nearest, k=k)
    found[f"{k} nearest weighted"] = functools.partial(nearest, k=k, is_weighted=True)
  found["averaging"] = linear(averaging)
  found["one step best rate"] = linear(functools.partial(one_step, penalty=bayes))
  for steps in references.steps:
    for rate in references.rates:
      name = f"{steps} step{'s' * (steps > 1)} {rate:.4g}"
      descend = functools.partial(gradient_descent, rate=rate, steps=steps)
      found[name] = linear(descend)
  for rate in references.pass_rates:
    found[f"one pass {rate:.4g}"] = linear(functools.partial(one_pass, rate=rate))
  for penalty in references.lasso:
    found[f"lasso {penalty:.4g}"] = linear(functools.partial(lasso, penalty=penalty))
  if functions.family is Family.POOL and functions.noise > 0.0:
    vectors, noise = pool_vectors(functions), functions.noise
    found["pool mean"] = linear(
      functools.partial(pool_mean, vectors=vectors, noise=noise)
    )
  return found


def predict_prefixes(
  predictor: Predictor,
  xs: Float[np.ndarray, "episodes points dim"],
  ys: Float[np.ndarray, "episodes points"],
  queries: Float[np.ndarray, "episodes points dim"],
) -> Float64[np.ndarray, "episodes points"]:
  """What is predicted for query i from the first i exemplars, for every i."""
  places = range(xs.shape[1])
  columns = [
    predictor(xs[:, :i], ys[:, :i], queries[:, i : i + 1])[:, 0] for i in places
  ]
  return np.stack(columns, axis=1)


def linear(weights: Callable[[_Xs, _Ys], _Weights]) -> Predictor:
  """The predictor w x of a function that finds w."""

  def predict(xs: np.ndarray, ys: np.ndarray, queries: np.ndarray) -> np.ndarray:
    found = weights(xs.astype(np.float64), ys.astype(np.float64))
    return np.einsum("eqd,ed->eq", queries.astype(np.float64), found)

  return predict


def least_squares(xs: _Xs, ys: _Ys) -> _Weights:
  """The shortest w of least squared error, also with fewer exemplars than dimensions.

  Singular values below 1e-10 of the largest count as zero.
  """
  if xs.shape[1] == 0:
    return np.zeros((len(xs), xs.shape[2]))
  return np.einsum("ekn,en->ek", np.linalg.pinv(xs, rcond=1e-10), ys)


def ridge(xs: _Xs, ys: _Ys, *, penalty: float) -> _Weights:
  """The w that minimises |X w - y|^2 + penalty |w|^2; penalty above 0.

  With penalty sigma^2 / tau^2 it is the posterior mean of w ~ N(0, tau^2), so no
  predictor has a smaller expected squared error (Akyurek et al. 2022, section 4.2).
  """
  gram = np.einsum("end,enc->edc", xs, xs) + penalty * np.eye(xs.shape[2])
  return np.linalg.solve(gram, _moments(xs, ys)[:, :, None])[:, :, 0]


def averaging(xs: _Xs, ys: _Ys) -> _Weights:
  """The mean of x_i y_i (Garg et al. 2022, section 3)."""
  return _moments(xs, ys) / max(1, xs.shape[1])


def gradient_descent(
  xs: _Xs, ys: _Ys, *, rate: float, steps: int, penalty: float = 0.0
) -> _Weights:
  """Steps w - 2 rate (X^T X w - X^T y + penalty w) from 0, on all exemplars.

  The formula of Akyurek et al. 2022, section 3; their released code takes one step per
  exemplar instead and clips the gradient.
  """
  moments = _moments(xs, ys)
  found = np.zeros_like(moments)
  for _ in range(steps):
    fitted = np.einsum("end,ed->en", xs, found)
    found = found - 2.0 * rate * (_moments(xs, fitted) - moments + penalty * found)
  return found


def one_step(xs: _Xs, ys: _Ys, *, penalty: float = 0.0) -> _Weights:
  """One step of gradient descent from 0 with the rate that is best for n exemplars.

  For Gaussian x and w, E|2 a X^T y - w|^2 is least at 2 a = E tr S / E tr S (S + p),
  with S = X^T X and p = sigma^2 / tau^2, which is 1 / (n + dim + 1 + p).

  Args:
    xs: inputs.
    ys: outputs.
    penalty: sigma^2 / tau^2.
  """
  return _moments(xs, ys) / (xs.shape[1] + xs.shape[2] + 1.0 + penalty)


def one_pass(xs: _Xs, ys: _Ys, *, rate: float) -> _Weights:
  """Stochastic gradient descent: one step for each exemplar, in order, from 0."""
  found = np.zeros((len(xs), xs.shape[2]))
  for place in range(xs.shape[1]):
    x, y = xs[:, place], ys[:, place]
    error = np.einsum("ed,ed->e", x, found) - y
    found = found - 2.0 * rate * error[:, None] * x
  return found


def lasso(xs: _Xs, ys: _Ys, *, penalty: float) -> _Weights:
  """The w that minimises |X w - y|^2 / (2 n) + penalty |w|_1, by coordinate descent.

  This is scikit-learn's objective, which Garg et al. use; all episodes descend at once.
  """
  episodes, count, dim = xs.shape
  found = np.zeros((episodes, dim))
  if count == 0:
    return found
  gram = np.einsum("end,enc->edc", xs, xs) / count
  moments = _moments(xs, ys) / count
  for _ in range(_LASSO_SWEEPS):
    before = found.copy()
    for d in range(dim):
      curve = gram[:, d, d]
      rest = (
        moments[:, d] - np.einsum("ec,ec->e", gram[:, d], found) + curve * found[:, d]
      )
      shrunk = np.sign(rest) * np.maximum(np.abs(rest) - penalty, 0.0)
      found[:, d] = np.divide(shrunk, curve, out=np.zeros(episodes), where=curve > 0.0)
    if np.abs(found - before).max() < _LASSO_TOLERANCE:
      break
  return found


def pool_mean(
  xs: _Xs, ys: _Ys, *, vectors: Float64[np.ndarray, "pool dim"], noise: float
) -> _Weights:
  """The mean of a pool's vectors, weighted by their likelihood (dMMSE).

  The best predictor when w is one of these vectors (Raventos et al. 2023, section 2).

  Args:
    xs: inputs.
    ys: outputs.
    vectors: the pool.
    noise: standard deviation of the noise of y, above 0.
  """
  chunk = max(1, _POOL_CHUNK // (len(vectors) * max(1, xs.shape[1])))
  found = []
  for start in range(0, len(xs), chunk):
    x, y = xs[start : start + chunk], ys[start : start + chunk]
    errors = np.square(y[:, None, :] - np.einsum("md,end->emn", vectors, x)).sum(axis=2)
    logits = -errors / (2.0 * noise**2)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    found.append((shares / shares.sum(axis=1, keepdims=True)) @ vectors)
  return np.concatenate(found)


def nearest(
  xs: _Xs,
  ys: _Ys,
  queries: Float[np.ndarray, "episodes queries dim"],
  *,
  k: int,
  is_weighted: bool = False,
) -> Float64[np.ndarray, "episodes queries"]:
  """The mean y of the k nearest exemplars, or of all if there are fewer.

  Args:
    xs: inputs.
    ys: outputs.
    queries: what is asked.
    k: number of neighbours.
    is_weighted: weights them by 1 / distance^2; an exemplar at the query itself counts
      alone.
  """
  if xs.shape[1] == 0:
    return np.zeros(queries.shape[:2])
  x, query = xs.astype(np.float64), queries.astype(np.float64)
  distances = np.square(query[:, :, None, :] - x[:, None, :, :]).sum(axis=3)
  places = np.argsort(distances, axis=2, kind="stable")[:, :, :k]
  values = np.take_along_axis(ys.astype(np.float64)[:, None, :], places, axis=2)
  if not is_weighted:
    return values.mean(axis=2)
  near = np.take_along_axis(distances, places, axis=2)
  is_same = near == 0.0
  shares = np.where(
    is_same.any(axis=2, keepdims=True), is_same, 1.0 / np.where(is_same, 1.0, near)
  )
  return (shares * values).sum(axis=2) / shares.sum(axis=2)


def _moments(xs: _Xs, ys: _Ys) -> _Weights:
  """X^T y of every episode."""
  return np.einsum("end,en->ed", xs, ys)
