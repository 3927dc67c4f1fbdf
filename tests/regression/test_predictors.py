"""Reference predictors against scikit-learn and NumPy, and in their known limits."""

import functools

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.neighbors

from symtune.errors import SymtuneError
from symtune.regression import predictors
from symtune.regression.draw import draw_episodes, pool_vectors
from symtune.regression.tasks import Evaluation, FunctionClass

FUNCTIONS = FunctionClass(dim=5, points=12, noise=0.3)
COUNTS = (1, 3, 5, 8, 11)


@pytest.fixture(scope="module")
def drawn():
  """A few noisy episodes, in float64."""
  episodes = draw_episodes(FUNCTIONS, seed=2, first=0, count=6)
  return episodes.xs.astype(np.float64), episodes.ys.astype(np.float64)


def each(fit, xs, ys):
  """The coefficients of a scikit-learn model, episode by episode."""
  return np.stack([fit(x, y) for x, y in zip(xs, ys, strict=True)])


@pytest.mark.parametrize("n", COUNTS)
def test_least_squares_is_numpys_of_minimum_norm(drawn, n):
  xs, ys = drawn[0][:, :n], drawn[1][:, :n]
  wanted = each(lambda x, y: np.linalg.lstsq(x, y, rcond=None)[0], xs, ys)
  np.testing.assert_allclose(predictors.least_squares(xs, ys), wanted, atol=1e-9)


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("penalty", [0.09, 2.0])
def test_ridge_is_scikit_learns(drawn, n, penalty):
  xs, ys = drawn[0][:, :n], drawn[1][:, :n]
  model = sklearn.linear_model.Ridge(alpha=penalty, fit_intercept=False, tol=1e-12)
  wanted = each(lambda x, y: model.fit(x, y).coef_, xs, ys)
  np.testing.assert_allclose(
    predictors.ridge(xs, ys, penalty=penalty), wanted, atol=1e-8
  )


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("penalty", [0.01, 0.3])
def test_lasso_is_scikit_learns(drawn, n, penalty):
  xs, ys = drawn[0][:, :n], drawn[1][:, :n]
  model = sklearn.linear_model.Lasso(
    alpha=penalty, fit_intercept=False, tol=1e-10, max_iter=100_000
  )
  queries = drawn[0][:, -1:]
  fitted = each(lambda x, y: model.fit(x, y).coef_, xs, ys)
  wanted = np.einsum("eqd,ed->eq", queries, fitted)
  found = predictors.linear(functools.partial(predictors.lasso, penalty=penalty))
  np.testing.assert_allclose(found(xs, ys, queries), wanted, atol=1e-5)


@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_nearest_is_scikit_learns(drawn, n, is_weighted):
  xs, ys, queries = drawn[0][:, :n], drawn[1][:, :n], drawn[0][:, 9:]
  model = sklearn.neighbors.KNeighborsRegressor(
    3, weights=(lambda distance: distance**-2.0) if is_weighted else "uniform"
  )
  wanted = np.stack(
    [model.fit(x, y).predict(q) for x, y, q in zip(xs, ys, queries, strict=True)]
  )
  found = predictors.nearest(xs, ys, queries, k=3, is_weighted=is_weighted)
  np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_nearest_takes_all_of_too_few_and_the_query_itself_alone(drawn):
  xs, ys = drawn
  found = predictors.nearest(xs[:, :2], ys[:, :2], xs[:, 5:6], k=3)[:, 0]
  np.testing.assert_allclose(found, ys[:, :2].mean(axis=1))
  known = predictors.nearest(xs[:, :6], ys[:, :6], xs[:, 4:5], k=3, is_weighted=True)
  np.testing.assert_allclose(known[:, 0], ys[:, 4])


def test_one_step_by_hand():
  xs, ys = np.array([[[1.0, 2.0], [0.0, 1.0]]]), np.array([[3.0, -1.0]])
  # X^T y = [3, 5]; from w = 0 a step is 2 rate X^T y.
  step = predictors.gradient_descent(xs, ys, rate=0.01, steps=1)
  np.testing.assert_allclose(step, [[0.06, 0.10]])
  # X^T X = [[1, 2], [2, 5]], so the second step adds 2 rate ([3, 5] - [.26, .62]).
  twice = predictors.gradient_descent(xs, ys, rate=0.01, steps=2)
  np.testing.assert_allclose(twice, [[0.1148, 0.1876]])
  shrunk = predictors.gradient_descent(xs, ys, rate=0.01, steps=2, penalty=0.5)
  np.testing.assert_allclose(shrunk, [[0.1148 - 0.0006, 0.1876 - 0.001]])
  # One pass: 0.06 [1, 2] after the first pair, then error 0.12 + 1 at [0, 1].
  passed = predictors.one_pass(xs, ys, rate=0.01)
  np.testing.assert_allclose(passed, [[0.06, 0.12 - 0.0224]])
  np.testing.assert_allclose(predictors.averaging(xs, ys), [[1.5, 2.5]])


@pytest.mark.parametrize("n", [1, 3, 11])  # with n = dim, descent takes ages
def test_limits(drawn, n):
  xs, ys = drawn[0][:, :n], drawn[1][:, :n]
  solved = predictors.least_squares(xs, ys)
  near = predictors.ridge(xs, ys, penalty=1e-9)
  np.testing.assert_allclose(near, solved, atol=1e-5)
  far = predictors.ridge(xs, ys, penalty=1e9)
  np.testing.assert_allclose(far, 0.0, atol=1e-6)
  rate = 0.4 / np.square(xs).sum(axis=(1, 2)).max()
  walked = predictors.gradient_descent(xs, ys, rate=rate, steps=10_000)
  np.testing.assert_allclose(walked, solved, atol=1e-4)
  np.testing.assert_allclose(
    predictors.one_step(xs, ys), _step_at(xs, ys, 1 / (n + 5 + 1)), atol=1e-12
  )


