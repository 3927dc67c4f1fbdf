"""Errors and distances by hand, and intervals that cover."""

import numpy as np
import pytest

from symtune.regression import metrics
from symtune.regression.evaluate import MODEL, Evaluated, Linearized
from symtune.regression.tasks import STANDARD


def evaluated(**by_predictor):
  answers = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
  return Evaluated(
    evaluation=STANDARD, dim=2, answers=answers, by_predictor=by_predictor
  )


def test_errors_and_distances_by_hand():
  zeros, ones = np.zeros((2, 3)), np.ones((2, 3))
  found = evaluated(**{MODEL: zeros, "ones": ones, "threes": 3 * ones})
  errors = metrics.squared_errors(found)
  np.testing.assert_allclose(errors[MODEL], [[0.5, 2.0, 4.5], [0.0, 0.0, 0.0]])
  distances = metrics.prediction_distances(found, MODEL)
  assert set(distances) == {"ones", "threes"}
  np.testing.assert_allclose(distances["threes"], 4.5)
  matrix = metrics.distance_matrix(found, lambda d: d.mean(axis=1))
  assert matrix["ones"] == {MODEL: 0.5, "threes": 2.0}
  assert matrix["threes"]["ones"] == matrix["ones"]["threes"]


def test_weight_distances_by_hand():
  weights = {MODEL: np.zeros((1, 2, 2)), "other": np.full((1, 2, 2), 3.0)}
  linear = Linearized(dim=2, weights=weights, explained={})
  np.testing.assert_allclose(metrics.weight_distances(linear, MODEL)["other"], 9.0)


@pytest.mark.parametrize(
  ("dim", "points", "wanted"), [(4, 9, [1, 2, 3]), (1, 9, [1]), (8, 5, [1, 2, 3, 4])]
)
def test_few_exemplars_are_fewer_than_the_dimensions(dim, points, wanted):
  assert list(range(points))[metrics.few_exemplars(dim, points)] == wanted


def test_intervals_cover_the_mean_as_often_as_stated():
  rng = np.random.default_rng(0)
  counts = metrics.resample_counts(100, resamples=500)
  np.testing.assert_allclose(counts.sum(axis=1), 1.0)
  squares = np.square(rng.normal(size=(100, 1000)))
  curve = metrics.mean_curve(squares, counts)
  covered = ((curve.low < 1.0) & (curve.high > 1.0)).mean()
  assert 0.90 < covered < 0.96


def test_a_ratio_is_paired():
  rng = np.random.default_rng(0)
  under = np.square(rng.normal(size=200)) + 0.01
  counts = metrics.resample_counts(200)
  found = metrics.ratio(3.0 * under, under, counts)
  np.testing.assert_allclose([found.value, found.low, found.high], 3.0)
  number = metrics.mean_number(under, counts)
  assert number.low < number.value < number.high
  assert metrics.ratio(under, 0.0 * under, counts).value == np.inf


def test_the_closest_predictor_and_how_sure_that_is():
  rng = np.random.default_rng(0)
  noise = rng.normal(size=(2, 100))
  counts = metrics.resample_counts(100)
  clear = metrics.closest({"far": np.full(100, 2.0), "near": np.ones(100)}, counts)
  assert clear == metrics.Closest(name="near", share=1.0)
  close = metrics.closest({"a": 1 + noise[0], "b": 1 + noise[1]}, counts)
  assert 0.5 < close.share < 1.0
