"""The script for GPUs runs from end to end with tiny shapes, so it will on a card."""

import json
import os
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_the_rehearsal_measures_everything(tmp_path):
  out = tmp_path / "gpu.json"
  done = subprocess.run(
    [sys.executable, str(SCRIPT), "--rehearse", "--out", str(out)],
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  results = json.loads(out.read_text())["results"]
  assert [row for row in results if "error" in row] == []
  speeds = {
    row["measured"]: row.get("tokens_per_second") or row["prompts_per_second"]
    for row in results
    if row["measured"].endswith("symtune")
  }
  assert set(speeds) == {
    *("train t5_tiny, symtune", "train llama_tiny, symtune"),
    *("score t5_tiny, symtune", "score llama_tiny, symtune"),
  }
  assert min(speeds.values()) > 0
  trained = [row for row in results if "tflops" in row]
  assert all(row["tflops"] > 0 and len(row["largest_costs"]) == 3 for row in trained)
