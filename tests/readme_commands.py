"""Runs what README.md shows from an installed symtune, in an empty folder (make wheel).

Blocks that need something, or take minutes, are listed; all others run as they stand.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from markdown_it import MarkdownIt

README = pathlib.Path(__file__).parents[1] / "README.md"
REVIEWS = ("a mess", "too long", "fine work", "a joy")
# The run of the demonstration is not made for this; the other base stands for it.
DEMO = ('"runs/demo"', '"microworld/base_at_chance.safetensors"')


def main() -> None:
  """Runs the blocks from top to bottom; the first that fails ends the program."""
  binaries = pathlib.Path(sys.executable).parent
  environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
  with tempfile.TemporaryDirectory() as folder:
    lines = [f'"{REVIEWS[i % 4]}, number {i}",{i % 4 + 1}' for i in range(200)]
    table = "\n".join(["review,stars", *lines]) + "\n"
    pathlib.Path(folder, "reviews.csv").write_text(table)
    for block in MarkdownIt().parse(README.read_text(encoding="utf-8")):
      if block.type != "fence" or block.info not in ("python", "bash"):
        continue
      code = block.content.replace(*DEMO)
      if re.match("# (Needs|Takes) ", code):
        print(f"not run: {code}")
        continue
      print(f"run: {code}", flush=True)
      program = [sys.executable, "-c"] if block.info == "python" else ["bash", "-ec"]
      subprocess.run([*program, code], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
  main()
