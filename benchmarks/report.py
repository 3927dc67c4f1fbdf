"""Times `symtune report` on half a million rows, against pandas on the same file.

    python benchmarks/report.py [--rows 500000]

symtune checks every row and its checksum, pairs the checkpoints, and writes tables and
figures with their intervals and tests. The peer, `pandas.read_json(lines=True)` and one
`groupby`, reads the same file and gives mean accuracies alone. Each side runs in a
process of its own, so that its peak memory is its own.
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from symtune.files import RESULTS_FILE
from symtune.probe.probes.settings import Setting
from symtune.probe.results import SCHEMA_VERSION, ResultRow, to_json

CHECKPOINTS = ("before", "after")
TASKS, SEEDS = 48, 3
SETTINGS = (*(("settings", str(s)) for s in Setting), ("flipped_labels", "flipped"))

SYMTUNE = """
import pathlib, sys
from symtune.report.report import write_report
write_report(pathlib.Path(sys.argv[1]))
"""
PANDAS = """
import pathlib, sys
import pandas
frame = pandas.read_json(pathlib.Path(sys.argv[1]) / "results.jsonl", lines=True)
frame.groupby(["checkpoint", "probe", "setting", "task"])["correct"].mean()
"""
MEASURE = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)
"""


def write_rows(folder: pathlib.Path, rows: int) -> int:
  """Writes made-up answers of two checkpoints; returns how many."""
  rng = np.random.default_rng(0)
  queries = round(rows / (len(CHECKPOINTS) * len(SETTINGS) * TASKS * SEEDS))
  count = 0
  with (folder / RESULTS_FILE).open("w", encoding="utf-8") as file:
    for step, checkpoint in enumerate(CHECKPOINTS):
      for number, (probe, setting) in enumerate(SETTINGS):
        for task in range(TASKS):
          scores = rng.normal(-4.0, 2.0, (SEEDS, queries, 2))
          scores[:, :, 0] += 0.6 * step + 0.1 * number
          for seed in range(SEEDS):
            for query in range(queries):
              place = (probe, setting, f"task_{task:02d}", seed, query)
              row = _row(checkpoint, step, place, scores[seed, query].tolist())
              file.write(to_json(row) + "\n")
              count += 1
  return count


def _row(
  checkpoint: str, step: int, place: tuple[str, str, str, int, int], scores: list[float]
) -> ResultRow:
  probe, setting, task, seed, query = place
  prediction = int(np.argmax(scores))
  return dataclasses.replace(
    _EXAMPLE,
    checkpoint=checkpoint,
    step=step,
    identity=checkpoint * 10,
    probe=probe,
    setting=setting,
    task=task,
    seed=seed,
    query=query,
    prompt_hash=number_of(place),
    choices=(f"{task}a", f"{task}b"),
    log_likelihoods=tuple(scores),
    prediction=prediction,
    correct=prediction == 0,
  )


def number_of(place: tuple[str, str, str, int, int]) -> int:
  """A number for each question, the same in every process."""
  probe, setting, task, seed, query = place
  name = SETTINGS.index((probe, setting)) * TASKS + int(task[-2:])
  return (name * SEEDS + seed) * 100_000 + query


_EXAMPLE = ResultRow(
  schema_version=SCHEMA_VERSION,
  checkpoint="",
  step=0,
  identity="",
  parameters=900_000,
  family="t5",
  dtype="float32",
  probe="",
  setting="",
  task="",
  seed=0,
  query=0,
  prompt_hash=0,
  shares=("fruit", "tool"),
  group=None,
  kind="rank",
  num_classes=2,
  label=0,
  context=0,
  prior=1,
  prediction=0,
  correct=True,
  chance=0.5,
  text=None,
  log_likelihoods=(),
  tokens=(3, 2),
  null_log_likelihoods=(),
  content_free_log_prior=(),
  domain_log_prior=(),
  choices=(),
  exemplars=8,
  exemplars_asked=8,
  references=(),
  natural=(),
  config_hash="c" * 16,
  data_fingerprint="f" * 64,
  vocab_hash="v" * 16,
  symtune_version="0.1.0",
  git_commit="a" * 40,
)


def measure(code: str, folder: pathlib.Path) -> tuple[float, float, float] | None:
  """Seconds, processor seconds and peak gigabytes; None if the peer is missing."""
  start = time.perf_counter()
  done = subprocess.run(
    [sys.executable, "-c", code + MEASURE, str(folder)], capture_output=True, text=True
  )
  wall = time.perf_counter() - start
  if done.returncode:
    print(done.stderr.splitlines()[-1])
    return None
  processor, memory = map(float, done.stdout.split()[-2:])
  return wall, processor, memory


def main() -> None:
  """Makes the file, reads it with both and prints a table."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--rows", type=int, default=500_000)
  wanted = parser.parse_args().rows
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    rows = write_rows(folder, wanted)
    size = (folder / RESULTS_FILE).stat().st_size
    print(json.dumps({"rows": rows, "megabytes": round(size / 1e6)}))
    print("| | seconds | processor seconds | rows/s | peak memory |")
    print("|---|---|---|---|---|")
    for title, code in (("symtune report", SYMTUNE), ("pandas", PANDAS)):
      found = measure(code, folder)
      if found is not None:
        wall, processor, memory = found
        print(
          f"| {title} | {wall:.1f} | {processor:.1f} | {rows / wall:,.0f} | "
          f"{memory:.2f} GB |"
        )


if __name__ == "__main__":
  main()
