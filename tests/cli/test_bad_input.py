"""Bad input: one clear message, exit code 2, nothing left behind."""

import json
import sys

import pytest

from symtune.cards.load import read_suite
from symtune.cli.main import main


@pytest.fixture
def run_cli(monkeypatch, capsys):
  """Runs a command in this process; gives exit code, output and errors."""

  def run(*arguments):
    monkeypatch.setattr(sys, "argv", ["symtune", *map(str, arguments)])
    code = 0
    try:
      main()
    except SystemExit as stop:
      code = stop.code or 0
    printed = capsys.readouterr()
    return code, printed.out, printed.err

  return run


@pytest.fixture
def real_data(tmp_path):
  """A data folder with enough made-up rows for every task of both suites."""
  folder = tmp_path / "data"
  folder.mkdir()
  for suite in ("symbol_tuning_train", "symbol_tuning_eval"):
    for card in read_suite(suite).tasks:
      rows = []
      for split in ("train", "validation"):
        for i in range(12 * len(card.labels)):
          label = i % len(card.labels)
          row = {f: f"{card.name} {split} {f} {i}" for f in card.fields}
          row |= {"label": label, "label_name": card.label_names[label]}
          rows.append({**row, "split": split, "src": "made"})
      text = "".join(json.dumps(row) + "\n" for row in rows)
      (folder / f"{card.rows}.jsonl").write_text(text)
  return folder


@pytest.fixture
def vocab_file(small_vocab, tmp_path):
  path = tmp_path / "small.model"
  path.write_bytes(small_vocab._model.serialized_model_proto())
  return path


QUICK = ("--gin.probe.max_queries=1", "--gin.mixture.window=64")
RECIPE = """
from __gin__ import dynamic_registration
from symtune.data import ingredients
from symtune.experiment import recipe
from symtune.train import loop
include 'models/tiny.gin'
include 'runs/run.gin'
recipe.Recipe.name = 'toy'
recipe.mixture:
  ingredients = [@ingredients.Ingredient()]
  batch_size = 2
  input_length = 512
  target_length = 64
  window = 16
ingredients.Ingredient.suite = 'symbol_tuning_train'
recipe.symbols.categories = ['integers']
recipe.optimizer.learning_rate = 0.001
loop.TrainSettings.steps = 1
recipe.probe:
  suite = 'symbol_tuning_eval'
  max_inputs = 512
"""


@pytest.fixture
def run_real(run_cli, real_data, vocab_file, tmp_path):
  """`symtune run` on the made-up rows; asserts that it fails cleanly."""
  recipe = tmp_path / "toy.gin"
  recipe.write_text(RECIPE)
  out = tmp_path / "out"

  def run(*overrides, data=real_data, vocab=vocab_file):
    code, _, errors = run_cli(
      "run", recipe, "--data", data, "--vocab", vocab, "--out", out, *overrides
    )
    assert code == 2, errors
    assert errors.startswith("error: ")
    assert "Traceback" not in errors
    assert not out.exists()
    return " ".join(errors.split())

  return run


def test_missing_data_folder(run_real, tmp_path):
  assert "is not a folder" in run_real(data=tmp_path / "nowhere")


def test_missing_data_file(run_real, real_data):
  (real_data / "cb.jsonl").unlink()
  assert "cb.jsonl" in run_real()


def test_malformed_line_is_named(run_real, real_data):
  path = real_data / "cb.jsonl"
  lines = path.read_text().splitlines()
  lines[4] = lines[4][:20]
  path.write_text("\n".join(lines))
  assert "cb.jsonl, line 5" in run_real()


def test_unknown_label_is_named(run_real, real_data):
  path = real_data / "cb.jsonl"
  path.write_text(path.read_text().replace('"label": 2', '"label": 3'))
  assert "cb.jsonl, line 3" in run_real()


def test_empty_class(run_real, real_data):
  path = real_data / "cb.jsonl"
  kept = [s for s in path.read_text().splitlines() if '"label": 2' not in s]
  path.write_text("\n".join(kept) + "\n")
  message = run_real()
  assert "cb" in message
  assert "neutral" in message.casefold() or "neither" in message.casefold()


