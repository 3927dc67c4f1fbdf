"""`symtune probe --checkpoint A --checkpoint B`: two sizes, one table, one figure."""

import os
import sys

import jax
import pytest

from symtune.cli.main import main
from symtune.experiment import build
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.probe.results import read_results
from symtune.train.weights import save_weights

TASKS = 56  # of the microworld, each a group of rows of one checkpoint


@pytest.fixture
def sizes(tmp_path):
  """Weights files of a small network and of a larger one."""
  paths = []
  for name, width in (("large", 32), ("small", 8)):
    config = T5Config(
      vocab_size=1792,
      emb_dim=width,
      num_heads=2,
      num_encoder_layers=1,
      num_decoder_layers=1,
      head_dim=4,
      mlp_dim=16,
      mlp_activations=("gelu", "linear"),
    )
    paths.append(tmp_path / f"{name}.safetensors")
    save_weights(paths[-1], init_params(Transformer(config), jax.random.key(0)), config)
  return paths


@pytest.fixture
def probe(sizes, monkeypatch, capsys):
  """Asks both about one query per task; the exit code and what was printed."""

  def ask(out):
    checkpoints = [word for path in sizes for word in ("--checkpoint", str(path))]
    arguments = ["probe", "microworld", "--out", str(out), "--probes", "flipped_labels"]
    small = ["--gin.probe.max_queries=1", "--gin.probe.tokens_per_batch=1024"]
    small += ["--gin.symbols.tuning_size=100", "--gin.symbols.evaluation_size=100"]
    monkeypatch.setattr(sys, "argv", ["symtune", *arguments, *checkpoints, *small])
    with pytest.raises(SystemExit) as stop:
      main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out + printed.err

  return ask


def _files(out):
  names = ("results.jsonl", "report.md", "report.png", "scaling.png", "run.json")
  return {name: (out / name).read_bytes() for name in names}


def test_two_sizes_give_a_figure_and_an_interruption_changes_nothing(
  probe, tmp_path, monkeypatch
):
  def never(*_):
    raise AssertionError("nothing is tuned")

  monkeypatch.setattr(build, "make_batches", never)
  whole, cut = tmp_path / "whole", tmp_path / "cut"
  code, printed = probe(whole)
  assert code == 0, printed
  rows = read_results(whole / "results.jsonl")
  assert len(rows) == 2 * TASKS
  sizes = {row.checkpoint: row.parameters for row in rows}
  assert sizes["large.safetensors"] > sizes["small.safetensors"]
  report = (whole / "report.md").read_text()
  assert "](scaling.png)" in report
  assert "small.safetensors (minus large.safetensors)" in report  # as given
  assert (whole / "scaling.png").read_bytes().startswith(b"\x89PNG")

  results, groups = cut / "results.jsonl", []

  def stop_inside_the_second(handle, sync=os.fsync):
    sync(handle)
    if results.exists() and os.path.samestat(os.fstat(handle), results.stat()):
      groups.append(handle)
      if len(groups) == TASKS + 10:
        raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(os, "fsync", stop_inside_the_second)
    code, printed = probe(cut)
  assert code == 130
  assert "Traceback" not in printed
  assert len(read_results(results)) == TASKS + 10
  assert not (cut / "report.md").exists()
  code, printed = probe(cut)
  assert code == 0, printed
  assert _files(cut) == _files(whole)
