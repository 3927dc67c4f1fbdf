"""Names of a run folder's files, and writing a file whole or not at all."""

import os
import pathlib

# The files of a run folder that more than one layer knows of.
RUN_FILE = "run.json"
DATA_FILE = "data.json"
RESULTS_FILE = "results.jsonl"
CACHE_FILE = "scores.sqlite"


def write_whole(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a file under a temporary name and renames it: all of it or nothing.

  Args:
    path: the file; replaced when it exists.
    content: text, written as UTF-8, or bytes.
  """
  data = content.encode("utf-8") if isinstance(content, str) else content
  temporary = path.with_name(f".{path.name}.tmp")
  with temporary.open("wb") as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)
