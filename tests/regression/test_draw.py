"""Episodes are functions of (seed, position), and have the moments of their class."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.regression.draw import draw_episodes, pool_vectors
from symtune.regression.tasks import (
  ALL_SHIFTS,
  STANDARD,
  Evaluation,
  Family,
  FunctionClass,
  Shift,
)

LINEAR = FunctionClass(dim=4, points=9)
CLASSES = {
  "linear": LINEAR,
  "noisy": FunctionClass(dim=4, points=9, noise=0.5, weight_scale=2.0),
  "sparse": FunctionClass(dim=6, points=5, family="sparse", nonzero=2),
  "pool": FunctionClass(dim=3, points=5, family="pool", pool_size=8, noise=0.1),
}


def draw(functions, count=4000, first=0, seed=1, **settings):
  return draw_episodes(functions, seed=seed, first=first, count=count, **settings)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("evaluation", [STANDARD, *ALL_SHIFTS], ids=lambda e: e.name)
def test_an_episode_is_the_same_alone_and_in_a_batch(name, evaluation):
  many = draw(CLASSES[name], 7, first=20, evaluation=evaluation)
  one = draw(CLASSES[name], 1, first=24, evaluation=evaluation)
  for part in ("xs", "ys", "queries", "answers", "weights"):
    np.testing.assert_allclose(
      getattr(one, part)[0], getattr(many, part)[4], rtol=1e-6, atol=1e-6
    )


@hypothesis.given(first=st.integers(0, 2**40), count=st.integers(1, 9))
def test_neighbouring_batches_never_repeat_numbers(first, count):
  left = draw(LINEAR, count, first=first)
  right = draw(LINEAR, count, first=first + count)
  assert not np.isin(left.xs, right.xs).any()
  assert not np.isin(left.weights, left.xs).any()


def test_seeds_and_kinds_of_seeds_differ():
  drawn = [draw(LINEAR, 3, seed=seed).xs for seed in (1, 2, "1")]
  assert len({xs.tobytes() for xs in drawn}) == 3


@pytest.mark.parametrize("name", CLASSES)
def test_outputs_are_linear_with_the_noise_of_the_class(name):
  functions = CLASSES[name]
  drawn = draw(functions)
  rest = drawn.ys - np.einsum("epd,ed->ep", drawn.xs, drawn.weights)
  np.testing.assert_allclose(rest.std(), functions.noise, rtol=0.02, atol=1e-6)
  assert drawn.asks_next
  np.testing.assert_array_equal(drawn.answers, drawn.ys)
  if functions.family is not Family.POOL:
    np.testing.assert_allclose(
      np.square(drawn.weights).sum(axis=1).mean(), functions.y_variance, rtol=0.05
    )


def test_inputs_are_standard_normal():
  xs = draw(LINEAR).xs.reshape(-1, 4)
  np.testing.assert_allclose(xs.mean(axis=0), 0.0, atol=0.02)
  np.testing.assert_allclose(np.cov(xs.T), np.eye(4), atol=0.02)
  np.testing.assert_allclose((np.abs(xs) < 1.0).mean(), 0.6827, atol=0.005)


def test_sparse_weights_have_so_many_coordinates_each_as_often():
  weights = draw(CLASSES["sparse"]).weights
  assert ((weights != 0).sum(axis=1) == 2).all()
  np.testing.assert_allclose((weights != 0).mean(axis=0), 2 / 6, atol=0.03)


def test_a_pool_has_its_vectors_only_and_a_larger_one_begins_with_them():
  functions = CLASSES["pool"]
  vectors = pool_vectors(functions)
  weights = draw(functions).weights
  matches = np.isclose(weights[:, None, :], vectors[None], atol=1e-6).all(axis=2)
  assert (matches.sum(axis=1) == 1).all()
  np.testing.assert_allclose(matches.mean(axis=0), 1 / 8, atol=0.03)
  larger = FunctionClass(dim=3, points=5, family="pool", pool_size=32)
  np.testing.assert_array_equal(pool_vectors(larger)[:8], vectors)


def test_a_curriculum_leaves_coordinates_out_of_x_and_y():
  drawn = draw(LINEAR, 10, active_dim=2)
  assert (drawn.xs[:, :, 2:] == 0).all()
  partial = np.einsum("epd,ed->ep", drawn.xs[:, :, :2], drawn.weights[:, :2])
  np.testing.assert_allclose(drawn.ys, partial, rtol=1e-5, atol=1e-5)


def shifted(shift, factor=1.0, count=4000):
  return draw(LINEAR, count, evaluation=Evaluation(shift=shift, factor=factor))


def test_quadrants_hold_exemplars_but_not_queries():
  drawn = shifted(Shift.RANDOM_QUADRANTS)
  signs = np.sign(drawn.xs)
  assert (signs == signs[:, :1]).all()
  np.testing.assert_allclose(signs[:, 0].mean(axis=0), 0.0, atol=0.06)
  agree = (np.sign(drawn.queries) == signs).mean()
  np.testing.assert_allclose(agree, 0.5, atol=0.02)


def test_orthogonal_queries_are_orthogonal_and_of_typical_length():
  drawn = shifted(Shift.ORTHOGONAL, count=50)
  for place in range(4):
    products = np.einsum("epd,ed->ep", drawn.xs[:, :place], drawn.queries[:, place])
    np.testing.assert_allclose(products, 0.0, atol=1e-5)
    lengths = np.linalg.norm(drawn.queries[:, place], axis=1)
    np.testing.assert_allclose(lengths, 2.0, rtol=1e-5)


def test_overlapping_queries_are_exemplars():
  drawn = shifted(Shift.OVERLAPPING, count=50)
  for place in range(1, 9):
    same = (drawn.queries[:, place, None] == drawn.xs[:, :place]).all(axis=2)
    assert same.any(axis=1).all()
  place = (drawn.queries[:, 8, None] == drawn.xs[:, :8]).all(axis=2).argmax(axis=1)
  assert set(place) == set(range(8))


@pytest.mark.parametrize(
  ("shift", "eigenvalues"),
  [
    (Shift.HALF_SUBSPACE, [2.0, 2.0, 0.0, 0.0]),
    (Shift.SKEWED, 4 * np.array([1, 1 / 4, 1 / 9, 1 / 16]) / (205 / 144)),
  ],
)
def test_covariances_have_their_eigenvalues(shift, eigenvalues):
  covariance = np.cov(shifted(shift).xs.reshape(-1, 4).T)
  found = np.sort(np.linalg.eigvalsh(covariance))[::-1]
  np.testing.assert_allclose(found, eigenvalues, atol=0.05)


def test_scales_multiply_x_or_y():
  plain = draw(LINEAR, 20)
  np.testing.assert_allclose(
    shifted(Shift.SCALE_X, 3.0, 20).xs, 3 * plain.xs, rtol=1e-6
  )
  scaled = shifted(Shift.SCALE_Y, 0.5, 20)
  np.testing.assert_array_equal(scaled.xs, plain.xs)
  np.testing.assert_allclose(scaled.ys, plain.ys / 2, rtol=1e-5, atol=1e-6)


def test_noisy_outputs_keep_their_variance():
  drawn = shifted(Shift.NOISY)
  np.testing.assert_allclose(drawn.ys.var(), 4.0, rtol=0.05)
  rest = drawn.ys - np.einsum("epd,ed->ep", drawn.xs, drawn.weights)
  np.testing.assert_allclose(rest.std(), np.sqrt(4 / 5), rtol=0.02)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"points": 1}, "points is 1; expected 2 to"),
    ({"dim": 0}, "dim is 0; expected 1 to"),
    ({"noise": -1.0}, "noise is -1.0"),
    ({"weight_scale": 0.0}, "weight_scale is 0.0"),
    ({"family": "quadratic"}, "FunctionClass.family: got 'quadratic'"),
    ({"family": "sparse"}, "nonzero is None and family is sparse"),
    ({"pool_size": 4}, "pool_size is 4 and family is linear"),
    ({"family": "sparse", "nonzero": 9}, "nonzero is 9; expected 1 to 4"),
    ({"noise": float("nan")}, "noise is nan"),
  ],
)
def test_bad_classes_are_refused(settings, message):
  with pytest.raises(SymtuneError, match=message):
    FunctionClass(**{"dim": 4, "points": 9, **settings})


def test_bad_evaluations_are_refused():
  with pytest.raises(SymtuneError, match=r"factor is 0\.0"):
    Evaluation(shift="scale_x", factor=0.0)
  with pytest.raises(SymtuneError, match=r"Evaluation\.shift: got 'tilted'"):
    Evaluation(shift="tilted")


def test_episodes_are_pinned():
  """If these change, every run does: raise EPISODES_VERSION."""
  functions = FunctionClass(dim=2, points=3, noise=0.5)
  drawn = draw(functions, 1, first=100, seed=7)
  xs = [[1.223866, 1.489797], [-0.253592, -0.134637], [0.643510, -0.645062]]
  np.testing.assert_allclose(drawn.xs[0], xs, rtol=1e-5)
  np.testing.assert_allclose(drawn.weights[0], [1.469715, -0.420639], rtol=1e-5)
  np.testing.assert_allclose(drawn.ys[0], [1.518877, -0.300665, 1.111463], rtol=1e-5)
