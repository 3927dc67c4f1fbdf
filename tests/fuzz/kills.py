"""Kills a run again and again; it must end as if nothing had happened.

Usage: kills.py [KILLS] [SEED]

SIGKILL comes at random moments, to runs with and without worker processes. Arrays,
metrics, results and report must equal those of a run that nobody stopped, and no worker
may live on.
"""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

# Everything small: 8 steps of a one-layer model, one short query per task.
SETTINGS = (
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
  "--gin.probe.shots=1",
)
LAST = 8
SAME = (
  *("run.json", "data.json", "metrics.jsonl", "results.jsonl", "questions.jsonl.gz"),
  *("report.md", "report.html"),
)
PATIENCE = 300.0  # seconds until a run that does not end counts as hanging


def start(out: pathlib.Path, workers: int) -> subprocess.Popen[str]:
  """`symtune run microworld`, as a user starts it."""
  command = [sys.executable, "-m", "symtune", "run", "microworld", "--out", str(out)]
  return subprocess.Popen(
    [*command, *SETTINGS, "--workers", str(workers)],
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(out: pathlib.Path) -> float:
  """Lets a run end; returns its seconds."""
  began, process = time.monotonic(), start(out, 0)
  output, _ = process.communicate(timeout=PATIENCE)
  if process.returncode:
    raise AssertionError(f"the run ended with {process.returncode}: {output}")
  return time.monotonic() - began


def kill(out: pathlib.Path, workers: int, seconds: float) -> float | None:
  """Starts a run and kills it; the run's seconds if it ended by itself before.

  Its workers hold the same pipe, so reading to its end waits for the last of them.
  """
  began, process = time.monotonic(), start(out, workers)
  try:
    process.wait(timeout=seconds)
  except subprocess.TimeoutExpired:
    process.kill()
  output, _ = process.communicate(timeout=60)
  if process.returncode not in (0, -9):
    raise AssertionError(f"the run ended with {process.returncode}: {output}")
  return None if process.returncode == -9 else time.monotonic() - began


def content(out: pathlib.Path) -> dict[str, bytes]:
  """What must be equal: files, and the arrays of the last checkpoint."""
  import jax

  from symtune.train import checkpoint

  params = checkpoint.load_params(out / "checkpoints", LAST)
  arrays = {
    jax.tree_util.keystr(path): leaf.tobytes()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
  return arrays | {name: (out / name).read_bytes() for name in SAME}


def _differences(out: pathlib.Path, wanted: dict[str, bytes]) -> list[str]:
  """Names what differs; rows hold the commit, so it must not change meanwhile."""
  found = content(out)
  names = sorted(name for name in wanted if found.get(name) != wanted[name])
  if names:
    print(f"{out.name}: {', '.join(names)}", flush=True)
  return [out.name] if names else []


def main() -> None:
  """Prints how many runs were killed; exits with 1 if one ended differently."""
  given = [int(text) for text in sys.argv[1:]]
  kills, seed = [*given, *(25, 0)[len(given) :]]
  moments, done, folders = random.Random(seed), 0, 1
  with tempfile.TemporaryDirectory() as home:
    whole, out = pathlib.Path(home) / "whole", pathlib.Path(home) / "killed1"
    finish(whole)  # compiles
    seconds = finish(pathlib.Path(home) / "timed")
    wanted = content(whole)
    different = []
    while done < kills:
      is_new = not out.exists()
      ended = kill(out, 2 * (done % 2), moments.uniform(0.2, 1.0) * seconds)
      if ended is None:
        done += 1
        print(f"kill {done} of {kills}", flush=True)
      else:  # it was done: the next one begins anew
        seconds = ended if is_new else seconds  # the machine may be faster by now
        different += _differences(out, wanted)
        folders += 1
        out = pathlib.Path(home) / f"killed{folders}"
    finish(out)
    different += _differences(out, wanted)
    print(f"{done} kills in {folders} runs; {len(different)} runs ended differently")
  sys.exit(bool(different))


if __name__ == "__main__":
  main()