def test_fewer_rows_than_exemplars(run_real):
  message = run_real("--gin.Ingredient.max_shots=12")
  assert "has 12 rows" in message
  assert "lower the exemplars per class" in message


def test_symbol_pool_too_small(run_real):
  assert "usable symbols for" in run_real("--gin.symbols.evaluation_size=1")


def test_vocabulary_that_is_none(run_real, tmp_path):
  path = tmp_path / "toy.gin"
  assert "is not a SentencePiece model" in run_real(vocab=path)


def test_missing_vocabulary(run_real, tmp_path):
  assert "no file at" in run_real(vocab=tmp_path / "none.model")


def test_vocabulary_larger_than_the_model(run_real):
  assert "vocab_size is 128" in run_real("--gin.T5Config.vocab_size=128")


def test_unknown_binding(run_real):
  assert "No configurable matching 'Nope'" in run_real("--gin.Nope.x=1")


def test_planted_leak(run_real, real_data):
  leaked = json.loads((real_data / "subj.jsonl").read_text().splitlines()[0])
  path = real_data / "sst2.jsonl"
  rows = [json.loads(line) for line in path.read_text().splitlines()]
  rows[0]["text"] = leaked["text"].upper() + " "
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  assert "1 rows of sst2 are in subj" in run_real()


def test_seed_named_twice(run_real):
  assert "expected each once" in run_real("--gin.probe.seeds=[0, 0]")


def test_unknown_suite(run_real):
  assert "symbol_tuning_train" in run_real(
    "--gin.Ingredient.suite='symbol_tuning_trian'"
  )


def test_symbol_that_does_not_fit_is_found_before_the_run(run_real):
  # Its turn might come only after hours of tuning.
  assert "Raise mixture.target_length" in run_real("--gin.mixture.target_length=2")


def test_label_that_does_not_fit(run_real):
  assert "Raise the target length" in run_real("--gin.probe.max_targets=1")


def test_query_that_does_not_fit(run_real):
  assert "Raise the input length" in run_real("--gin.probe.max_inputs=8")


def test_folder_that_cannot_be_made(run_cli, tmp_path):
  (tmp_path / "file").write_text("")
  out = tmp_path / "file" / "run"
  code, _, errors = run_cli("run", "microworld", "--out", out, *QUICK)
  assert code == 2
  assert "Not a directory" in errors
  assert "Traceback" not in errors


def test_report_of_a_file(run_cli, tmp_path):
  (tmp_path / "file").write_text("")
  code, _, errors = run_cli("report", tmp_path / "file")
  assert code == 2
  assert "Not a directory" in errors


def test_folder_with_other_files(run_cli, tmp_path):
  (tmp_path / "thesis.txt").write_text("")
  code, _, errors = run_cli("run", "microworld", "--out", tmp_path, *QUICK)
  assert code == 2
  assert "is not a run folder" in errors
  assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("preview", "sst3"), "sst2"),
    (("preview", "sst2"), "--data"),
    (("preview", "micro_medicine_room", "--labels", "french"), "expected one of"),
    (("preview", "micro_medicine_room", "--shots", "99"), "has 24 rows"),
    (("tasks", "--suite", "symbol_tuning_evil"), "symbol_tuning_eval"),
    (("report", "nowhere"), "no results at nowhere"),
    (("run", "microwave", "--out", "x"), "expected a .gin file or one of: ablation"),
    (("run", "microworld", "--out", "x", "--stepz=1"), "--gin.NAME=VALUE"),
    (("probe", "microworld", "--out", "x", "--step", "9", *QUICK), "one of [0]"),
    (("probe", "microworld", "--out", "x", *QUICK), "--out x: there is no run"),
    (("preview", "micro_bird_fish_car"), "symtune tasks --suite microworld_eval"),
  ],
)
def test_mistakes_on_the_command_line(
  run_cli, tmp_path, monkeypatch, arguments, message
):
  monkeypatch.chdir(tmp_path)
  code, _, errors = run_cli(*arguments)
  assert code == 2
  assert message in " ".join(errors.split())
  assert "Traceback" not in errors
  assert not list(tmp_path.iterdir())
