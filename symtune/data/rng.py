"""Random generators keyed by what they are for, never by order, host or batch size."""

import hashlib
import json

import numpy as np


def keyed_generator(*key: int | str) -> np.random.Generator:
  """A generator that depends on `key` alone.

  The key's SHA-256 seeds NumPy's counter-based Philox, so the same key gives the same
  numbers on every machine, in every process and in any order of calls.

  Args:
    *key: what the numbers are for, for example `(seed, fingerprint, row, "symbols")`.
      Strings and integers never collide: `("1",)` and `(1,)` differ.

  Returns:
    A fresh generator.
  """
  digest = hashlib.sha256(json.dumps(key, separators=(",", ":")).encode()).digest()
  return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], "<u8")))
