"""Scores on disk, keyed by checkpoint and question, so that none is computed twice.

One SQLite file holds the answers of any number of checkpoints. A key is a hash of all
that an answer depends on: the checkpoint, what computes it, the prompt's tokens and the
candidates' tokens, so equal questions of different probes share an answer. Each batch
is written as soon as it is computed, so a killed run loses at most one batch.

Every value carries a checksum of its key and its bytes. A value that fails it is
computed again, and a file that SQLite cannot use is set aside and begun anew: a damaged
cache costs time, never a number.
"""

import contextlib
import hashlib
import pathlib
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from symtune.errors import SymtuneError

_Result = TypeVar("_Result")

# Part of the table's name: tables of other versions are not read.
_TABLE = "checked_scores_1"
_CHECK_BYTES = 8
_SQLITE_FILES = ("", "-journal", "-wal", "-shm")


@runtime_checkable
class ScoreCache(Protocol):
  """Keeps answers by key."""

  def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """The answers that are there."""
    ...

  def put(self, values: Mapping[bytes, np.ndarray]) -> None:
    """Keeps answers; those that are there already stay."""
    ...


def question_key(
  checkpoint: str, prompt: np.ndarray, asked: Sequence[np.ndarray]
) -> bytes:
  """The key of one question.

  Args:
    checkpoint: identifies the weights and how they are used.
    prompt: token ids, [tokens].
    asked: token ids of each candidate, or the largest number of tokens to generate.

  Returns:
    16 bytes.
  """
  digest = hashlib.sha256(checkpoint.encode())
  for ids in (prompt, *asked):
    digest.update(len(ids).to_bytes(8, "little"))
    digest.update(np.ascontiguousarray(ids, np.int32).tobytes())
  return digest.digest()[:16]


class MemoryCache:
  """Keeps answers as long as the process lives."""

  def __init__(self):
    self._values: dict[bytes, np.ndarray] = {}

  def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """The answers that are there."""
    return {key: self._values[key] for key in keys if key in self._values}

  def put(self, values: Mapping[bytes, np.ndarray]) -> None:
    """Keeps answers; those that are there already stay."""
    for key, value in values.items():
      self._values.setdefault(key, value)


class DiskCache:
  """Keeps answers in a file; arrays of float64."""

  def __init__(self, path: pathlib.Path):
    """Opens the file; creates it if missing, and sets it aside if it is damaged.

    Args:
      path: path of the file; only one process may use it at a time.

    Raises:
      SymtuneError: the file can be neither used nor replaced.
    """
    self._path = path
    self._run(_create)

  def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """The answers that are there and whole."""
    rows = self._run(lambda connection: _select(connection, keys))
    return {
      key: np.frombuffer(row[_CHECK_BYTES:], "<f8")
      for key, row in rows.items()
      if row[:_CHECK_BYTES] == _checksum(key, row[_CHECK_BYTES:])
    }

  def put(self, values: Mapping[bytes, np.ndarray]) -> None:
    """Keeps answers; those that are there already stay, unless they are damaged."""
    whole = self.get(list(values))
    contents = {
      k: np.asarray(v, "<f8").tobytes() for k, v in values.items() if k not in whole
    }
    rows = [(k, _checksum(k, content) + content) for k, content in contents.items()]
    self._run(
      lambda connection: connection.executemany(
        f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?)", rows
      )
    )

  def _run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
    """Does work in one transaction; on a damaged file again, with a new one."""
    try:
      with self._connect() as connection:
        return work(connection)
    except sqlite3.OperationalError as error:
      if not _is_damage(error):  # a full disk, no permission, another process
        raise self._unusable(error) from error
      problem = error
    except sqlite3.DatabaseError as error:
      problem = error
    self._set_aside(problem)
    try:
      with self._connect() as connection:
        _create(connection)
        return work(connection)
    except sqlite3.DatabaseError as error:
      raise self._unusable(error) from error

  @contextlib.contextmanager
  def _connect(self) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
      yield connection

  def _set_aside(self, problem: sqlite3.Error) -> None:
    aside = self._path.with_name(f"{self._path.name}.damaged")
    try:
      self._path.replace(aside)
      for ending in _SQLITE_FILES[1:]:
        self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
    except OSError as error:
      raise self._unusable(error) from error
    print(
      f"{self._path} is damaged ({problem}): it was renamed to {aside.name}, and its "
      "scores are computed again.",
      file=sys.stderr,
    )

  def _unusable(self, error: Exception) -> SymtuneError:
    return SymtuneError(
      f"{self._path} cannot be used as a cache of scores ({error}). Check that its "
      f"folder can be written and has space; the file itself may be deleted, since it "
      f"only saves time."
    )


def _create(connection: sqlite3.Connection) -> None:
  (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
  if found != "ok":
    raise sqlite3.DatabaseError(" ".join(found.split()))
  connection.execute(
    f"CREATE TABLE IF NOT EXISTS {_TABLE} (key BLOB PRIMARY KEY, value BLOB)"
  )


def _select(
  connection: sqlite3.Connection, keys: Sequence[bytes]
) -> dict[bytes, bytes]:
  found = {}
  for key in keys:
    row = connection.execute(
      f"SELECT value FROM {_TABLE} WHERE key = ?", (key,)
    ).fetchone()
    if row is not None and isinstance(row[0], bytes):
      found[key] = row[0]
  return found


def _checksum(key: bytes, content: bytes) -> bytes:
  return hashlib.blake2b(content, key=key, digest_size=_CHECK_BYTES).digest()


def _is_damage(error: sqlite3.OperationalError) -> bool:
  """Whether the file's content is at fault, and not its place or another process."""
  damaged = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
  code = getattr(error, "sqlite_errorcode", None)  # None: text that is not UTF-8
  return code is None or code & 0xFF in damaged
