"""Scores on disk, keyed by checkpoint and question, so that none is computed twice.

One SQLite file holds the answers of any number of checkpoints. A key is a hash of the
checkpoint, the prompt's tokens and the candidates' tokens, so equal questions of
different probes share an answer. Each batch is written as soon as it is computed, so a
killed run loses at most one batch. Deleting the file only costs time.
"""

import contextlib
import hashlib
import pathlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from symtune.errors import SymtuneError


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
    """Opens the file; creates it if missing.

    Args:
      path: path of the file; only one process may use it at a time.

    Raises:
      SymtuneError: the file is not a cache of scores.
    """
    self._path = path
    with self._connect() as connection:
      connection.execute(
        "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, value BLOB)"
      )

  def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """The answers that are there."""
    found = {}
    with self._connect() as connection:
      for key in keys:
        row = connection.execute(
          "SELECT value FROM scores WHERE key = ?", (key,)
        ).fetchone()
        if row is not None:
          found[key] = np.frombuffer(row[0], "<f8")
    return found

  def put(self, values: Mapping[bytes, np.ndarray]) -> None:
    """Keeps answers; those that are there already stay."""
    rows = [(k, np.asarray(v, "<f8").tobytes()) for k, v in values.items()]
    with self._connect() as connection:
      connection.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?)", rows)

  @contextlib.contextmanager
  def _connect(self) -> Iterator[sqlite3.Connection]:
    """Opens a connection for one transaction."""
    try:
      with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
        yield connection
    except sqlite3.DatabaseError as error:
      raise SymtuneError(
        f"{self._path} cannot be used as a cache of scores ({error}). Delete it: it "
        f"only saves time."
      ) from error
