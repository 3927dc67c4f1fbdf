"""The whole flow on the microworld: run, kill, continue, and the same files again."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.usefixtures("compile_cache")

# Everything small: 8 steps of a one-layer model, one short query per task.
SMALL = (
  "--gin.TrainSettings.steps=8",
  "--gin.TrainSettings.save_every=2",
  "--gin.TrainSettings.log_every=2",
  "--gin.Recipe.checkpoint=None",
  "--gin.T5Config.num_encoder_layers=1",
  "--gin.T5Config.emb_dim=32",
  "--gin.T5Config.mlp_dim=32",
  "--gin.T5Config.num_heads=2",
  "--gin.T5Config.head_dim=8",
  "--gin.mixture.batch_size=4",
  "--gin.mixture.window=64",
  "--gin.probe.max_queries=1",
  "--gin.symbols.tuning_size=100",
  "--gin.symbols.evaluation_size=100",
  "--gin.probe.shots=1",
  "--gin.probe.tokens_per_batch=512",
)
FAST_COMPILE = (
  "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


def _start(out: pathlib.Path, *more: str) -> subprocess.Popen:
  """`symtune run microworld` as a user starts it."""
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": FAST_COMPILE}
  command = [sys.executable, "-m", "symtune", "run", "microworld", "--out", str(out)]
  return subprocess.Popen(
    [*command, *SMALL, *more],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(out: pathlib.Path) -> str:
  process = _start(out)
  printed, errors = process.communicate(timeout=300)
  assert process.returncode == 0, errors
  return printed


def _files(out: pathlib.Path) -> dict[str, bytes]:
  """Every file that must be the same on every rerun."""
  return {
    str(path.relative_to(out)): path.read_bytes()
    for path in sorted(out.rglob("*"))
    if path.is_file() and not _may_differ(path.relative_to(out))
  }


def _may_differ(path: pathlib.Path) -> bool:
  """The clock, the cache, and Orbax's own bookkeeping, which holds time stamps."""
  return (
    path.name in ("timing.jsonl", "scores.sqlite") or path.parts[0] == "checkpoints"
  )


def _params(out: pathlib.Path) -> list[bytes]:
  import jax

  from symtune.train import checkpoint

  return [
    leaf.tobytes()
    for leaf in jax.tree.leaves(checkpoint.load_params(out / "checkpoints", 8))
  ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  out = tmp_path_factory.mktemp("end_to_end") / "finished"
  return out, _finish(out)


def test_run_ends_with_results_table_and_figure(finished):
  out, printed = finished
  assert {p.name for p in out.iterdir()} >= {
    "run.json",
    "config.gin",
    "data.json",
    "metrics.jsonl",
    "timing.jsonl",
    "checkpoints",
    "results.jsonl",
    "report.md",
    "report.png",
  }
  assert (out / "report.png").read_bytes().startswith(b"\x89PNG")
  for word in ("instruction", "neither", "flipped", "chance", str(out.name)):
    assert word in printed.replace("\n", "")


def test_finished_run_changes_nothing_when_run_again(finished):
  out, printed = finished
  before = _files(out)
  assert _finish(out) == printed
  assert _files(out) == before


def _has_reached(out: pathlib.Path, moment: str) -> bool:
  if moment == "after":
    results = out / "results.jsonl"
    return results.exists() and b'"checkpoint": "after"' in results.read_bytes()
  return (out / moment).exists()


def _stop(out: pathlib.Path, moment: str, workers: int, how: signal.Signals) -> None:
  """Runs until a moment, and stops the process there."""
  process = _start(out, "--workers", str(workers))
  deadline = time.monotonic() + 200
  while not _has_reached(out, moment) and time.monotonic() < deadline:
    time.sleep(0.01)
  assert process.poll() is None, process.communicate()[1]
  process.send_signal(how)
  _, said = process.communicate(timeout=60)  # workers hold its pipes, and end with it
  if how == signal.SIGTERM:
    assert process.returncode == 143, said
    assert "Stopped by SIGTERM. Answers and checkpoints that were complete" in said
    assert "Traceback" not in said
  assert not (out / "report.md").exists()


def test_a_run_that_is_stopped_three_times_ends_with_the_same_files(finished, tmp_path):
  """While it asks the base, while it trains, and while it asks the tuned model."""
  whole, _ = finished
  out = tmp_path / "stopped"
  _stop(out, "results.jsonl", 0, signal.SIGKILL)
  _stop(out, "checkpoints/4", 2, signal.SIGKILL)
  _stop(out, "after", 0, signal.SIGTERM)
  _finish(out)
  assert _files(out) == _files(whole)
  assert _params(out) == _params(whole)


def test_folder_of_another_run_is_refused(finished):
  out, _ = finished
  before = _files(out)
  process = _start(out, "--gin.Recipe.seed=1")
  _, errors = process.communicate(timeout=300)
  assert process.returncode == 2
  assert "holds another run" in errors
  assert "Traceback" not in errors
  assert _files(out) == before


def test_runs_and_baselines_are_probed_side_by_side(finished, tmp_path):
  run, _ = finished
  out = tmp_path / "compared"
  command = [sys.executable, "-m", "symtune", "probe", "microworld", "--out", str(out)]
  asked = ["--probes", "flipped_labels", "--checkpoint", str(run)]
  done = subprocess.run(
    [*command, *asked, "--checkpoint", "baseline:oracle", *SMALL],
    env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": FAST_COMPILE},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
  rows = [json.loads(line) for line in lines]
  assert {row["probe"] for row in rows} == {"flipped_labels"}
  by_name = {row["checkpoint"]: row for row in rows}
  assert set(by_name) == {"finished", "baseline:oracle"}
  assert by_name["finished"]["parameters"] > 1_000
  assert by_name["finished"]["dtype"] == "float32"
  assert by_name["baseline:oracle"]["parameters"] is None
  assert by_name["baseline:oracle"]["dtype"] is None
  assert by_name["finished"]["family"].startswith("t5 ")
  assert by_name["baseline:oracle"]["family"] is None
  assert by_name["finished"]["shares"] == by_name["finished"]["task"].split("_")[1:]
  assert all(r["correct"] for r in rows if r["checkpoint"] == "baseline:oracle")
  assert "override rate" in (out / "report.md").read_text()
