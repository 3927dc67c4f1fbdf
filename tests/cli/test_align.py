"""The commands on preferences: recipes, studies and bad settings."""

import json
import re

import pytest

from symtune.align.settings import AlignRecipe, Study, recipe_to_json
from symtune.cards.resources import resource_dir
from symtune.cli.align import runs
from symtune.cli.gin_config import load_settings
from symtune.errors import SymtuneError
from symtune.experiment.folder import claim_folder

FILES = sorted((resource_dir("gin_configs") / "align").glob("*.gin"))
KINDS = (AlignRecipe, Study)


def load(name, bindings=()):
  return load_settings(name, KINDS, bindings, folder="align")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recipe_and_every_variant_of_a_study_loads(path):
  loaded = load(str(path))
  assert loaded.name == path.stem
  for line in ("# Command: ", "# Hardware: ", "# Time: ", "# Expected"):
    assert line in path.read_text()
  if isinstance(loaded, AlignRecipe):
    json.loads(recipe_to_json(loaded))
    return
  variants = [load(loaded.recipe, variant.settings) for variant in loaded.variants]
  texts = {recipe_to_json(variant) for variant in variants}
  assert len(texts) == len(loaded.variants)


def test_a_study_has_a_folder_for_every_variant_and_seed(tmp_path):
  study, found = runs._read(
    "align_overoptimise", ["--gin.PairSettings.test=9"], tmp_path
  )
  assert isinstance(study, Study)
  assert len(found) == len(study.variants) * len(study.seeds)
  recipe, text, folder = found[1]
  assert folder == tmp_path / study.variants[0].name / "seed1"
  assert recipe.seed == 1
  assert recipe.pairs.test == 9
  assert "AlignRecipe.seed = 1" in text


@pytest.mark.parametrize(
  "binding",
  ["AlignRecipe.seed=5", "settings.PairSettings.count = 9", "REWARD_STEPS=2"],
)
def test_what_a_study_sets_for_each_run_is_not_overridden(tmp_path, binding):
  message = f"--gin.{binding}: align_overoptimise is a study, which sets this for each"
  with pytest.raises(SymtuneError, match=re.escape(message)):
    runs._read("align_overoptimise", [f"--gin.{binding}"], tmp_path)


def test_variants_can_be_run_apart(tmp_path, monkeypatch, capsys):
  done = []
  monkeypatch.setattr(runs, "_run", lambda run, parts, *_: done.append(run[2]))
  monkeypatch.setattr(runs, "report", lambda *_: done.append("report"))
  name = "align_overoptimise"
  runs.run_all(name, [], tmp_path, None, None, ["pairs_1000"])
  assert done == [tmp_path / "pairs_1000" / f"seed{seed}" for seed in range(3)]
  assert f"symtune align report {name} --out {tmp_path}" in capsys.readouterr().err
  runs.run_all(name, [], tmp_path, None, None)
  assert len(done) == 3 + 9 + 1
  with pytest.raises(SymtuneError, match="--only some: align_overoptimise expects one"):
    runs.run_all(name, [], tmp_path, None, None, ["some"])
  with pytest.raises(SymtuneError, match="--only x: align_follow expects none"):
    runs.run_all("align_follow", [], tmp_path, None, None, ["x"])


def test_a_report_needs_a_run(tmp_path):
  out = tmp_path / "run"
  with pytest.raises(SymtuneError, match="there is no run, expected the folder of one"):
    runs.report("align_follow", [], out, None, None)
  assert not out.exists()


def test_a_study_does_not_write_into_a_run(tmp_path):
  (tmp_path / "run.json").touch()
  with pytest.raises(SymtuneError, match="got the folder of a run, expected one for"):
    runs._read("align_overoptimise", [], tmp_path)


def test_the_report_of_a_study_is_of_runs_with_its_settings(tmp_path):
  name, noisy = "align_overoptimise", ["--gin.PairSettings.noise=0.1"]
  for recipe, text, folder in runs._read(name, noisy, tmp_path)[1]:
    config = recipe_to_json(recipe)
    with claim_folder(folder, recipe="x", config_hash="0", config=config, gin=text):
      pass
  message = r"seed0 holds a run with other settings.*noise was 0\.1, now 0\.25\. Give"
  with pytest.raises(SymtuneError, match=message):
    runs.report(name, [], tmp_path, None, None)
  with pytest.raises(SymtuneError, match="has results of nothing"):
    runs.report(name, noisy, tmp_path, None, None)


@pytest.mark.parametrize(
  ("binding", "message"),
  [
    ("AlignRecipe.gold='kind'", "AlignRecipe.gold: got 'kind', expected one of"),
    ("RlooSettings.samples=1", "RlooSettings.samples is 1; expected 2 or more"),
    ("RlooSettings.beta=-1.0", "RlooSettings.beta is -1.0; expected 0"),
    ("RlooSettings.model_weight=1.0", r"ensembles is \[0\]; expected numbers"),
    ("RlooSettings.max_kl=0.0", "max_kl is 0.0; expected above 0"),
    ("RlooSettings.ensemble='best'", "RlooSettings.ensemble: got 'best'"),
    ("HeldOutSettings.prompts=1", "HeldOutSettings.prompts is 1"),
    ("AlignRecipe.seed=20261129", "seed is 20261129; expected .* 0 to 8388607"),
  ],
)
def test_bad_settings_are_one_message(binding, message):
  with pytest.raises(SymtuneError, match=message) as caught:
    load("align_follow", [binding])
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("binding", "message"),
  [
    ("PairSettings.noise=0.5", "PairSettings.noise is 0.5; expected 0 or more, below"),
    ("RewardSettings.members=1", "uses 4 reward models, but AlignRecipe.reward trains"),
    ("BestOfSettings.counts=(1, 999)", r"counts is \[1, 999\]; .* samples, which is"),
    ("BestOfSettings.counts=(2, 4)", r"counts is \[2, 4\]; expected .* rise from 1"),
    ("BestOfSettings.counts=(1, 4, 2)", r"counts is \[1, 4, 2\]; expected .* rise"),
    ("BestOfSettings.ensembles=(0,)", r"BestOfSettings.ensembles is \[0\]"),
  ],
)
def test_bad_settings_of_reward_models_are_one_message(binding, message):
  with pytest.raises(SymtuneError, match=message):
    load(load("align_overoptimise").recipe, [binding])
