"""Arms and seeds: one run of each, with settings that do what they say."""

import pathlib

import pytest

from symtune.cli.gin_config import load_recipe, load_sweep
from symtune.cli.sweep.arms import Inputs
from symtune.cli.sweep.sweep import sweep
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.errors import SymtuneError
from symtune.experiment.arms import Arm, Arms, plan_arms

HEAD = """\
from __gin__ import dynamic_registration
from symtune.experiment import arms
arms.Arms:
  name = 'two'
  arms = [@one/arms.Arm(), @other/arms.Arm()]
  seeds = (0, 3)
one/arms.Arm:
  name = 'one'
  recipe = 'microworld'
other/arms.Arm:
  name = 'other'
  recipe = 'microworld'
"""
SCRAMBLED = "  settings = [\"symbols/ingredients.Ingredient.labels = 'scrambled'\"]\n"


@pytest.fixture
def write(tmp_path):
  """Writes a sweep file; gives its path as text."""

  def to_file(text):
    path = tmp_path / "two.gin"
    path.write_text(text)
    return str(path)

  return to_file


def test_every_arm_is_run_with_every_seed():
  one, two = (Arm(name=name, recipe="r") for name in ("one", "two"))
  arms = Arms(name="a", arms=[one, two], seeds=(0, 3))
  runs = plan_arms(arms, pathlib.Path("out"))
  assert [(run.arm.name, run.seed, str(run.folder)) for run in runs] == [
    ("one", 0, "out/one/seed_0"),
    ("two", 0, "out/two/seed_0"),
    ("one", 3, "out/one/seed_3"),
    ("two", 3, "out/two/seed_3"),
  ]


def test_a_seed_seeds_the_data_the_training_and_the_questions(write):
  arms = load_sweep(write(HEAD + SCRAMBLED))
  assert isinstance(arms, Arms)
  run = plan_arms(arms, pathlib.Path("out"))[-1]
  recipe, text = load_recipe(run.arm.recipe, run.bindings)
  assert (recipe.seed, recipe.train.seed, recipe.probe.seeds) == (3, 3, (3,))
  assert "Recipe.seed = 3" in text
  plain, _ = load_recipe("microworld")
  first, *others = recipe.mixture.ingredients
  assert isinstance(first, Ingredient)
  assert first.labels == LabelStyle.SCRAMBLED
  assert tuple(others) == plain.mixture.ingredients[1:]


def test_no_two_runs_of_an_arm_share_a_probe_seed():
  arms = Arms(name="a", arms=[Arm(name="one", recipe="r")], seeds=(0, 2), probe_seeds=3)
  runs = plan_arms(arms, pathlib.Path("out"))
  assert [run.probe_seeds for run in runs] == [(0, 1, 2), (6, 7, 8)]
  assert "probe.seeds = (6, 7, 8)" in runs[1].bindings


def test_the_arms_of_the_microworld_load():
  arms = load_sweep("microworld_arms")
  assert isinstance(arms, Arms)
  for run in plan_arms(arms, pathlib.Path("out")):
    recipe, _ = load_recipe(run.arm.recipe, run.bindings)
    assert recipe.probe.seeds == (run.seed,)


BAD_FILES = {
  "no_arms": (("[@one/arms.Arm(), @other/arms.Arm()]", "[]"), "Arms.arms: got none"),
  "no_seeds": (("(0, 3)", "()"), "Arms.seeds: got none"),
  "same_seed": (("(0, 3)", "(3, 0, 3)"), "Arms.seeds: got 3 twice"),
  "negative_seed": (("(0, 3)", "(-1, 3)"), "Arms.seeds: got -1"),
  "no_probe_seeds": (
    ("(0, 3)", "(0, 3)\n  probe_seeds = 0"), "Arms.probe_seeds: got 0"
  ),
  "same_name": (("name = 'other'", "name = 'one'"), "Arm.name: got 'one' twice"),
  "name_of_no_folder": (("'other'", "'../other'"), r"Arm.name: got '\.\./other'"),
  "unknown_key": (("'two'", "'two'\n  shots = 3"), "parameter named 'shots'"),
  "unknown_arm_key": (("'other'", "'other'\n  seeds = 3"), "parameter named 'seeds'"),
  "no_recipe": (("  recipe = 'microworld'\nother", "other"), "'recipe'"),
  "no_value": (("'other'", "'other'\n  settings = ['X ']"), "arm 'other': .*'X '"),
  "both_kinds": (
    ("arms.Arms:", "from symtune.experiment import sweep\n"
     "sweep.Sweep.name = 'x'\narms.Arms:"),
    "both sweep.Sweep and arms.Arms",
  ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_one_message_with_its_name(change, message, write):
  path = write(HEAD.replace(*change))
  with pytest.raises(SymtuneError, match=rf"(?s)two\.gin.*{message}") as caught:
    load_sweep(path)
  assert "\n" not in str(caught.value)


BAD_SETTINGS = {
  "misspelt_scope": "symbol/ingredients.Ingredient.labels = 'scrambled'",
  "value_there_already": "TrainSettings.steps = 700",
  "replaced_by_the_seed": "Recipe.seed = 9",
}


@pytest.mark.parametrize("setting", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_a_setting_without_effect_is_refused(setting, write, tmp_path):
  path = write(HEAD + SCRAMBLED.replace("]", f', "{setting}"]'))
  with pytest.raises(SymtuneError, match=r"arm 'other': .* changes nothing"):
    sweep(path, tmp_path / "out", [], Inputs())
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ("['ingredients.Ingredient.max_shots = 3']", "arm 'other': .*changes nothing"),
    ("['TrainSettings.stepz = 3']", "arm 'other': TrainSettings.stepz"),
    ("['STEPZ = 3']", "arm 'other': STEPZ: .*has no macro"),
    ("['TrainSettings.steps = 0']", "arm 'other': .*steps is 0"),
    ("[]", "arms 'one' and 'other' have the same settings"),
  ],
)
def test_bad_settings_name_their_arm(settings, message, write, tmp_path):
  path = write(f"{HEAD}  settings = {settings}\n")
  with pytest.raises(SymtuneError, match=message) as caught:
    sweep(path, tmp_path / "out", [], Inputs())
  assert "--gin" not in str(caught.value)
  assert not (tmp_path / "out").exists()


def test_only_takes_the_names_of_arms(write, tmp_path):
  path = write(HEAD + SCRAMBLED)
  with pytest.raises(SymtuneError, match=r"--only: got 'none', expected .* one, other"):
    sweep(path, tmp_path / "out", ["none"], Inputs())
  with pytest.raises(SymtuneError, match="--only: the sweep microworld_sizes has no"):
    sweep("microworld_sizes", tmp_path / "out", ["one"], Inputs())
  assert not (tmp_path / "out").exists()
