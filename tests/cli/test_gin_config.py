"""Recipes parse into one typed value; unknown names and bad values are one message."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from symtune.cards.resources import resource_dir
from symtune.cli.gin_config import load_recipe, load_sweep, split_overrides
from symtune.data.ingredients import LabelStyle
from symtune.errors import SymtuneError

RECIPES = sorted((resource_dir("gin_configs") / "recipes").glob("*.gin"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_parses(path):
  recipe, operative = load_recipe(str(path))
  assert recipe.name == path.stem
  assert "Recipe.name" in operative


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_header_says_how_to_run_it(path):
  header = path.read_text().split("from __gin__")[0]
  for word in ("Command:", "Hardware:", "Time:", "Expected:"):
    assert word in header, f"{path.name}: the header lacks {word!r}"


def test_recipe_by_name_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert load_recipe("microworld")[0].name == "microworld"


def test_folders_of_the_working_directory_do_not_hide_included_files(
  tmp_path, monkeypatch
):
  for name in ("runs", "models"):
    (tmp_path / name).mkdir()
  (tmp_path / "runs" / "run.gin").write_text("not gin at all")
  monkeypatch.chdir(tmp_path)
  assert load_recipe("microworld")[0].name == "microworld"


def test_recipe_includes_files_beside_it(tmp_path):
  microworld = resource_dir("gin_configs") / "recipes" / "microworld.gin"
  (tmp_path / "mine.gin").write_text("include 'base.gin'\nRecipe.seed = %SEED\n")
  (tmp_path / "base.gin").write_text(f"include '{microworld}'\nSEED = 4\n")
  assert load_recipe(str(tmp_path / "mine.gin"))[0].seed == 4


def test_a_bare_text_needs_no_quotes():
  recipe, _ = load_recipe(
    "microworld",
    [
      "Recipe.checkpoint=hf://google/flan-t5-small@main",
      "recipe.mixture.mixing = uniform",
      "recipe.optimizer.learning_rate=1e-3",
      "recipe.probe.seeds=(0, 1)",
      "Recipe.vocab='microworld/vocab.model'",
    ],
  )
  assert recipe.checkpoint == "hf://google/flan-t5-small@main"
  assert recipe.mixture.mixing.value == "uniform"
  assert recipe.optimizer.learning_rate == 1e-3
  assert recipe.probe.seeds == (0, 1)


def test_names_that_are_nearly_right_get_a_hint():
  with pytest.raises(SymtuneError, match="Did you mean 'microworld'"):
    load_recipe("microwrld")


def test_overrides_win():
  recipe, operative = load_recipe(
    "microworld",
    ["TrainSettings.steps=7", "Recipe.seed=3", "natural/Ingredient.rate=9.0"],
  )
  assert (recipe.train.steps, recipe.seed) == (7, 3)
  rates = {(i.labels, i.instruction): i.rate for i in recipe.mixture.ingredients}
  assert rates[LabelStyle.NATURAL, False] == 9.0
  assert "TrainSettings.steps = 7" in operative


def test_override_with_the_value_there_already_is_fine():
  again, _ = load_recipe("microworld", ["Recipe.seed=0"])
  assert again == load_recipe("microworld")[0]


def test_second_recipe_does_not_see_the_first_one():
  load_recipe("microworld", ["Recipe.seed=5"])
  assert load_recipe("microworld")[0].seed == 0


@pytest.mark.parametrize(
  ("binding", "message"),
  [
    ("Nope.steps=1", "No configurable matching 'Nope'"),
    ("TrainSettings.stepz=1", "doesn't have a parameter named 'stepz'"),
    ("STEPZ=1", "has no macro 'STEPZ'"),
    ("Recipe.seed=$", "Unable to parse"),
    ("Recipe.seed=[1,", r"--gin\.Recipe\.seed: got '\[1,', .*ends too early"),
    ("Recipe.seed=(", r"--gin\.Recipe\.seed: .*ends too early"),
    ("Recipe.seed=" + "[" * 3_000, r"--gin\.Recipe\.seed: .*ends too early"),
    ("Recipe.seed=1bc", r"got '1bc', which .* \"--gin\.Recipe\.seed='text'\""),
    ("Recipe.seed=abc", r"Recipe\.seed: got 'abc' \(str\), expected int"),
    ("Recipe.seed={[1]: 2}", r"--gin\.Recipe\.seed: unhashable type: 'list'"),
    ("Recipe.seed=@os.system()", r"--gin\.Recipe\.seed: No configurable matching"),
    ("Recipe.seed=1\nimport os", "import os' would run code of os"),
    ("Recipe.seed=%NOPE", r"uses %NOPE, which is never set.*--gin\.NOPE=VALUE"),
    ("TrainSettings.steps=0", "steps is 0"),
    ("mixture.mixing='sometimes'", "expected one of 'proportional', 'uniform'"),
    ("mixture.formats=['HAIKU']", "'HAIKU', expected some of INPUT_OUTPUT"),
    ("symbols.categories=['emoji']", "expected one of 'integers'"),
    ("symbols/Ingredient.labels='french'", "expected one of 'natural', 'symbols'"),
    ("symbols/Ingredient.min_shots=5", "expected 0 <= minimum <= maximum"),
    ("optimizer.name='sgd'", "expected one of 'adafactor', 'adamw'"),
    ("T5Config.emb_dim=-1", "expected a positive integer"),
    ("Ingredient.max_shots=9", "changes nothing, because the recipe sets it for each"),
    (
      "symbolz/Ingredient.rate=9.0",
      "nothing, because the recipe has no scope 'symbolz/'",
    ),
    ("Skill.rate=9.0", "changes nothing, because the recipe does not use Skill.rate"),
  ],
)
def test_bad_overrides_are_one_message(binding, message):
  with pytest.raises(SymtuneError, match=message) as caught:
    load_recipe("microworld", [binding])
  assert "\n" not in str(caught.value)


MISTYPED = {
  "TrainSettings.steps=1.5": "TrainSettings.steps: got 1.5 (float), expected int",
  "TrainSettings.steps='abc'": "setting of TrainSettings is a text, expected a number",
  "TrainSettings.log_every=True": "TrainSettings.log_every: got True (bool)",
  "Recipe.seed='x'": "Recipe.seed: got 'x' (str), expected int",
  "Recipe.model=None": "Recipe.model: got None (NoneType), expected T5Config",
  "mixture.window=1.5": "BatchShape.window: got 1.5",
  "mixture.ingredients=[3]": "MixtureSettings.ingredients[0]: got 3",
  "symbols.tuning_size=1.5": "SymbolSettings.tuning_size: got 1.5",
  "probe.max_inputs='a'": "ProbePlan.max_inputs: got 'a'",
  "probe.seeds=['a']": "ProbePlan.seeds[0]: got 'a'",
  "probe.tokens_per_batch=0": "tokens_per_batch 0, expected at least 1",
  "probe.shots=1.5": "Shots.minimum: got 1.5",
}


def test_mistyped_settings_are_one_message():
  # In a process of its own: here, the checks that tests switch on would come first.
  code = """
