"""The figure is a PNG of a readable size, and the same bytes every time."""

import io

import matplotlib
import matplotlib.image
import pytest

from symtune.report.figures import draw_accuracy
from symtune.report.results import pair_rows
from symtune.report.summary import summarize_settings


def _draw(rows):
  results = pair_rows(rows)
  return draw_accuracy(summarize_settings(results), results.checkpoints)


def test_same_results_same_bytes_whatever_the_users_style(both_checkpoints):
  one = _draw(both_checkpoints)
  with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
    other = _draw(sorted(both_checkpoints, key=lambda row: row.step))
  assert one == other
  assert b"Software" not in one
  assert b"tIME" not in one


def test_users_style_is_left_alone(both_checkpoints):
  with matplotlib.rc_context({"font.size": 30}):
    _draw(both_checkpoints)
    assert matplotlib.rcParams["font.size"] == 30


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_any_number_of_checkpoints_is_drawn(make_rows, count):
  rows = [
    row
    for step in range(count)
    for row in make_rows(f"step {step}", step, "ten", [1] * step + [0] * (6 - step))
  ]
  image = matplotlib.image.imread(io.BytesIO(_draw(rows)), format="png")
  height, width, _ = image.shape
  assert height >= 600
  assert width >= 700
  assert image.std() > 0.05  # something is drawn


def test_every_value_changes_the_picture(make_rows):
  low = _draw(make_rows("before", 0, "ten", [1, 0, 0, 0]))
  high = _draw(make_rows("before", 0, "ten", [1, 1, 1, 0]))
  assert low != high


def test_many_probes_stand_in_several_rows(make_rows):
  rows = [
    row
    for probe in ("settings", "shots", "order", "format")
    for i in range(6)
    for row in make_rows("before", 0, "ten", [1, 0], probe, f"setting {i}")
  ]
  image = matplotlib.image.imread(io.BytesIO(_draw(rows)), format="png")
  few = matplotlib.image.imread(io.BytesIO(_draw(rows[:12])), format="png")
  assert image.shape[0] > 1.5 * few.shape[0]
  assert image.shape[1] < 4_000
