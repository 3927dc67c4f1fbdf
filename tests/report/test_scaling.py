"""Slopes of accuracy over size: computed by hand, and drawn."""

import io

import matplotlib.image
import numpy as np
import pytest

from symtune.data.rng import keyed_generator
from symtune.report.report import write_report
from symtune.report.results import pair_rows
from symtune.report.scaling import draw_scaling, fit_slopes, has_sizes


def _sizes(make_rows, right_by_size):
  return [
    row
    for size, right in right_by_size.items()
    for row in make_rows(f"model {size}", 7, "ten", right, parameters=size)
  ]


def test_slope_is_points_per_tenfold_size(make_rows):
  # 20%, 40%, 60% at 1e6, 1e7, 1e8 parameters: 20 points per decade
  rows = _sizes(
    make_rows,
    {10**8: [1] * 6 + [0] * 4, 10**6: [1] * 2 + [0] * 8, 10**7: [1] * 4 + [0] * 6},
  )
  results = pair_rows(rows)
  assert [c.parameters for c in results.checkpoints] == [10**6, 10**7, 10**8]
  (slope,) = fit_slopes(results)
  assert slope.per_decade == pytest.approx(0.2)
  assert slope.low < 0.2 < slope.high
  # Per question the slope is (right at 1e8 - right at 1e6) / 2: four halves of ten.
  values = np.array([0.5] * 4 + [0.0] * 6)
  error = values.std(ddof=1) / np.sqrt(10)
  assert slope.high - slope.low == pytest.approx(2 * 1.959964 * error, abs=1e-6)


def test_slope_is_that_of_least_squares(make_rows):
  rng = keyed_generator("slope")
  sizes = [3 * 10**5, 10**6, 4 * 10**7, 9 * 10**8]
  right = {s: (rng.random(50) < 0.3 + 0.1 * i).tolist() for i, s in enumerate(sizes)}
  (slope,) = fit_slopes(pair_rows(_sizes(make_rows, right)))
  accuracy = [np.mean(right[size]) for size in sizes]
  assert slope.per_decade == pytest.approx(np.polyfit(np.log10(sizes), accuracy, 1)[0])


def test_interval_covers_the_true_slope(make_rows):
  rng = keyed_generator("slope coverage")
  hits = 0
  for _ in range(200):
    luck = rng.random(60)
    right = {10**6: (luck < 0.4).tolist(), 10**8: (luck < 0.6).tolist()}
    (slope,) = fit_slopes(pair_rows(_sizes(make_rows, right)))
    hits += slope.low <= 0.1 <= slope.high
  assert 0.9 <= hits / 200 <= 0.99


def test_sizes_are_needed_for_a_figure(make_rows):
  one = make_rows("a", 0, "ten", [1, 0], parameters=5)
  assert not has_sizes(pair_rows(one))
  same = make_rows("b", 3, "ten", [1, 0], parameters=5)
  assert not has_sizes(pair_rows(one + same))
  none = make_rows("oracle", 0, "ten", [1, 1])
  assert not has_sizes(pair_rows(one + none))
  assert has_sizes(pair_rows(one + make_rows("c", 0, "ten", [1, 1], parameters=50)))


def test_figure_is_drawn_and_named_in_the_report(make_rows, write_rows, tmp_path):
  rows = _sizes(make_rows, {10**6: [1, 0, 0, 0], 10**8: [1, 1, 1, 0]})
  results = pair_rows(rows)
  png = draw_scaling(fit_slopes(results), results.checkpoints)
  assert png == draw_scaling(fit_slopes(results), results.checkpoints)
  assert matplotlib.image.imread(io.BytesIO(png), format="png").std() > 0.05
  write_rows(tmp_path, rows)
  write_report(tmp_path)
  assert (tmp_path / "scaling.png").read_bytes() == png
  assert "](scaling.png)" in (tmp_path / "report.md").read_text()
