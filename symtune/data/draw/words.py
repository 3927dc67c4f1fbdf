"""The random words of many keys at once, and numbers made of them, as arrays.

These are the numbers of `keyed_generator` (data/rng.py), bit for bit. Setting a
generator to a key and asking it for a handful of numbers takes NumPy far longer than
the numbers themselves; a window of prompts draws them side by side.

A generator uses its 64-bit words up in *halves*, the low one first.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Int64, UInt32, UInt64

from symtune.data.draw.ragged import owners_of, places_of, starts_of

HALVES = 8  # of a Philox block

# Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": Philox4x64-10.
_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_WEYL = np.asarray([[0x9E3779B97F4A7C15], [0xBB67AE8584CAA73B]], np.uint64)
_LOW, _HALF = np.uint64(2**32 - 1), np.uint64(32)


def philox_keys(texts: Iterable[str]) -> UInt64[np.ndarray, "keys 2"]:
  """The keys of generators; texts are those of `key_text` (data/rng.py)."""
  digests = [hashlib.sha256(text.encode()).digest()[:16] for text in texts]
  return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)


def philox_halves(
  keys: UInt64[np.ndarray, "keys 2"], blocks: Int64[np.ndarray, "keys"]
) -> UInt32[np.ndarray, "_halves"]:
  """The first words of each key.

  Args:
    keys: from `philox_keys`.
    blocks: how many blocks of each key; each is four words.

  Returns:
    The words' halves, key after key, in the order in which they are used up.
  """
  key = np.repeat(keys, blocks, axis=0).T
  words = np.zeros((4, key.shape[1]), np.uint64)
  words[0] = places_of(blocks) + 1  # NumPy counts before it makes a block
  for _ in range(_ROUNDS):
    high_0, low_0 = _multiply(words[0], _MULTIPLIERS[0])
    high_1, low_1 = _multiply(words[2], _MULTIPLIERS[1])
    words = np.stack(
      (high_1 ^ words[1] ^ key[0], low_1, high_0 ^ words[3] ^ key[1], low_0)
    )
    key = key + _WEYL
  return np.ascontiguousarray(words.T, "<u8").view("<u4").reshape(-1)


def bounded(
  halves: UInt32[np.ndarray, "draws"], bounds: Int64[np.ndarray, "draws"]
) -> tuple[Int64[np.ndarray, "draws"], Bool[np.ndarray, "draws"]]:
  """Numbers from 0 below bounds, each from one half, as `Generator.integers` does it.

  Lemire 2019, "Fast Random Integer Generation in an Interval", section 4: the high half
  of half x bound, unless the low one is so small that another draw may be needed.

  Args:
    halves: random bits.
    bounds: 1 to 2**32 - 1; the number below 1 is 0, whatever the half.

  Returns:
    The numbers, and which of them the generator may draw again: about bound in 2**32,
    for which it must be asked itself.
  """
  limits = bounds.astype(np.uint64)
  product = halves.astype(np.uint64) * limits
  return (product >> _HALF).astype(np.int64), (product & _LOW) < limits


def bounded_in_turn(
  halves: UInt32[np.ndarray, "_halves"],
  starts: Int64[np.ndarray, "owners"],
  counts: Int64[np.ndarray, "owners"],
  bounds: Int64[np.ndarray, "draws"],
) -> tuple[
  Int64[np.ndarray, "draws"], Int64[np.ndarray, "owners"], Bool[np.ndarray, "owners"]
]:
  """Numbers below bounds that generators draw one after another.

  Args:
    halves: random bits of all owners.
    starts: where each owner's next half is.
    counts: how many numbers each draws.
    bounds: of the numbers, owner by owner; a bound of 1 uses no half up.

  Returns:
    The numbers, how many halves each owner has used, and which owners may have drawn
    again; see `bounded`.
  """
  used = np.concatenate([np.zeros(1, np.int64), np.cumsum(bounds > 1)])
  first = starts_of(counts)
  owners = owners_of(counts)
  at = (starts - used[first])[owners] + used[:-1]
  numbers, unsure = bounded(halves[np.minimum(at, len(halves) - 1)], bounds)
  again = np.bincount(owners, unsure, len(counts)) > 0
  return numbers, used[first + counts] - used[first], again


def _multiply(
  words: UInt64[np.ndarray, "words"], constant: np.uint64
) -> tuple[UInt64[np.ndarray, "words"], UInt64[np.ndarray, "words"]]:
  """High and low words of products, by halves."""
  low, high = words & _LOW, words >> _HALF
  low_c, high_c = constant & _LOW, constant >> _HALF
  middle = high * low_c + (low * low_c >> _HALF)
  other = low * high_c + (middle & _LOW)
  return high * high_c + (middle >> _HALF) + (other >> _HALF), words * constant