import json, sys
from symtune.cli.gin_config import load_recipe
from symtune.errors import SymtuneError
messages = {}
for binding in sys.argv[1:]:
  try:
    load_recipe("microworld", [binding])
  except SymtuneError as error:
    messages[binding] = str(error)
print(json.dumps(messages))
"""
  command = [sys.executable, "-c", code, *MISTYPED]
  done = subprocess.run(command, check=True, capture_output=True, text=True)
  messages = json.loads(done.stdout)
  assert messages.keys() == MISTYPED.keys()
  for binding, expected in MISTYPED.items():
    assert expected in messages[binding]
    assert "\n" not in messages[binding]


def test_unknown_recipe_lists_those_there_are():
  with pytest.raises(SymtuneError, match=r"one of: .*microworld,"):
    load_recipe("microwave")


def test_missing_setting_is_named(tmp_path: pathlib.Path):
  path = tmp_path / "half.gin"
  path.write_text(
    "from __gin__ import dynamic_registration\n"
    "from symtune.experiment import recipe\n"
    "include 'runs/run.gin'\n"
    "recipe.Recipe.name = 'half'\n"
  )
  with pytest.raises(SymtuneError, match="required"):
    load_recipe(str(path))


def test_arguments_that_are_no_overrides_are_refused():
  assert split_overrides(["--gin.A.b=1", "--gin.C='x=y'"]) == ["A.b=1", "C='x=y'"]
  for argument in ("--jin.A.b=1", "extra", "--gin.A.b"):
    with pytest.raises(SymtuneError, match=r"--gin\.NAME=VALUE"):
      split_overrides([argument])


HEAD = (
  "from __gin__ import dynamic_registration\n"
  "from symtune.experiment import recipe\n"
  "from symtune.train import checkpoint\n"
  "import symtune.files\n"
)
RUN_CODE = {
  "import_module": ("import stranger", "bad.gin, line 5: 'import stranger' would"),
  "import_renamed": ("import os as recipe2", "'import os as recipe2' would run code"),
  "import_from": ("from os import path", "'from os import path' would run code of os"),
  "import_t5x": ("from t5x import utils", "would run code of t5x"),
  "import_ours": ("import symtuned.x", "would run code of symtuned"),
  "call": ("recipe.Recipe.name = @symtune.files.os.getcwd()", "symtune's settings"),
  "reference": ("recipe.Recipe.name = @symtune.files.write_whole", "nothing else"),
  "bind": ("symtune.files.os.mkdir.path = 'made'", "may only use symtune's settings"),
  "block": ("symtune.files.os.mkdir:\n  path = 'made'", "symtune's settings"),
  "macro": ("A = @symtune.files.os.getcwd()\nrecipe.Recipe.name = %A", "settings"),
  "singleton": (
    "recipe.Recipe.name = @x/gin.singleton()\n"
    "x/gin.singleton.constructor = @symtune.files.os.getcwd",
    "settings",
  ),
  "method": ("recipe.Recipe.name = @recipe.Recipe.__init__", "symtune's settings"),
}


@pytest.mark.parametrize(("line", "message"), RUN_CODE.values(), ids=RUN_CODE)
def test_a_recipe_runs_no_code(line, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  (tmp_path / "stranger.py").write_text("open('ran', 'w')\n")
  path = tmp_path / "bad.gin"
  path.write_text(HEAD + line + "\n")
  for load in (load_recipe, load_sweep):
    with pytest.raises(SymtuneError, match=message) as caught:
      load(str(path))
    assert "\n" not in str(caught.value)
  assert {file.name for file in tmp_path.iterdir()} == {"bad.gin", "stranger.py"}


def test_a_recipe_includes_files_of_its_folder_only(tmp_path):
  (tmp_path / "mine").mkdir()
  path = tmp_path / "mine" / "recipe.gin"
  (tmp_path / "other.gin").write_text("A = 1\n")
  (tmp_path / "mine" / "link.gin").symlink_to(tmp_path / "other.gin")
  for name in ("../other.gin", tmp_path / "other.gin", "link.gin", "/etc/passwd"):
    path.write_text(f"include '{name}'\n")
    with pytest.raises(SymtuneError, match=r"files of its own folder and of .*only"):
      load_recipe(str(path))


def test_includes_end(tmp_path):
  path = tmp_path / "a.gin"
  path.write_text("include 'a.gin'\n")
  with pytest.raises(SymtuneError, match="Does one include itself"):
    load_recipe(str(path))
  for i in range(20):  # 2 ** 20 files if nobody counts
    (tmp_path / f"b{i}.gin").write_text(f"include 'b{i + 1}.gin'\n" * 2)
  (tmp_path / "b20.gin").write_text("A = 1\n")
  with pytest.raises(SymtuneError, match="more than 100 files are included"):
    load_recipe(str(tmp_path / "b0.gin"))


def test_included_files_that_are_none(tmp_path):
  path = tmp_path / "a.gin"
  os.mkfifo(tmp_path / "pipe.gin")
  (tmp_path / "latin.gin").write_bytes(b"# \xe9\n")
  (tmp_path / "large.gin").write_text("#" * 1_000_001)
  (tmp_path / "unended.gin").write_text("A = [1,\n")
  for name, message in {
    "pipe.gin": "got a pipe",
    "latin.gin": "not UTF-8 at byte 2",
    "large.gin": "expected at most 1,000,000",
    "none.gin": "Unable to open file: none.gin",
    "unended.gin": "EOF in multi-line statement",
  }.items():
    path.write_text(f"include '{name}'\n")
    with pytest.raises(SymtuneError, match=message):
      load_recipe(str(path))


def test_references_end(tmp_path):
  path = tmp_path / "a.gin"
  path.write_text("".join(f"A{i} = [%A{i + 1}, %A{i + 1}]\n" for i in range(40)))
  with pytest.raises(SymtuneError, match="refer to each other 2,199,023,255,551 times"):
    load_recipe(str(path))
  path.write_text("A = %B\nB = [%A]\n")
  with pytest.raises(SymtuneError, match="refer to themselves"):
    load_recipe(str(path))
