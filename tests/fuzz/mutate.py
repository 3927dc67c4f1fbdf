"""Random damage to valid files, for as long as you like: `make fuzz`.

Each round copies the samples, damages one file at a few random places and runs the
command that reads it, in a process of its own. A command may succeed, because not every
byte counts, or end with code 1 or 2 and one message. A traceback, a signal or a wait of
more than two minutes is a bug; its seed is printed, and `--seed` repeats it.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from fuzz_samples import SAMPLES, make_samples

_SECONDS = 120


def mutate(content: bytes, rng: random.Random) -> bytes:
  """Content with one to four random edits."""
  data = bytearray(content)
  for _ in range(rng.randint(1, 4)):
    place = rng.randrange(len(data) + 1)
    length = rng.choice([1, 1, 2, 8, 100, len(data)])
    edit = rng.choice(["flip", "cut", "repeat", "insert", "digit"])
    if edit == "flip" and place < len(data):
      data[place] ^= 1 << rng.randrange(8)
    elif edit == "cut":
      del data[place : place + length]
    elif edit == "repeat":
      data[place:place] = data[place : place + length]
    elif edit == "insert":
      data[place:place] = rng.choice(
        [b"[", b"{", b'"', b"\x00", b"\xff", b"-1", b"1e999", b"null", b"9" * 40, b"\n"]
      )
    elif edit == "digit":
      digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
      if digits:
        data[rng.choice(digits)] = rng.randrange(48, 58)
  return bytes(data)


def try_once(samples: pathlib.Path, seed: int) -> str | None:
  """Damages one file and reads it; returns what went wrong, or None."""
  rng = random.Random(seed)
  name = rng.choice([name for name in SAMPLES if name not in ("sweep", "arms")])
  sample = SAMPLES[name]
  with tempfile.TemporaryDirectory() as folder:
    here = pathlib.Path(folder) / "here"
    shutil.copytree(samples, here)
    path = here / sample.file
    path.write_bytes(mutate(path.read_bytes(), rng))
    out = pathlib.Path(folder) / "out"
    command = sample.command.format(here=here, out=out).split()
    try:
      done = subprocess.run(
        [sys.executable, "-m", "symtune", *command],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
      )
    except subprocess.TimeoutExpired:
      return f"{name}, seed {seed}: no end after {_SECONDS} s"
    if done.returncode not in (0, 1, 2) or "Traceback" in done.stdout + done.stderr:
      return f"{name}, seed {seed}: code {done.returncode}\n{done.stderr[-2_000:]}"
    if done.returncode == 2 and out.exists():
      return f"{name}, seed {seed}: {out.name} was left behind"
  return None


def main() -> None:
  """Tries many seeds; the exit code says whether one of them found a bug."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seed", type=int, default=0, help="the first seed")
  parser.add_argument("--rounds", type=int, default=300)
  given = parser.parse_args()
  found = 0
  with tempfile.TemporaryDirectory() as folder:
    samples = pathlib.Path(folder)
    make_samples(samples)
    for seed in range(given.seed, given.seed + given.rounds):
      problem = try_once(samples, seed)
      if problem:
        found += 1
        print(problem, flush=True)
  print(f"{given.rounds} rounds, {found} bugs")
  sys.exit(found > 0)


if __name__ == "__main__":
  main()
