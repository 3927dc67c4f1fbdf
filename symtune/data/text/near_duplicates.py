"""Find texts that are nearly the same: they share word n-grams.

A text is reduced to its words, without case and punctuation; a word repeated in a row
counts once ("@user @user @user"). Its n-grams are all runs of `n` words, or the whole
text if it has fewer words. The overlap of two texts is the share of the n-grams of the
shorter text that the other text also has:

  a   the film is a joy from start to end        n = 4: 6 n-grams
  b   This film is a joy, from start to finish!  4 of its 6 are in a: overlap 0.67
"""

import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt64

DEFAULT_WORDS = 8
_WORD = re.compile(r"\w+")
# Odd multipliers of a polynomial hash modulo 2**64 (those of SplitMix64).
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASE = np.uint64(0xBF58476D1CE4E5B9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlaps:
  """Pairs of texts that share n-grams, sorted by (left, right).

  Attributes:
    left: Index of the first text.
    right: Index of the second text.
    share: Share of the n-grams of the shorter text, above 0 up to 1.
  """

  left: Int64[np.ndarray, "pairs"]
  right: Int64[np.ndarray, "pairs"]
  share: Float64[np.ndarray, "pairs"]


def find_overlaps(
  left: Sequence[str],
  right: Sequence[str],
  *,
  threshold: float,
  words: int = DEFAULT_WORDS,
) -> Overlaps:
  """Pairs of a left and a right text that overlap by at least `threshold`.

  Args:
    left: Texts, such as those of a tuning task.
    right: Texts, such as those of an evaluation task.
    threshold: Smallest overlap that counts, above 0 up to 1.
    words: Number of words in an n-gram.

  Returns:
    The pairs; texts without words overlap with nothing.
  """
  ids: dict[str, int] = {}
  left_grams, left_owner = _grams([_word_ids(t, ids) for t in left], words)
  right_grams, right_owner = _grams([_word_ids(t, ids) for t in right], words)
  first = np.searchsorted(right_grams, left_grams, side="left")
  last = np.searchsorted(right_grams, left_grams, side="right")
  counts = last - first
  # One entry for each (n-gram of a left text, right text that has it).
  starts = np.repeat(first - (np.cumsum(counts) - counts), counts)
  matches = right_owner[starts + np.arange(counts.sum())]
  pairs, shared = np.unique(
    np.repeat(left_owner, counts) * len(right) + matches, return_counts=True
  )
  i, j = (pairs // len(right), pairs % len(right)) if len(right) else (pairs, pairs)
  sizes_left = np.bincount(left_owner, minlength=len(left))
  sizes_right = np.bincount(right_owner, minlength=len(right))
  share = shared / np.minimum(sizes_left[i], sizes_right[j])
  kept = share >= threshold
  return Overlaps(left=i[kept], right=j[kept], share=share[kept])


def _word_ids(text: str, ids: dict[str, int]) -> Int64[np.ndarray, "words"]:
  """The id of each word; new words are added to `ids`."""
  folded = unicodedata.normalize("NFKC", text).casefold()
  words = (word for word, _ in itertools.groupby(_WORD.findall(folded)))
  return np.asarray([ids.setdefault(word, len(ids)) for word in words], np.int64)


def _grams(
  texts: Sequence[np.ndarray], words: int
) -> tuple[UInt64[np.ndarray, "grams"], Int64[np.ndarray, "grams"]]:
  """Hashes of the distinct n-grams of each text, sorted, and the text of each hash."""
  lengths = np.asarray([len(text) for text in texts], np.int64)
  flat = np.concatenate([np.zeros(0, np.int64), *texts]).astype(np.uint64)
  flat = (flat + np.uint64(1)) * _MIX
  flat ^= flat >> np.uint64(31)
  starts = np.cumsum(lengths) - lengths
  numbers = np.where(lengths > 0, np.maximum(lengths - words + 1, 1), 0)
  owner = np.repeat(np.arange(len(texts)), numbers)
  offset = np.arange(numbers.sum()) - np.repeat(np.cumsum(numbers) - numbers, numbers)
  first = starts[owner] + offset
  run = np.minimum(lengths[owner], words)
  grams = np.zeros(len(owner), np.uint64)
  for step in range(words):
    inside = step < run
    word = flat[np.where(inside, first + step, 0)] if len(flat) else grams
    grams = np.where(inside, grams * _BASE + word, grams)
  order = np.lexsort((owner, grams))
  grams, owner = grams[order], owner[order]
  new = np.ones(len(grams), bool)
  new[1:] = (grams[1:] != grams[:-1]) | (owner[1:] != owner[:-1])
  return grams[new], owner[new]
