"""A sweep is a chain of runs for each network, each going on from the one before."""

import pathlib

import pytest

from symtune.cli.gin_config import load_recipe, load_sweep
from symtune.cli.sweep.arms import Inputs
from symtune.cli.sweep.sweep import sweep as run_sweep
from symtune.errors import SymtuneError
from symtune.experiment.build import build_experiment
from symtune.experiment.sweep import Sweep, plan_runs


def test_each_stage_starts_from_the_one_before():
  sweep = Sweep(name="s", models=("models/a.gin", "models/b.gin"), stages=("x", "y"))
  (a, _), (b, c) = plan_runs(sweep, pathlib.Path("out"))
  assert (a.recipe, a.folder, a.start) == ("x", pathlib.Path("out/a/x"), None)
  assert (b.model, b.folder) == ("models/b.gin", pathlib.Path("out/b/x"))
  assert (c.recipe, c.start) == ("y", pathlib.Path("out/b/x"))


def test_the_sizes_of_the_microworld_build():
  sweep = load_sweep("microworld_sizes")
  sizes = []
  for model in sweep.models:
    for stage in sweep.stages:
      recipe, _ = load_recipe(stage, ["Recipe.checkpoint=None"], include=model)
    sizes.append(recipe.model.emb_dim)
  assert sizes == [64, 128, 256]
  build_experiment(recipe, data_dir=None, vocab_path=None)


def test_a_size_changes_the_network_not_how_it_is_trained():
  sweep = load_sweep("microworld_sizes")
  for stage in sweep.stages:
    alone, _ = load_recipe(stage)
    rates = {
      load_recipe(stage, include=model)[0].model.dropout_rate for model in sweep.models
    }
    assert rates == {alone.model.dropout_rate}


def test_settings_hold_for_every_stage_and_keep_the_chain(tmp_path):
  out = tmp_path / "out"
  for overrides, message in (
    (["--gin.TrainSettings.stepz=1"], "stepz"),
    (["--gin.Recipe.checkpoint='x'"], "microworld_naming starts from the stage before"),
  ):
    with pytest.raises(SymtuneError, match=message):
      run_sweep("microworld_sizes", out, [], Inputs(overrides=overrides))
  assert not out.exists()


def test_an_unknown_sweep_is_named():
  with pytest.raises(SymtuneError, match=r"no sweep at 'sizes', .* microworld_sizes"):
    load_sweep("sizes")


def test_an_empty_sweep_is_refused(tmp_path):
  path = tmp_path / "empty.gin"
  path.write_text(
    "from __gin__ import dynamic_registration\n"
    "from symtune.experiment import sweep\n"
    "sweep.Sweep:\n  name = 'empty'\n  models = ()\n  stages = ('microworld',)\n"
  )
  with pytest.raises(SymtuneError, match="no models or no stages"):
    load_sweep(str(path))
