"""Slopes of accuracy over size: computed by hand, and drawn."""

import io

import matplotlib.image
import numpy as np
import pytest

from symtune.data.rng import keyed_generator
from symtune.report.report import write_report
from symtune.report.results import pair_rows
from symtune.report.scaling import draw_scaling, fit_slopes, has_sizes, slope_table
from symtune.report.summary import right_answers
from symtune.stats.means import weighted_interval


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
  assert [c.parameters for c in results.checkpoints] == [10**8, 10**6, 10**7]
  (slope,) = fit_slopes(results)
  assert slope.per_decade == pytest.approx(0.2)
  assert slope.low < 0.2 < slope.high
  # Half the difference of the largest and the smallest, and so is its interval.
  first, last = ([right_answers(r)] for r in _by_size(results, 10**6, 10**8))
  low, high = weighted_interval([first, last], [-0.5, 0.5])
  assert (slope.low, slope.high) == pytest.approx((low, high))


def _by_size(results, *sizes):
  (task,) = results.settings[0].tasks
  places = [[c.parameters for c in results.checkpoints].index(size) for size in sizes]
  return [task.by_checkpoint[place] for place in places]


def test_models_before_and_after_tuning_are_two_lines(make_rows):
  rows = [
    row
    for name, size, right in (
      ("small before", 10**6, 2),
      ("small after", 10**6, 4),
      ("large before", 10**8, 4),
      ("large after", 10**8, 10),
      ("baseline:oracle", None, 10),
    )
    for row in make_rows(
      name, 0, "ten", [1] * right + [0] * (10 - right), parameters=size
    )
  ]
  results = pair_rows(rows)
  assert has_sizes(results)
  before, after = fit_slopes(results)
  assert before.per_decade == pytest.approx(0.1)
  assert after.per_decade == pytest.approx(0.3)
  titles = [row[1] for row in slope_table((before, after), results.checkpoints).rows]
  assert titles == [
    "small before (step 0), large before (step 0)",
    "small after (step 0), large after (step 0)",
  ]
  assert draw_scaling((before, after), results.checkpoints) != draw_scaling(
    (before,), results.checkpoints
  )


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
  larger = make_rows("c", 0, "ten", [1, 1], parameters=50)
  assert has_sizes(pair_rows(one + larger + none))
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
