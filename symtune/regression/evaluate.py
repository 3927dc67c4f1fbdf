"""A trained network and reference predictors on the same episodes, as plain arrays."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from symtune.progress import Progress
from symtune.regression.draw import Episodes, draw_episodes, draw_queries
from symtune.regression.network import Params, Regressor
from symtune.regression.predictors import Predictor, predict_prefixes
from symtune.regression.settings import RegressionRecipe
from symtune.regression.tasks import Evaluation

MODEL = "model"
_TOKENS_AT_ONCE = 2**16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluated:
  """What was predicted for the queries of one evaluation.

  Attributes:
    evaluation: which one.
    dim: coordinates of x; all distances are divided by it.
    answers: the true y of each query, with noise.
    by_predictor: predictions after 0, 1, ... exemplars; the model's name is MODEL.
  """

  evaluation: Evaluation
  dim: int
  answers: Float64[np.ndarray, "episodes points"]
  by_predictor: Mapping[str, Float64[np.ndarray, "episodes points"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linearized:
  """The linear functions that fit predictors best.

  Attributes:
    dim: coordinates of x.
    weights: weights of the fit after 0, 1, ... exemplars, by predictor.
    explained: R^2 of the fit: the share of the predictions' variance.
  """

  dim: int
  weights: Mapping[str, Float64[np.ndarray, "episodes points dim"]]
  explained: Mapping[str, Float64[np.ndarray, "episodes points"]]


def network_predictor(network: Regressor, params: Params) -> Predictor:
  """A trained network as a predictor like the others.

  Args:
    network: the network.
    params: its parameters.

  Returns:
    The predictor; it reads as many exemplars as the network's length allows.
  """
  points = network.config.max_positions // 2
  forward = functools.partial(_forward, network, params)

  def predict(xs: np.ndarray, ys: np.ndarray, queries: np.ndarray) -> np.ndarray:
    episodes, count, dim = xs.shape
    number = queries.shape[1]
    # What stands behind the query is not seen, so all rows have one length.
    row_xs = np.zeros((episodes, number, points, dim), np.float32)
    row_ys = np.zeros((episodes, number, points), np.float32)
    row_xs[:, :, :count], row_ys[:, :, :count] = xs[:, None], ys[:, None]
    row_xs[:, :, count] = queries
    found = forward(row_xs.reshape(-1, points, dim), row_ys.reshape(-1, points))
    return found[:, count].reshape(episodes, number)

  return predict


def predict_next(
  network: Regressor,
  params: Params,
  xs: Float[np.ndarray, "episodes points dim"],
  ys: Float[np.ndarray, "episodes points"],
) -> Float64[np.ndarray, "episodes points"]:
  """The network's prediction of every y from the pairs before it, in one pass."""
  return _forward(network, params, xs, ys)


def _forward(
  network: Regressor, params: Params, xs: np.ndarray, ys: np.ndarray
) -> Float64[np.ndarray, "rows points"]:
  """Runs the network a few rows at a time; the last rows are padded to as many."""
  rows = min(len(xs), max(1, _TOKENS_AT_ONCE // (2 * xs.shape[1])))
  found = []
  for start in range(0, len(xs), rows):
    x, y = xs[start : start + rows], ys[start : start + rows]
    missing = rows - len(x)
    x = np.pad(x, ((0, missing), (0, 0), (0, 0)))
    y = np.pad(y, ((0, missing), (0, 0)))
    predicted = np.asarray(_apply(network, params, jnp.asarray(x), jnp.asarray(y)))
    found.append(predicted[: rows - missing])
  return np.concatenate(found).astype(np.float64)


@functools.partial(jax.jit, static_argnums=0)
def _apply(network: Regressor, params: Params, xs: jax.Array, ys: jax.Array):
  return network.apply({"params": params}, xs, ys)


def evaluation_episodes(recipe: RegressionRecipe, evaluation: Evaluation) -> Episodes:
  """The episodes of an evaluation, which training never draws."""
  return draw_episodes(
    recipe.functions,
    seed=f"evaluation {recipe.seed}",
    first=0,
    count=recipe.evaluation.episodes,
    evaluation=evaluation,
  )


def evaluate(
  recipe: RegressionRecipe,
  network: Regressor,
  params: Params,
  predictors: Mapping[str, Predictor],
  evaluation: Evaluation,
) -> Evaluated:
  """Asks the network and all predictors the queries of one evaluation.

  Args:
    recipe: the class of functions and the number of episodes.
    network: the network.
    params: its parameters.
    predictors: the others, by name.
    evaluation: which one.
  """
  episodes = evaluation_episodes(recipe, evaluation)
  pairs = episodes.xs, episodes.ys
  if episodes.asks_next:
    of_model = predict_next(network, params, *pairs)
  else:
    asked = network_predictor(network, params)
    of_model = predict_prefixes(asked, *pairs, episodes.queries)
  others = {
    name: predict_prefixes(predictor, *pairs, episodes.queries)
    for name, predictor in predictors.items()
  }
  return Evaluated(
    evaluation=evaluation,
    dim=recipe.functions.dim,
    answers=episodes.answers.astype(np.float64),
    by_predictor={MODEL: of_model, **others},
  )


def linearize(
  recipe: RegressionRecipe,
  network: Regressor,
  params: Params,
  predictors: Mapping[str, Predictor],
) -> Linearized:
  """Fits a linear function to each predictor, for each episode and number of exemplars.

  Predictions for many standard normal x are fitted by least squares without an
  intercept (Akyurek et al. 2022, section 4.1, ILWD). A linear predictor's own weights
  are found exactly.

  Args:
    recipe: the class of functions and the numbers of episodes and queries.
    network: the network.
    params: its parameters.
    predictors: the others, by name.
  """
  functions, settings = recipe.functions, recipe.evaluation
  seed, count = f"evaluation {recipe.seed}", settings.linear_episodes
  episodes = draw_episodes(functions, seed=seed, first=0, count=count)
  queries = draw_queries(
    functions, seed=seed, first=0, count=count, number=settings.linear_queries
  )
  all_predictors = {MODEL: network_predictor(network, params), **predictors}
  shape = (count, functions.points)
  weights = {name: np.zeros((*shape, functions.dim)) for name in all_predictors}
  explained = {name: np.ones(shape) for name in all_predictors}
  inverse = np.linalg.pinv(queries.astype(np.float64))
  with Progress("linear fits", functions.points, unit="lengths") as progress:
    for place in range(functions.points):
      for name, predictor in all_predictors.items():
        pairs = episodes.xs[:, :place], episodes.ys[:, :place]
        found = predictor(*pairs, queries)
        fitted = np.einsum("edq,eq->ed", inverse, found)
        rest = found - np.einsum("eqd,ed->eq", queries, fitted)
        total = np.square(found).sum(axis=1)
        weights[name][:, place] = fitted
        explained[name][:, place] = 1.0 - np.square(rest).sum(axis=1) / np.where(
          total > 0.0, total, 1.0
        )
      progress.advance()
  return Linearized(dim=functions.dim, weights=weights, explained=explained)
