"""Random generators keyed by what they are for, never by order, host or batch size."""

import hashlib
import json

import numpy as np


def keyed_generator(*key: int | str) -> np.random.Generator:
  """A generator that depends on `key` alone.

  The key's SHA-256 seeds NumPy's counter-based Philox, so the same key gives the same
  numbers on every machine, in every process and in any order of calls.

  Args:
    *key: what the numbers are for, for example `(seed, "rows", window)`. Strings and
      integers never collide: `("1",)` and `(1,)` differ.

  Returns:
    A fresh generator.
  """
  return np.random.Generator(np.random.Philox(key=np.frombuffer(_digest(key), "<u8")))


def stream_key(*key: int | str) -> int:
  """The 64 bits that identify a stream of random words; see data/draw/words.py.

  Args:
    *key: what the stream is for: (seed, fingerprint) for the questions of a task,
      (seed, "tuning") for the prompts of a mixture.
  """
  return int.from_bytes(_digest(key)[:8], "little")


def _digest(key: tuple[int | str, ...]) -> bytes:
  text = json.dumps(key, separators=(",", ":"))
  return hashlib.sha256(text.encode()).digest()[:16]
