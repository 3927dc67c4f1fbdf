"""Random generators keyed by what they are for, never by order, host or batch size."""

import functools
import hashlib
import json
import struct
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

_quote = functools.lru_cache(maxsize=4096)(json.dumps)
_two_words = struct.Struct("<QQ").unpack_from


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
  return np.random.Generator(
    np.random.Philox(key=np.asarray(_philox_key(key), np.uint64))
  )


class KeyedGenerator(threading.local):
  """One generator set to key after key: the numbers of `keyed_generator`, in less time.

  Making a Philox takes longer than the few numbers that a prompt draws from it. Each
  call of `at` or `after` ends the use of what the call before returned to the same
  thread; every thread has a generator of its own.
  """

  def __init__(self):
    self._bits = np.random.Philox(key=0)
    self._generator = np.random.Generator(self._bits)
    # Plain numbers for arrays: NumPy reads them one by one, in half the time.
    words = (0, 0, 0, 0)
    state = {"counter": words, "key": (0, 0)}
    self._start: Any = {**self._bits.state, "state": state, "buffer": words}
    self._later: Any = {**self._start, "state": {**state}}

  def at(self, *key: int | str) -> np.random.Generator:
    """The generator at the start of `key`'s numbers; see `keyed_generator`."""
    self._start["state"]["key"] = _philox_key(key)
    self._bits.state = self._start
    return self._generator

  def after(
    self, key: tuple[int, int], taken: int, block: Sequence[int]
  ) -> np.random.Generator:
    """The generator after the first numbers of a key, which were made elsewhere.

    Args:
      key: the two words that SHA-256 makes of a key's text.
      taken: how many halves of words, of 32 bits each, were used up.
      block: the block of four words that holds the last of them.
    """
    words = (taken + 1) // 2
    state = self._later
    state["state"]["key"] = key
    state["state"]["counter"] = ((words + 3) // 4, 0, 0, 0)
    state["buffer"], state["buffer_pos"] = block, (words - 1) % 4 + 1
    state["has_uint32"] = taken % 2
    state["uinteger"] = block[(words - 1) % 4] >> 32
    self._bits.state = state
    return self._generator


def key_text(*key: int | str) -> str:
  """The text whose SHA-256 seeds a key's generator: a JSON list without spaces."""
  # The same bytes as json.dumps with these separators, which takes four times as long.
  parts = [str(part) if type(part) is int else _quote(part) for part in key]
  return f"[{','.join(parts)}]"


def _philox_key(key: tuple[int | str, ...]) -> tuple[int, int]:
  return _two_words(hashlib.sha256(key_text(*key).encode()).digest())
