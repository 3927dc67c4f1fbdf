"""Names of a run folder's files, whole writes, and a folder for copies of files."""

import contextlib
import fcntl
import os
import pathlib
import secrets
import tempfile
from collections.abc import Iterator

from symtune.errors import SymtuneError

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


def cache_folder(key: str) -> pathlib.Path:
  """A folder for copies of remote files, which any later process finds again.

  It lies in the machine's temporary folder (TMPDIR names another one) and belongs to
  this user alone: on a shared machine nobody else can put files there.

  Args:
    key: names what is kept, such as a hash of its address and version.

  Returns:
    The folder; it exists.

  Raises:
    SymtuneError: another user has taken the name of this user's folder.
  """
  user = pathlib.Path(tempfile.gettempdir()) / f"symtune-{os.getuid()}"
  user.mkdir(mode=0o700, exist_ok=True)
  if user.is_symlink() or user.stat().st_uid != os.getuid():
    raise SymtuneError(
      f"{user} belongs to another user, so copies kept there cannot be trusted. Remove "
      f"it, or set TMPDIR to a folder of your own."
    )
  folder = user / key
  folder.mkdir(mode=0o700, exist_ok=True)
  return folder
