"""Curves and tables of policies, reward models and studies."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from symtune.align.curves import Point, common_points, over_seeds
from symtune.align.figures import draw_curves
from symtune.align.learn.evaluate import HELD_OUT, MEASURES
from symtune.align.learn.observe import correlation
from symtune.align.report import write_report, write_study_report
from symtune.align.settings import Study, Variant
from symtune.align.tables import (
  by_task,
  calibration,
  fit_gao,
  policy_table,
  reward_table,
  study_table,
)
from symtune.errors import SymtuneError
from symtune.train.metrics import append_row


def point(place, gold, proxy, kl, prompts=4):
  values = {"gold": gold, "proxy": proxy, "kl": kl}
  return Point(
    place=place, values={k: np.full(prompts, v, float) for k, v in values.items()}
  )


CURVE = (point(0, 0.5, 0.0, 0.0), point(10, 0.8, 1.0, 1.0), point(20, 0.3, 2.0, 4.0))


def test_policies_without_rows_are_no_curves_and_a_start_has_no_change(
  toy_setup, tmp_path
):
  setup = toy_setup()
  held_out = tmp_path / "rloo1" / HELD_OUT
  held_out.parent.mkdir()
  held_out.touch()  # it was killed before it measured the start again
  with pytest.raises(SymtuneError, match="has no results"):
    write_report(setup, tmp_path)
  row = {"step": 0, **dict.fromkeys(MEASURES, [0.5] * 6)}
  append_row(held_out, row)
  first, _ = write_report(setup, tmp_path)
  assert "RLOO" not in first  # nothing has changed yet
  report = (tmp_path / "report.md").read_text()
  assert "Intervals of policies resample tasks" in report
  study = Study(name="s", recipe="toy", variants=[Variant(name="v")], seeds=(0,))
  write_study_report(study, {"v": [(setup.recipe, tmp_path)]}, tmp_path)
  report = (tmp_path / "report.md").read_text()
  assert "Student's over seeds" in report
  assert "resample tasks" not in report


def test_intervals_over_seeds_are_students():
  found = over_seeds([1.0, 2.0, 3.0])
  assert found.value == 2.0
  assert found.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
  assert math.isnan(over_seeds([1.0]).low)


def test_only_places_that_all_seeds_have_are_compared():
  shown = common_points([CURVE, CURVE[:2]])
  assert [seeds[0].place for seeds in shown] == [0, 10]


def test_gaos_laws_are_found_again():
  d = np.array([0.0, 0.5, 1.0, 2.0, 3.0])
  best_of = 0.4 + d * (0.3 - 0.05 * d)
  assert fit_gao(d, best_of, is_best_of=True) == pytest.approx((0.3, 0.05))
  policy = 0.4 + d * (0.3 - 0.2 * np.log(np.maximum(d, 1e-9)))
  assert fit_gao(d, policy, is_best_of=False) == pytest.approx((0.3, 0.2))
  assert all(map(math.isnan, fit_gao(d[:2], best_of[:2], is_best_of=True)))


def test_prompts_of_a_task_are_resampled_together():
  values = np.array([0.0, 0.0, 1.0, 1.0] * 20)
  alone = by_task(values, list(range(80)))
  together = by_task(values, ["a", "a", "b", "b"] * 20)
  assert alone.value == together.value == 0.5
  assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_policy_table_shows_start_best_and_end():
  rows = policy_table({"RLOO": CURVE}, ["a", "a", "b", "b"]).rows
  assert [row[1] for row in rows] == ["0", "10", "20"]
  assert rows[1][2].startswith("0.800 [")
  assert rows[1][3].startswith("0.300 [")
  assert rows[2][5:7] == ("4.00", "2.00")


def test_calibration_by_hand():
  sure, unsure = [[4.0, 0.0]] * 5, [[0.0, 0.1]] * 5
  bins = calibration(np.array(sure + unsure))
  assert [n for *_, n in bins] == [2] * 5
  assert bins[0][:2] == pytest.approx((1 / (1 + math.exp(-0.1)), 0.0))
  assert bins[-1][:2] == pytest.approx((1 / (1 + math.exp(-4.0)), 1.0))


def test_reward_models_and_their_mean_are_measured():
  good, bad = [[1.0, 0.0]] * 4, [[0.0, 1.0]] * 4
  members = [
    {"mean": 0.0, "std": 1.0, "rewards": good},
    {"mean": 0.0, "std": 10.0, "rewards": bad},
  ]
  table = reward_table({"members": members, "lengths": [[2, 3]] * 4})
  assert [row[2].split()[0] for row in table.rows] == ["100.0", "0.0", "100.0"]
  assert [row[3] for row in table.rows] == ["-1.00", "1.00", "-1.00"]


def test_a_study_says_where_gold_turns_and_whether_the_proxy_goes_on():
  table = study_table({"small": {"RLOO": [CURVE, CURVE, CURVE]}})
  row, titles = table.rows[0], [column.title for column in table.columns]
  assert row[:3] == ("small", "RLOO", "3")
  assert [row[4][:5], row[5]] == ["0.800", "1.00"]
  assert [row[7][:6], row[8][:5]] == ["-0.500", "1.000"]
  # From 1.0, where gold is highest, although the proxy is highest at the end.
  assert titles[8:11] == ["proxy, highest gold to end", "sqrt KL at end", "end at"]
  assert row[10] == "20"
  figure = draw_curves(
    {"small": {"RLOO": [CURVE, CURVE]}, "other": {"DPO": [CURVE]}}, "png"
  )
  assert figure.startswith(b"\x89PNG")


def test_correlation_by_hand():
  x = jnp.array([1.0, 2.0, 4.0])
  assert correlation(x, -2.0 * x) == pytest.approx(-1.0, abs=1e-6)
  assert correlation(x, jnp.ones(3)) == 0.0
