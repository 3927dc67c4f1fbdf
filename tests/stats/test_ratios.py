"""Ratios of sums and their intervals."""

import numpy as np
import pytest

from symtune.stats.ratios import ratio


def test_ratio_is_that_of_the_sums():
  found = ratio(np.asarray([2.0, 9.0]), np.asarray([1.0, 4.0]))
  assert found.value == pytest.approx(11 / 5)
  assert found.low == pytest.approx(2.0)  # the first one, drawn twice
  assert found.high == pytest.approx(9 / 4)


def test_one_thing_has_no_interval():
  found = ratio(np.asarray([3.0]), np.asarray([2.0]))
  assert found.value == 1.5
  assert np.isnan([found.low, found.high]).all()


def test_an_interval_without_width_holds_its_value():
  rng = np.random.default_rng(0)
  for value in rng.random(20):
    found = ratio(np.full(20, value * 333), np.full(20, 333.0))
    assert found.low <= found.value <= found.high


def test_intervals_cover_the_mean_in_about_95_of_100_samples():
  rng = np.random.default_rng(0)
  hits = 0
  for _ in range(60):
    sizes = rng.integers(50, 200, 40).astype(float)
    found = ratio(sizes * rng.normal(3.0, 1.0, 40), sizes)
    hits += found.low <= 3.0 <= found.high
  assert 52 <= hits <= 60
