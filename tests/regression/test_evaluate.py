"""The network as a predictor, linear fits, and the whole report."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import rich.console

from symtune.errors import SymtuneError
from symtune.regression import evaluate, predictors, report, train
from symtune.regression.settings import Grid, Member
from symtune.regression.tasks import STANDARD, Evaluation


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
  """A recipe, its network and parameters, and its run folder."""
  recipe, folder = toy(), tmp_path_factory.mktemp("run")
  train.train_model(recipe, folder, rich.console.Console(quiet=True))
  params, _ = train.load_params(recipe, folder, None)
  return recipe, train.make_network(recipe), params, folder


def test_the_network_alone_answers_as_in_one_pass(trained):
  recipe, network, params, _ = trained
  episodes = evaluate.evaluation_episodes(recipe, STANDARD)
  at_once = evaluate.predict_next(network, params, episodes.xs, episodes.ys)
  predictor = evaluate.network_predictor(network, params)
  one_by_one = predictors.predict_prefixes(
    predictor, episodes.xs, episodes.ys, episodes.queries
  )
  np.testing.assert_allclose(one_by_one, at_once, atol=1e-5)


def test_many_rows_are_read_in_parts(trained, monkeypatch):
  recipe, network, params, _ = trained
  episodes = evaluate.evaluation_episodes(recipe, STANDARD)
  whole = evaluate.predict_next(network, params, episodes.xs, episodes.ys)
  monkeypatch.setattr(evaluate, "_TOKENS_AT_ONCE", 30)
  parts = evaluate.predict_next(network, params, episodes.xs, episodes.ys)
  np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_queries_of_a_shift_are_what_is_asked(trained):
  recipe, network, params, _ = trained
  shift = Evaluation(shift="overlapping")
  solve = {"least squares": predictors.linear(predictors.least_squares)}
  found = evaluate.evaluate(recipe, network, params, solve, shift)
  error = np.abs(found.by_predictor["least squares"] - found.answers)
  np.testing.assert_allclose(error[:, 1:], 0.0, atol=1e-4)
  assert found.by_predictor[evaluate.MODEL].shape == found.answers.shape


def test_evaluations_are_other_episodes_than_training(trained):
  recipe, *_ = trained
  stream = train.EpisodeStream(dataclasses.replace(recipe, curriculum=None))
  episodes = evaluate.evaluation_episodes(recipe, STANDARD)
  assert not np.isin(episodes.xs, next(stream)["xs"]).any()


def test_linear_predictors_are_found_exactly_and_others_are_not(trained):
  recipe, network, params, _ = trained
  ridge = functools.partial(predictors.ridge, penalty=0.5)
  others = {
    "ridge": predictors.linear(ridge),
    "nearest": functools.partial(predictors.nearest, k=1),
  }
  linear = evaluate.linearize(recipe, network, params, others)
  np.testing.assert_allclose(linear.explained["ridge"], 1.0)
  assert linear.explained["nearest"][:, 3:].mean() < 0.95
  seed = f"evaluation {recipe.seed}"
  episodes = evaluate.draw_episodes(recipe.functions, seed=seed, first=0, count=4)
  pairs = episodes.xs[:, :3].astype(np.float64), episodes.ys[:, :3].astype(np.float64)
  np.testing.assert_allclose(linear.weights["ridge"][:, 3], ridge(*pairs), atol=1e-9)


def test_the_report_has_tables_figures_and_curves(trained):
  recipe, _, _, folder = trained
  first, found = report.write_report(recipe, folder, None)
  assert "Step 6. Squared error / d with 4 exemplars" in first
  titles = [table.title.split(":")[0].split(",")[0] for table in found]
  assert titles[0] == "Squared error / d"
  assert {"SPD to the model", "ILWD to the model", "Shifted evaluations"} <= set(titles)
  text = (folder / report.REPORT).read_text()
  assert "MSPD between predictors" in text
  assert (folder / report.FIGURE).read_bytes().startswith(b"\x89PNG")
  curves = json.loads((folder / report.CURVES).read_text())
  assert curves["step"] == 6
  errors = curves["curves"]["squared error / d"]
  assert len(errors["model"]["mean"]) == recipe.functions.points
  assert errors["least squares"]["mean"][4] < 1e-6
  again, _ = report.write_report(recipe, folder, None)
  assert again == first
  assert (folder / report.REPORT).read_text() == text


def test_the_lab_report_holds_tables_and_figure_and_no_browser(trained):
  recipe, _, _, folder = trained
  first, found = report.write_report(recipe, folder, None)
  page = (folder / report.PAGE).read_text(encoding="utf-8")
  assert "<h1>Lab report: toy</h1>" in page
  assert first.split(" [")[0] in page
  assert page.count("<svg") == 1
  assert page.count("<table>") == len(found) + 1
  assert 'id="episodes"' not in page
  assert 'id="theme"' in page


def test_a_grid_is_compared_member_by_member(trained, tmp_path):
  recipe, _, _, folder = trained
  members = [
    Member(name=name, value=value, settings=()) for name, value in (("a", 1), ("b", 2))
  ]
  grid = Grid(name="grid", recipe="toy", axis="layers", members=members)
  pairs = [(recipe, folder), (recipe, folder)]
  _, found = report.write_grid_report(grid, pairs, tmp_path)
  assert [row[0] for row in found[0].rows] == ["a", "b"]
  assert found[0].rows[0][1:] == found[0].rows[1][1:]
  assert (tmp_path / report.FIGURE).read_bytes().startswith(b"\x89PNG")


def test_bad_grids_are_refused():
  with pytest.raises(SymtuneError, match=r"Member\.name is '\.\./a'"):
    Member(name="../a", value=1, settings=())
  one = Member(name="a", value=1, settings=())
  with pytest.raises(SymtuneError, match=r"have the names \['a', 'a'\]"):
    Grid(name="grid", recipe="toy", axis="layers", members=[one, one])
