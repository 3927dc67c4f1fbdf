"""`symtune probe --checkpoint` asks T5X's own checkpoints, whatever their layout."""

import io
import json
import math
import string
import sys

import pytest
import sentencepiece

from symtune.cli.main import main

QUICK = (
  *("--probes", "flipped_labels", "--gin.probe.max_queries=1"),
  *("--gin.probe.shots=1", "--gin.probe.max_inputs=256"),
  "--gin.probe.tokens_per_batch=1024",
  *("--gin.symbols.tuning_size=100", "--gin.symbols.evaluation_size=100"),
  *("--gin.Recipe.checkpoint=None", "--gin.mixture.window=16"),
  *("--gin.probe.max_targets=16", "--gin.mixture.input_length=512"),
)


@pytest.fixture
def letters(tmp_path):
  """A vocabulary of single letters, small enough for T5X's tiny network."""
  model = io.BytesIO()
  text = " ".join(string.ascii_letters + string.digits + "?:->.,")
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter([text] * 9),
    model_writer=model,
    model_type="char",
    vocab_size=80,
    user_defined_symbols=["<extra_id_0>"],
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    hard_vocab_limit=False,
    minloglevel=2,
  )
  path = tmp_path / "letters.model"
  path.write_bytes(model.getvalue())
  return path


def test_both_layouts_answer_with_equal_scores(
  letters, t5x_golden, tmp_path, monkeypatch, capsys
):
  """Each in a folder of its own: one cache would answer for both."""
  outs = {layout: tmp_path / layout for layout in ("msgpack", "orbax")}
  for layout, out in outs.items():
    folder = t5x_golden.folder("plain", layout)
    command = ["symtune", "probe", "microworld", *QUICK, "--vocab", str(letters)]
    command += ["--checkpoint", str(folder), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
      main()
    assert not stop.value.code, capsys.readouterr().err
  msgpack, orbax = (
    [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for out in outs.values()
  )
  assert len(msgpack) == 56
  assert {(row["checkpoint"], row["step"]) for row in msgpack} == {
    ("checkpoint_1000", 1000)
  }
  scores = [value for row in msgpack for value in row["log_likelihoods"]]
  assert len(scores) == 2 * len(msgpack)
  assert all(math.isfinite(value) and value < 0 for value in scores)
  assert len(set(scores)) > len(msgpack)
  assert orbax == msgpack
