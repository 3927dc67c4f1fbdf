"""Names of a run folder's files, and writing a file whole or not at all."""

import contextlib
import fcntl
import os
import pathlib
import secrets
from collections.abc import Iterator

# The files of a run folder that more than one package uses.
RUN_FILE = "run.json"
DATA_FILE = "data.json"
RESULTS_FILE = "results.jsonl"
CACHE_FILE = "scores.sqlite"


def write_whole(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a file under a temporary name and renames it, so it is never incomplete.

  Args:
    path: the file; replaced if it exists.
    content: text, written as UTF-8, or bytes.
  """
  data = content.encode("utf-8") if isinstance(content, str) else content
  # Each writer uses its own temporary name, so that two never write to the same file.
  temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
  try:
    with temporary.open("xb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
  """Waits until no other process holds the lock on this file, then holds it.

  Args:
    path: the lock file; created if missing, and left in place.
  """
  with path.open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
    yield
