"""The regression commands, from recipes to reports."""

import json

import pytest

from symtune.cards.resources import resource_dir
from symtune.cli.gin_config import load_settings
from symtune.cli.regression import runs
from symtune.errors import SymtuneError
from symtune.regression.settings import Grid, RegressionRecipe, recipe_to_json
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS

FILES = sorted((resource_dir("gin_configs") / "regression").glob("*.gin"))
KINDS = (RegressionRecipe, Grid)
TOY = [
  "--gin.FunctionClass.dim=2",
  "--gin.FunctionClass.points=5",
  "--gin.NetworkSettings.layers=1",
  "--gin.NetworkSettings.width=8",
  "--gin.NetworkSettings.heads=2",
  "--gin.TrainSettings.steps=3",
  "--gin.TrainSettings.save_every=2",
  "--gin.RegressionRecipe.batch_size=4",
  "--gin.EvaluationSettings.episodes=10",
  "--gin.EvaluationSettings.linear_episodes=3",
  "--gin.EvaluationSettings.linear_queries=5",
  "--gin.ProbeSettings.steps=2",
  "--gin.ProbeSettings.hidden=4",
  "--gin.ProbeSettings.batch_size=8",
  "--gin.ProbeSettings.test_episodes=10",
]


def load(name, bindings=()):
  return load_settings(name, KINDS, bindings, folder="regression")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recipe_and_every_member_of_a_grid_loads(path):
  loaded, text = load(str(path))
  assert loaded.name == path.stem
  assert text
  header = path.read_text()
  for line in ("# Command: ", "# Hardware: ", "# Time: ", "# Expected"):
    assert line in header
  if isinstance(loaded, RegressionRecipe):
    json.loads(recipe_to_json(loaded))
    return
  members = [load(loaded.recipe, member.settings)[0] for member in loaded.members]
  texts = {recipe_to_json(member) for member in members}
  assert len(texts) == len(loaded.members)
  assert {member.name for member in members} == {path.stem}


def test_the_recipes_are_those_of_the_papers():
  garg, _ = load("regression_garg")
  assert (garg.functions.dim, garg.network.layers, garg.network.width) == (20, 12, 256)
  assert len(garg.evaluation.shifts) == 14
  assert garg.curriculum.at(60_000, garg.functions) == (20, 41)
  akyurek, _ = load("regression_akyurek")
  assert (akyurek.functions.dim, akyurek.network.layers) == (8, 16)
  noise, _ = load("regression_noise")
  for member in noise.members:
    recipe, _ = load("regression_tiny", member.settings)
    assert recipe.functions.bayes_penalty == pytest.approx(member.value)
  pool, _ = load("regression_pool")
  assert [member.value for member in pool.members] == [4**k for k in range(1, 8)]


def test_a_run_is_trained_reported_and_probed(tmp_path, capsys):
  out = tmp_path / "run"
  with pytest.raises(SymtuneError, match="there is no run, expected the folder of one"):
    runs.report("regression_tiny", TOY, out, None)
  assert not out.exists()
  runs.train("regression_tiny", TOY, out)
  assert checkpoint.steps(out / CHECKPOINTS) == (2, 3)
  runs.train("regression_tiny", TOY, out)  # finished: nothing happens
  runs.report("regression_tiny", TOY, out, None)
  shown = capsys.readouterr().out
  assert "regression_tiny: Step 3. Squared error / d with 4 exemplars" in shown
  runs.probe("regression_tiny", TOY, out, 0)
  assert "what layers hold after 4 exemplars" in capsys.readouterr().out
  assert (out / "probes_0.png").exists()
  assert "TrainSettings.steps = 3" in (out / "config.gin").read_text()
  other = [*TOY, "--gin.RegressionRecipe.seed=1"]
  with pytest.raises(SymtuneError, match="holds another run"):
    runs.report("regression_tiny", other, out, None)
  with pytest.raises(SymtuneError, match="does not exist; expected a checkpoint"):
    runs.report("regression_tiny", TOY, out, 7)


def test_a_grid_trains_each_member_and_is_compared(tmp_path, capsys):
  lines = ["from __gin__ import dynamic_registration"]
  lines += ["from symtune.regression import settings"]
  lines += ["settings.Grid:", "  name = 'mine'", "  recipe = 'regression_tiny'"]
  lines += ["  axis = 'seed'", "  members = [@a/settings.Member()]"]
  lines += ["a/settings.Member:", "  name = 'a'", "  value = 8"]
  lines += ["  settings = ['RegressionRecipe.seed = 8']"]
  path = tmp_path / "mine.gin"
  path.write_text("\n".join(lines) + "\n")
  runs.train(str(path), TOY, tmp_path / "grid")
  runs.report(str(path), TOY, tmp_path / "grid", None)
  assert "mine: Distance between the model and each predictor" in (
    capsys.readouterr().out
  )
  config = (tmp_path / "grid" / "a" / "config.gin").read_text()
  assert "TrainSettings.steps = 3" in config
  assert "seed = 8" in config
  assert (tmp_path / "grid" / "a" / CHECKPOINTS).is_dir()
  with pytest.raises(SymtuneError, match="--step: a grid"):
    runs.report(str(path), TOY, tmp_path / "grid", 1)
  with pytest.raises(SymtuneError, match="is a grid, expected a recipe"):
    runs.probe(str(path), TOY, tmp_path / "grid", None)


@pytest.mark.parametrize(
  ("binding", "message"),
  [
    ("FunctionClass.dim=0", "FunctionClass.dim is 0"),
    ("FunctionClass.dim=2.5", "FunctionClass.dim: got 2.5"),
    ("FunctionClass.noise='much'", r"FunctionClass.noise: got 'much' \(str\)"),
    ("NetworkSettings.heads=5", "heads is 5; expected a divisor"),
    ("FunctionClass.dims=3", "dims"),
    ("EvaluationSettings.episodes=1", "episodes is 1"),
    ("References.neighbours=(0,)", r"neighbours is \(0,\)"),
  ],
)
def test_bad_settings_are_one_message(binding, message):
  with pytest.raises(SymtuneError, match=message) as caught:
    load("regression_tiny", [binding])
  assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_recipes():
  with pytest.raises(
    SymtuneError, match=r"no regression recipe at 'tiny'.*regression_garg"
  ):
    load("tiny")
