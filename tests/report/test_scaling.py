"""Slopes of accuracy over size: computed by hand, and drawn."""

import io

import matplotlib.image
import numpy as np
import pytest

from symtune.data.rng import keyed_generator
from symtune.report.report import write_report
from symtune.report.results import pair_rows
from symtune.report.scaling import (
  draw_scaling,
  fit_slopes,
  has_sizes,
  slope_table,
  why_no_slope,
)
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


def test_sizes_that_hardly_differ_have_no_slope(make_rows, write_rows, tmp_path):
  rows = _sizes(make_rows, {2_220_000: [0, 0, 1, 1], 2_250_000: [1, 1, 1, 0]})
  assert not has_sizes(pair_rows(rows))
  write_rows(tmp_path, rows)
  write_report(tmp_path)
  text = (tmp_path / "report.md").read_text()
  assert "2,220,000 and 2,250,000 parameters differ by less than a factor of 2" in text
  assert not (tmp_path / "scaling.png").exists()
  twice = _sizes(make_rows, {2_220_000: [0, 0, 1, 1], 4_440_000: [1, 1, 1, 0]})
  assert has_sizes(pair_rows(twice))
  assert why_no_slope(pair_rows(twice).checkpoints) == ()


def test_families_have_lines_of_their_own(make_rows):
  rows = [
    row
    for name, size, family in (
      ("t5 small", 10**6, "t5"),
      ("t5 large", 10**8, "t5"),
      ("gpt2", 10**7, "gpt2"),
    )
    for row in make_rows(name, 0, "ten", [1, 0], parameters=size, family=family)
  ]
  results = pair_rows(rows)
  (slope,) = fit_slopes(results)
  names = [results.checkpoints[i].name for i in slope.line]
  assert names == ["t5 small", "t5 large"]
  (reason,) = why_no_slope(results.checkpoints)
  assert reason.startswith("No slope across families")
  assert "t5; gpt2" in reason
  apart = [row for row in rows if row.checkpoint != "t5 large"]
  assert not has_sizes(pair_rows(apart))


def test_slope_for_new_tasks_is_that_of_the_tasks_slopes(make_rows):
  """Slopes of 10 and 30 points: Student's interval over them, as nothing is shared."""
  rows = [
    row
    for size, ten, six in ((10**6, 2, 2), (10**8, 4, 8))
    for task, right in (("ten", ten), ("six", six))
    for row in make_rows(
      f"m{size}", 0, task, [1] * right + [0] * (10 - right), parameters=size
    )
  ]
  (slope,) = fit_slopes(pair_rows(rows))
  assert slope.per_decade == pytest.approx(0.2)
  assert slope.new_tasks == pytest.approx((0.2 - 1.27062, 0.2 + 1.27062), abs=1e-4)


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
