"""A decoder-only model through the whole flow: run, kill, continue, export, probe."""

import dataclasses
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from family_models import TINY, write_model

from symtune.cli import convert as command
from symtune.convert.convert import Destination, Format, convert
from symtune.convert.decoder.folder import DecoderCheckpoint
from symtune.convert.source import open_checkpoint
from symtune.convert.tensors import expected_shapes
from symtune.errors import SymtuneError

pytestmark = pytest.mark.usefixtures("compile_cache")

RECIPE = """
from __gin__ import dynamic_registration

from symtune.experiment import recipe
from symtune.model.decoder import config
from symtune.train import loop

include 'recipes/microworld.gin'

recipe.Recipe:
  name = 'tiny_decoder'
  model = @config.DecoderConfig()
  checkpoint = '{folder}'
  vocab = None
config.DecoderConfig:
  vocab_size = 512
  emb_dim = 16
  num_layers = 1
  num_heads = 2
  num_kv_heads = 1
  head_dim = 8
  mlp_dim = 16
  max_positions = 512
  logits_via_embedding = True
recipe.mixture:
  batch_size = 4
  input_length = 512
  target_length = 192
  window = 64
  loss_on = 'every'
recipe.symbols:
  tuning_size = 100
  evaluation_size = 100
recipe.optimizer.trainable = '.*/attention/.*'
loop.TrainSettings:
  steps = 4
  save_every = 1
  log_every = 1
recipe.probe:
  max_queries = 1
  shots = 1
  probes = ['flipped_labels']
  max_inputs = 512
  max_targets = 32
  exemplars = 'per_seed'
"""
FAST_COMPILE = (
  "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp("tiny_decoder")
  model = folder / "model"
  model.mkdir()
  write_model(model, TINY, 0.1)
  path = folder / "tiny_decoder.gin"
  path.write_text(RECIPE.format(folder=model))
  return path


def _start(recipe: pathlib.Path, out: pathlib.Path) -> subprocess.Popen:
  return subprocess.Popen(
    [sys.executable, "-m", "symtune", "run", str(recipe), "--out", str(out)],
    env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": FAST_COMPILE},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(recipe: pathlib.Path, out: pathlib.Path) -> None:
  process = _start(recipe, out)
  _, errors = process.communicate(timeout=300)
  assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory) -> pathlib.Path:
  out = tmp_path_factory.mktemp("decoder_runs") / "whole"
  _finish(recipe, out)
  return out


def test_a_killed_run_continues_to_the_same_files(recipe, finished, tmp_path):
  out = tmp_path / "killed"
  process = _start(recipe, out)
  deadline = time.monotonic() + 200
  while not (out / "checkpoints" / "2").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
  assert process.poll() is None, process.communicate()[1]
  process.send_signal(signal.SIGKILL)
  process.communicate(timeout=60)
  _finish(recipe, out)
  for name in ("results.jsonl", "metrics.jsonl", "data.json", "report.md"):
    assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_only_the_trainable_parameters_moved(recipe, finished):
  before = open_checkpoint(recipe.parent / "model").tensors
  after = open_checkpoint(finished).tensors
  moved = {
    path
    for path in after
    if not np.array_equal(before[path].read(), after[path].read())
  }
  assert moved == {path for path in after if "/attention/" in path}


def test_a_run_is_exported_with_tokenizer_and_end_of_text(recipe, finished, tmp_path):
  source = open_checkpoint(finished)
  vocab = recipe.parent / "model" / "tokenizer.json"
  written = convert(
    dataclasses.replace(source, vocab=vocab),
    Destination(path=tmp_path / "model", format=Format.HUGGINGFACE),
  )
  again = open_checkpoint(written)
  assert isinstance(again, DecoderCheckpoint)
  assert again.config == source.config
  assert again.ids.eos == (2,)
  assert {file.name for file in again.tokenizer} >= {"tokenizer.json"}
  for path, tensor in source.tensors.items():
    np.testing.assert_array_equal(again.tensors[path].read(), tensor.read())


def test_a_weights_file_holds_a_decoder(finished, tmp_path):
  source = open_checkpoint(finished)
  path = tmp_path / "weights.safetensors"
  convert(source, Destination(path=path, format=Format.SYMTUNE))
  assert open_checkpoint(path).config == source.config


def test_t5x_holds_a_decoder_without_its_settings(recipe, finished, tmp_path):
  source = open_checkpoint(finished)
  written = convert(source, Destination(path=tmp_path / "t5x", format=Format.T5X))
  with pytest.raises(SymtuneError, match="--like MODEL"):
    open_checkpoint(written)
  folder = tmp_path / "back"
  like = str(recipe.parent / "model")
  command.run(
    str(written),
    folder,
    to=None,
    dtype="float32",
    vocab=None,
    step=None,
    activations=None,
    like=like,
  )
  again = open_checkpoint(folder)
  assert again.config == source.config
  for path, tensor in source.tensors.items():
    np.testing.assert_array_equal(again.tensors[path].read(), tensor.read())


def test_results_name_the_model(finished):
  lines = (finished / "results.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  count = sum(math.prod(shape) for shape in expected_shapes(TINY).values())
  assert {row["parameters"] for row in rows} == {count}
  assert all(row["family"].startswith("decoder rotary pre_norm") for row in rows)