def _step_at(xs, ys, twice_rate):
  return predictors.gradient_descent(xs, ys, rate=twice_rate / 2, steps=1)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_best_rate_of_one_step_is_a_minimum(noise):
  functions = FunctionClass(dim=4, points=7, noise=noise)
  episodes = draw_episodes(functions, seed=0, first=0, count=20_000)
  xs, ys = (a.astype(np.float64) for a in (episodes.xs[:, :6], episodes.ys[:, :6]))

  def error(found):
    return np.square(found - episodes.weights).sum(axis=1).mean()

  best = predictors.one_step(xs, ys, penalty=functions.bayes_penalty)
  for factor in (0.9, 1.1):
    assert error(best) < error(factor * best)


def test_ridge_with_the_bayes_penalty_has_the_smallest_error():
  functions = FunctionClass(dim=4, points=7, noise=0.5, weight_scale=1.5)
  episodes = draw_episodes(functions, seed=0, first=0, count=20_000)
  xs, ys = episodes.xs[:, :5].astype(np.float64), episodes.ys[:, :5].astype(np.float64)

  def error(penalty):
    found = predictors.ridge(xs, ys, penalty=penalty)
    return np.square(found - episodes.weights).sum(axis=1).mean()

  bayes = functions.bayes_penalty
  assert bayes == pytest.approx(1 / 9)
  assert error(bayes) < min(error(bayes / 2), error(bayes * 2))


def test_the_pool_mean_weights_by_likelihood():
  vectors = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
  xs, ys = np.array([[[1.0, 0.5]]]), np.array([[0.8]])
  likelihood = np.exp(-0.5 * (np.array([1.0, 0.5, 3.0]) - 0.8) ** 2 / 0.25)
  wanted = likelihood @ vectors / likelihood.sum()
  found = predictors.pool_mean(xs, ys, vectors=vectors, noise=0.5)
  np.testing.assert_allclose(found[0], wanted)
  none = predictors.pool_mean(xs[:, :0], ys[:, :0], vectors=vectors, noise=0.5)
  np.testing.assert_allclose(none[0], [1.0, 1.0])


def test_the_pool_mean_finds_the_vector_and_becomes_ridge(monkeypatch):
  monkeypatch.setattr(predictors, "_POOL_CHUNK", 100_000)
  small = FunctionClass(dim=3, points=9, family="pool", pool_size=16, noise=0.05)
  episodes = draw_episodes(small, seed=0, first=0, count=50)
  xs, ys = episodes.xs.astype(np.float64), episodes.ys.astype(np.float64)
  found = predictors.pool_mean(xs, ys, vectors=pool_vectors(small), noise=0.05)
  assert (np.abs(found - episodes.weights).max(axis=1) < 1e-3).mean() > 0.9
  large = FunctionClass(dim=2, points=4, family="pool", pool_size=200_000, noise=1.0)
  episodes = draw_episodes(large, seed=0, first=0, count=5)
  xs, ys = episodes.xs.astype(np.float64), episodes.ys.astype(np.float64)
  np.testing.assert_allclose(
    predictors.pool_mean(xs, ys, vectors=pool_vectors(large), noise=1.0),
    predictors.ridge(xs, ys, penalty=1.0),
    atol=0.02,
  )


def test_without_exemplars_all_predict_zero_and_with_one_the_same_shapes(drawn):
  references = predictors.References(lasso=(0.1,), steps=(1, 4))
  found = predictors.make_predictors(references, FUNCTIONS)
  assert {"least squares", "ridge Bayes", "4 steps 0.02", "lasso 0.1"} <= set(found)
  for predictor in found.values():
    empty = predictor(drawn[0][:, :0], drawn[1][:, :0], drawn[0][:, :2])
    np.testing.assert_array_equal(empty, np.zeros((6, 2)))
    assert predictor(drawn[0][:, :1], drawn[1][:, :1], drawn[0][:, :2]).shape == (6, 2)


def test_prefixes_never_see_the_query_or_later_exemplars(drawn):
  xs, ys = drawn
  predictor = predictors.linear(predictors.least_squares)
  found = predictors.predict_prefixes(predictor, xs, ys, xs)
  changed = ys.copy()
  changed[:, 4:] += 100.0
  again = predictors.predict_prefixes(predictor, xs, changed, xs)
  np.testing.assert_array_equal(found[:, :5], again[:, :5])
  assert not np.allclose(found[:, 5], again[:, 5])
  np.testing.assert_array_equal(found[:, 0], 0.0)


def test_least_squares_is_exact_from_dim_exemplars_on_without_noise():
  functions = FunctionClass(dim=5, points=9)
  episodes = draw_episodes(
    functions, seed=0, first=0, count=2000, evaluation=Evaluation()
  )
  predictor = predictors.linear(predictors.least_squares)
  found = predictors.predict_prefixes(
    predictor, episodes.xs, episodes.ys, episodes.queries
  )
  errors = np.square(found - episodes.answers)
  np.testing.assert_allclose(errors[:, 6:].mean(axis=0), 0.0, atol=1e-6)
  # The minimum-norm solution leaves the part of w outside the exemplars' span.
  np.testing.assert_allclose(
    errors[:, :5].mean(axis=0), [5.0, 4.0, 3.0, 2.0, 1.0], rtol=0.15
  )


def test_bad_references_are_refused():
  with pytest.raises(SymtuneError, match=r"References.penalties is \(0.1, -1\)"):
    predictors.References(penalties=(0.1, -1))
