"""Names of a run folder's files, whole writes, full disks, and a folder for copies."""

import contextlib
import errno
import fcntl
import os
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator

from symtune.errors import SymtuneError

# The files of a run folder that more than one package uses.
RUN_FILE = "run.json"
DATA_FILE = "data.json"
RESULTS_FILE = "results.jsonl"
QUESTIONS_FILE = "questions.jsonl.gz"
CONTRASTS_FILE = "contrasts.json"
CACHE_FILE = "scores.sqlite"

# What the system says when a disk, a quota or the largest size of a file is reached.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a file under a temporary name and renames it, so it is never incomplete.

  Args:
    path: the file; replaced if it exists.
    content: text, written as UTF-8, or bytes.

  Raises:
    SymtuneError: the disk is full; the file is as it was.
  """
  data = content.encode("utf-8") if isinstance(content, str) else content
  # Each writer uses its own temporary name, so that two never write to the same file.
  temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
  try:
    with disk_errors(path, len(data)):
      with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
      temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def append_text(path: pathlib.Path, text: str) -> None:
  """Appends to a file; the text is on disk when the function returns.

  Args:
    path: the file; created if missing.
    text: whole lines, written as UTF-8.

  Raises:
    SymtuneError: the disk is full; the file is as it was.
  """
  data = text.encode("utf-8")
  with disk_errors(path, len(data)), path.open("ab", buffering=0) as file:
    size = file.seek(0, os.SEEK_END)
    try:
      written = 0
      while written < len(data):  # a disk that is nearly full takes a part
        written += file.write(data[written:])
      os.fsync(file.fileno())
    except OSError:
      file.truncate(size)
      raise


@contextlib.contextmanager
def disk_errors(path: pathlib.Path, needed: int) -> Iterator[None]:
  """Turns the errors of a full disk into a SymtuneError; others pass.

  Args:
    path: what is written, for the message.
    needed: bytes that it needs.
  """
  try:
    yield
  except OSError as error:
    if error.errno is not None and error.errno not in _FULL:
      raise
    reason = error.strerror or str(error)  # NumPy counts bytes, and gives no number
    raise SymtuneError(full_disk(path, needed, reason)) from error


def full_disk(path: pathlib.Path, needed: int, reason: str) -> str:
  """The message for something that a disk has no space for.

  Args:
    path: what was to be written.
    needed: bytes that it needs.
    reason: what the system said, or how much space is left.
  """
  return (
    f"{path} cannot be written: {reason}; it needs {in_bytes(needed)}. Give the disk "
    f"the space or the permission that is missing, or write to another one. Everything "
    f"written before is whole, and the same command goes on from there."
  )


def space_problem(path: pathlib.Path, needed: int) -> SymtuneError | None:
  """What to raise if a disk has no space for something.

  Args:
    path: what is going to be written; its folder is made if missing.
    needed: bytes that it needs.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  free = shutil.disk_usage(path.parent).free
  if free >= needed:
    return None
  return SymtuneError(full_disk(path, needed, f"{in_bytes(free)} are free"))


def in_bytes(count: int) -> str:
  """A number of bytes for people: "412 bytes", "1.5 MB", "44.2 GB"."""
  for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
    if count >= size:
      return f"{count / size:.1f} {unit}"
  return f"{count} bytes"


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
