"""`symtune probe` asks a Transformers model, and says in one line what it refuses."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

SMALL = (
  "--gin.probe.max_queries=1",
  "--gin.probe.shots=1",
  "--gin.probe.seeds=(0,)",
  "--gin.mixture.window=64",
)


def _probe(out, *options):
  command = [sys.executable, "-m", "symtune", "probe", "microworld", "--out", str(out)]
  return subprocess.run(
    [*command, "--probes", "flipped_labels", *options, *SMALL],
    env={**os.environ, "JAX_PLATFORMS": "cpu", "TRANSFORMERS_VERBOSITY": "error"},
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_rows_name_the_type(family_folder, tmp_path):
  folder = family_folder("gpt2")
  asked = ("--checkpoint", f"transformers:{folder}", "--dtype", "bfloat16")
  done = _probe(tmp_path / "out", *asked)
  assert done.returncode == 0, done.stderr
  text = (tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8")
  assert f"{folder.name} (bfloat16)" in text
  assert '"dtype": "bfloat16"' in text


def test_a_folder_that_is_refused_leaves_no_rows(family_folder, tmp_path):
  folder = tmp_path / "model"
  folder.mkdir()
  (folder / "config.json").write_text(
    json.dumps({"model_type": "t5", "quantization_config": {"quant_method": "gptq"}})
  )
  done = _probe(tmp_path / "out", "--checkpoint", f"transformers:{folder}")
  assert done.returncode == 2
  assert "quantization_config is of 'gptq'" in " ".join(done.stderr.split())
  assert "Traceback" not in done.stderr
  assert not (tmp_path / "out" / "results.jsonl").exists()
