"""ARCHITECTURE.md shows the tree as it is."""

import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[1] / "docs" / "make_architecture.py"


def test_tree_is_up_to_date():
  done = subprocess.run(
    [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stdout + done.stderr
