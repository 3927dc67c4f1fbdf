"""Transformers and symtune give the same answers to instructions."""

import json

import pytest
import rich.console
from family_models import write_model

from symtune.data.text.instructions import InstructionForm
from symtune.instruct.rows import read_rows
from symtune.instruct.run import EvalSettings, run_evaluation
from symtune.model.decoder.config import DecoderConfig

pytestmark = pytest.mark.hf


_CONFIG = DecoderConfig(
  vocab_size=352,
  emb_dim=16,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  mlp_dim=16,
  max_positions=256,
  logits_via_embedding=True,
)


def test_a_model_answers_alike_on_both_roads(tmp_path):
  folder = tmp_path / "model"
  folder.mkdir()
  write_model(folder, _CONFIG, 0.3)
  data = tmp_path / "rows.jsonl"
  rows = [
    {"instruction": "Name the fruit.", "input": text, "output": text}
    for text in ("a pear", "an apple and a cow", "the hen")
  ]
  data.write_text("".join(json.dumps(row) + "\n" for row in rows))
  settings = EvalSettings(
    data=data, form=InstructionForm.SELF_INSTRUCT, max_inputs=200, max_targets=6
  )
  run_evaluation(
    settings,
    [str(folder), f"transformers:{folder}"],
    tmp_path / "out",
    rich.console.Console(quiet=True),
  )
  found = read_rows(tmp_path / "out" / "answers.jsonl")
  assert [row.text for row in found[:3]] == [row.text for row in found[3:]]
  assert {row.parameters for row in found} == {found[0].parameters}
