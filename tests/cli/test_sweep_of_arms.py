"""A sweep over arms, from its file to its tables: run, shared, repeated, changed."""

import contextlib
import pathlib
import re
import sqlite3
import sys

import pytest

from symtune.cli.main import main

SUITE = """\
name: {part}_tasks
version: 1
description: Two tasks.
world:
  part: {part}
  {pairs}
"""
SUITES = {
  "train": "pairs: 2\n  triples: 0",
  "eval": "heldout_pairs: 1\n  unseen_pairs: 1",
}
# Everything small: 2 steps of a one-layer model, two tasks, one query each.
RECIPE = """\
from __gin__ import dynamic_registration
from symtune.data import ingredients
from symtune.experiment import recipe
from symtune.model import config
from symtune.train import loop
include 'recipes/microworld.gin'
recipe.Recipe.name = 'tiny'
recipe.Recipe.checkpoint = None
recipe.mixture:
  ingredients = [@symbols/ingredients.Ingredient()]
  batch_size = 4
  window = 16
recipe.symbols:
  tuning_size = 50
  evaluation_size = 50
symbols/ingredients.Ingredient.suite = '{folder}/train_tasks.yaml'
loop.TrainSettings.steps = 2
config.T5Config:
  num_encoder_layers = 1
  num_decoder_layers = 1
  emb_dim = 8
  mlp_dim = 8
  num_heads = 2
  head_dim = 4
recipe.probe:
  suite = '{folder}/eval_tasks.yaml'
  probes = ('flipped_labels',)
  max_queries = 3
  shots = 1
"""
SWEEP = """\
from __gin__ import dynamic_registration
from symtune.experiment import arms
arms.Arms:
  name = 'tiny_arms'
  arms = [@symbols/arms.Arm(), @null/arms.Arm()]
  seeds = (4,)
symbols/arms.Arm:
  name = 'symbols'
  recipe = '{folder}/tiny.gin'
null/arms.Arm:
  name = 'null'
  recipe = '{folder}/tiny.gin'
  settings = ("symbols/ingredients.Ingredient.labels = 'scrambled'",)
"""


@pytest.fixture
def folder(tmp_path):
  """A folder with a sweep file, its recipe and its suites."""
  for part, pairs in SUITES.items():
    text = SUITE.format(part=part, pairs=pairs)
    (tmp_path / f"{part}_tasks.yaml").write_text(text)
  (tmp_path / "tiny.gin").write_text(RECIPE.format(folder=tmp_path))
  (tmp_path / "arms.gin").write_text(SWEEP.format(folder=tmp_path))
  return tmp_path


@pytest.fixture
def run_sweep(folder, monkeypatch, capsys):
  """Runs the command; its exit code and what it prints and says."""

  def run(*options):
    command = ["symtune", "sweep", f"{folder}/arms.gin", "--out", f"{folder}/out"]
    monkeypatch.setattr(sys, "argv", [*command, *options])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
      main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out, printed.err

  return run


def _files(folder: pathlib.Path) -> dict[str, tuple[bytes, int]]:
  """Every file with the time of its last change, but for locks and the comparison."""
  return {
    str(path): (path.read_bytes(), path.stat().st_mtime_ns)
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != ".lock" and path.parent != folder
  }


def _scored(folder: pathlib.Path) -> set[bytes]:
  """The keys of the scores that a run keeps."""
  with contextlib.closing(sqlite3.connect(folder / "scores.sqlite")) as cache:
    ((table,),) = cache.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {key for (key, *_) in cache.execute(f"SELECT * FROM {table}")}


def test_arms_are_run_once_compared_and_kept_apart(folder, run_sweep):
  out, table = folder / "out", folder / "out" / "arms.md"

  code, printed, said = run_sweep("--only", "null")
  assert code == 0, said
  assert "null/seed_4: arm null, seed 4" in said
  assert not (out / "symbols").exists()
  for text in (printed, table.read_text()):
    assert "Not complete: symbols with seed 4." in text
  assert "| setting | tasks | n | chance | before | null |" in table.read_text()

  code, printed, said = run_sweep()
  assert code == 0, said
  assert "Not complete" not in printed + table.read_text()
  for line in (
    "| setting | tasks | n | chance | before | symbols | null |",
    "## Difference from the arm symbols, in points [95% interval]",
    "| flipped labels | 2 | 6 | 50.0 |",
  ):
    assert line in table.read_text()
  assert "Difference from before" in " ".join(printed.split())
  assert (out / "arms.png").read_bytes().startswith(b"\x89PNG")
  assert (out / "symbols" / "seed_4" / "report.md").exists()
  # The second arm takes over the scores of the first, which has the same base.
  assert _scored(out / "null" / "seed_4") < _scored(out / "symbols" / "seed_4")

  files, text = _files(out), table.read_text()
  assert run_sweep()[:2] == (0, printed)
  assert (_files(out), table.read_text()) == (files, text)

  sweep = folder / "arms.gin"
  sweep.write_text(sweep.read_text().replace("'scrambled'", "'natural'"))
  for options in ((), ("--only", "symbols")):
    code, _, said = run_sweep(*options)
    assert code == 2
    assert "holds another run" in said.replace("\n", " ")
    assert "null" in said
  assert (_files(out), table.read_text()) == (files, text)


def test_settings_of_the_command_line_hold_for_every_arm(folder, run_sweep):
  out, steps = folder / "out", "--gin.TrainSettings.steps=1"
  code, _, said = run_sweep("--only", "null", steps)
  assert code == 0, said
  assert "TrainSettings.steps = 1\n" in (
    out / "null" / "seed_4" / "config.gin"
  ).read_text().replace("loop.", "")

  # Other settings are refused before the arm that is not started yet.
  for options in ((), ("--gin.TrainSettings.steps=3",)):
    code, _, said = run_sweep(*options)
    assert code == 2
    assert "holds another run" in " ".join(said.split())
    assert not (out / "symbols").exists()

  files = _files(out)
  assert run_sweep("--only", "null", steps)[0] == 0
  assert _files(out) == files


def test_bad_settings_of_the_command_line_are_refused(folder, run_sweep):
  labels = "symbols/ingredients.Ingredient.labels"
  for option, message in (
    ("--gin.TrainSettings.stepz=1", "arm 'symbols': TrainSettings.stepz"),
    ("--gin.TrainSettings.steps=2", "arm 'symbols': .* changes nothing"),
    ("--gin.Recipe.seed=2", "arm 'symbols': .* changes nothing"),
    (f"--gin.{labels}='flipped'", "arm 'null': .*'scrambled'.* changes nothing"),
    ("--stepz=2", "got argument '--stepz=2', expected options"),
  ):
    code, _, said = run_sweep(option)
    assert code == 2
    assert re.search(message, " ".join(said.split())), said
  assert not (folder / "out").exists()


def test_what_cannot_run_is_refused_before_the_first_run(folder, run_sweep):
  sweep = folder / "arms.gin"
  text = sweep.read_text().replace("settings = (", "settings = ('Recipe.vocab = None',")
  sweep.write_text(text)
  code, _, said = run_sweep()
  assert code == 2
  assert "--vocab" in said
  assert not (folder / "out").exists()
