"""A decoder-only policy through the command: pairs of a file, DPO, RLOO, the report."""

import jax
import numpy as np
import pytest
from family_models import TINY, write_model

from symtune.align.learn.evaluate import HELD_OUT
from symtune.align.pairs import PreferenceRow, read_pairs, write_pairs
from symtune.cli.align import runs
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.errors import SymtuneError
from symtune.train.metrics import METRICS_FILE, read_rows

RECIPE = """
from __gin__ import dynamic_registration

from symtune.align import settings
from symtune.experiment import recipe
from symtune.model.decoder import config
from symtune.train import loop

include 'align/align_follow.gin'

recipe.Recipe:
  model = @config.DecoderConfig()
  checkpoint = '{model}'
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
recipe.symbols:
  tuning_size = 100
  evaluation_size = 100
settings.AlignRecipe:
  name = 'tiny_decoder'
  prompt_length = 480
  answer_length = 24
  pairs = @settings.PairSettings()
  dpo = @settings.DpoSettings()
settings.PairSettings.path = '{pairs}'
settings.DpoSettings:
  batch_size = 2
  optimizer = @policy/recipe.optimizer()
  train = @policy/loop.TrainSettings()
settings.RlooSettings:
  prompts = 4
  samples = 2
policy/loop.TrainSettings:
  steps = 2
  save_every = 2
  log_every = 1
settings.HeldOutSettings:
  prompts = 4
  samples = 1
  every = 2
  batch_size = 4
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tiny_decoder")
  model, pairs, path = (folder / n for n in ("model", "pairs.jsonl", "tiny.gin"))
  model.mkdir()
  write_model(model, TINY, 0.1)
  rows = [
    PreferenceRow(
      prompt=f"Input: {word}\nOutput:", chosen="a", rejected="b c", source="test"
    )
    for word in ("fox", "plum", "oak")
  ]
  write_pairs(pairs, rows)
  path.write_text(RECIPE.format(model=model, pairs=pairs))
  return path


def test_a_decoder_learns_from_pairs_and_not_from_answers_that_never_end(
  recipe, tmp_path
):
  out = tmp_path / "run"
  runs.run_all(str(recipe), [], out, None, None)
  start = load_params(open_checkpoint(recipe.parent / "model"))
  moved = {}
  for name in ("rloo", "dpo"):
    held_out = read_rows(out / name / HELD_OUT)
    assert [row["step"] for row in held_out] == [0, 2]
    assert held_out[0]["kl"] == pytest.approx([0.0] * 4, abs=1e-5)
    moved[name] = max(held_out[1]["kl"])
    assert [row["step"] for row in read_rows(out / name / METRICS_FILE)] == [1, 2]
    tuned = load_params(open_checkpoint(out / name))
    is_start = jax.tree.leaves(jax.tree.map(np.array_equal, tuned, start))
    assert all(is_start) if name == "rloo" else not any(is_start)
  # Random weights hardly ever end an answer: all earn the same, and teach nothing.
  assert {row["zero_spread"] for row in read_rows(out / "rloo" / METRICS_FILE)} == {1.0}
  assert moved["rloo"] == 0.0
  assert moved["dpo"] > 0.0
  assert "RLOO" in (out / "report.md").read_text()
  pairs = recipe.parent / "pairs.jsonl"
  write_pairs(pairs, read_pairs(pairs)[:2])  # the run was of other pairs
  with pytest.raises(SymtuneError, match=r"holds another run.* Data, vocabulary or"):
    runs.run_part("dpo", str(recipe), [], out, None, None)
