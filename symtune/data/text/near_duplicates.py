"""Find texts that are nearly the same: most of their words stand in common runs.

A text is reduced to its words: no case, no punctuation, and none of the marks of
tokenized text ("does n't", "-lrb-"); a word repeated in a row counts once ("@user
@user"). A word is *covered* if it stands in a run of four words that both texts have.
The overlap of two texts is the covered share of the words of the shorter text:

  a   the film is a joy from start to the very end
  b   This film is a joy, from start to the very end!  10 of 11 words are covered: 0.91

One edited word leaves the words of the runs around it covered. Boilerplate, which is in
very many texts, is no evidence: its runs do not count, nor do words in no other run.
"""

import collections
import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from symtune.data.ragged import owners_of, places_of, starts_of

RUN = 4
# Few common words are no evidence. Texts of fewer than five words overlap with nothing,
# and those of up to eight only with a text that contains them: "Who was the first
# president?" asks for another answer than "Who was the third president?". Texts of up
# to 25 words have to share four in five, longer ones at least 20.
FEWEST_WORDS, FEWEST_WORDS_TO_DIFFER = 5, 9
_SHORT_SHARE, _ENOUGH_WORDS = 0.8, 20
# A run is boilerplate if it would make more pairs of texts than this.
_MOST_PAIRS = 10_000
_BLOCK = 2**22  # pairs of runs that are looked at together; bounds the memory
# Odd multipliers of a polynomial hash modulo 2**64 (those of SplitMix64).
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASE = np.uint64(0xBF58476D1CE4E5B9)

_BREAK = "\0"  # between texts, so that all are normalised in one call
_BRACKETS = re.compile("-[lr][rsc]b-")  # as the Penn Treebank writes them
_NEGATIONS = re.compile(r"\s?n['’]t\b")
_CLITICS = re.compile(r"\s?['’](s|re|ve|ll|d|m)\b")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlaps:
  """Pairs of texts that are nearly the same, sorted by (left, right).

  Attributes:
    left: Index of the first text.
    right: Index of the second text.
    share: Covered share of the words of the shorter text, above 0 up to 1.
  """

  left: Int64[np.ndarray, "pairs"]
  right: Int64[np.ndarray, "pairs"]
  share: Float64[np.ndarray, "pairs"]


class _LettersAndDigits(dict[int, str]):
  """For `str.translate`: all characters but letters, marks and digits are spaces."""

  def __missing__(self, code: int) -> str:
    kept = code == 0 or unicodedata.category(chr(code))[0] in "LMN"
    self[code] = chr(code) if kept else " "
    return self[code]


_LETTERS_AND_DIGITS = _LettersAndDigits()  # remembers the characters that it met


def plain_texts(texts: Sequence[str]) -> list[str]:
  """The words of texts, joined by single spaces; see above for what is left out."""
  if not texts:
    return []
  whole = _BREAK.join(texts)
  if whole.count(_BREAK) >= len(texts):  # a text holds one itself
    whole = _BREAK.join([text.replace(_BREAK, " ") for text in texts])
  whole = unicodedata.normalize("NFKC", whole).casefold()
  if "-" in whole:
    whole = _BRACKETS.sub(" ", whole)
  if "'" in whole or "’" in whole:
    whole = _CLITICS.sub(r"\1", _NEGATIONS.sub("nt", whole))
  whole = whole.translate(_LETTERS_AND_DIGITS)
  return [" ".join(text.split()) for text in whole.split(_BREAK)]


def find_overlaps(
  left: Sequence[str],
  right: Sequence[str] | None,
  *,
  threshold: float,
  fewest_words: int = FEWEST_WORDS,
) -> Overlaps:
  """Pairs of a left and a right text that are nearly the same.

  Args:
    left: Texts, such as those of a tuning task.
    right: Texts, such as those of an evaluation task; None compares the left texts with
      each other, and finds each pair in both orders.
    threshold: Smallest overlap that counts, above 0 up to 1. Texts of up to eight words
      need 1.0, those of up to 25 need 0.8, longer ones at least 20 covered words.
    fewest_words: Shorter texts overlap with nothing.

  Returns:
    The pairs.
  """
  plain = plain_texts(left)
  plain = [*plain, *(plain if right is None else plain_texts(right))]
  words, lengths = _number_words(plain, fewest_words)
  if not len(words):
    none = np.zeros(0, np.int64)
    return Overlaps(left=none, right=none, share=np.zeros(0))
  runs, owner, start = _number_runs(words, lengths)
  is_left = owner < len(left)
  count = int(runs.max(initial=-1)) + 1
  in_left = np.bincount(runs[is_left], minlength=count)
  in_right = np.bincount(runs[~is_left], minlength=count)
  tells = in_left * in_right <= _MOST_PAIRS
  sizes = np.zeros(len(lengths), np.int64)
  told = tells[runs]
  texts, sizes_told = _count_covered(owner[told], start[told])
  sizes[texts] = sizes_told
  found = [
    np.stack(pairs)
    for pairs in _find_pairs(
      (runs[is_left], owner[is_left], start[is_left]),
      (runs[~is_left], owner[~is_left], start[~is_left]),
      np.where(tells, in_right, 0),
    )
  ]
  i, j, covered = np.concatenate([np.zeros((3, 0), np.int64), *found], axis=1)
  shorter = np.minimum(sizes[i], sizes[j])
  needed = np.maximum(
    threshold * shorter, np.minimum(_SHORT_SHARE * shorter, _ENOUGH_WORDS)
  )
  kept = covered >= np.where(shorter < FEWEST_WORDS_TO_DIFFER, shorter, needed)
  if right is None:
    kept &= i != j - len(left)
  i, j, share = i[kept], j[kept], covered[kept] / shorter[kept]
  return Overlaps(left=i, right=j - len(left), share=share)


def _number_words(
  plain: Sequence[str], fewest: int
) -> tuple[Int64[np.ndarray, "words"], Int64[np.ndarray, "texts"]]:
  """A number for every word, and how many words each text has; 0 if too few."""
  texts = [text.split() for text in plain]
  lengths = np.asarray([len(text) for text in texts], np.int64)
  numbers: dict[str, int] = collections.defaultdict(itertools.count().__next__)
  flat = map(numbers.__getitem__, itertools.chain.from_iterable(texts))
  words = np.fromiter(flat, np.int64, int(lengths.sum()))
  owner = owners_of(lengths)
  new = np.ones(len(words), bool)
  new[1:] = (words[1:] != words[:-1]) | (owner[1:] != owner[:-1])
  lengths = np.bincount(owner[new], minlength=len(texts))
  long = lengths >= fewest
  return words[new & long[owner]], np.where(long, lengths, 0)


def _number_runs(
  words: Int64[np.ndarray, "words"], lengths: Int64[np.ndarray, "texts"]
) -> tuple[
  Int64[np.ndarray, "runs"], Int64[np.ndarray, "runs"], Int64[np.ndarray, "runs"]
]:
  """A number for each run of words, the same for equal runs; its text and its start."""
  counts = np.maximum(lengths - RUN + 1, 0)
  owner = owners_of(counts)
  start = starts_of(lengths)[owner] + places_of(counts)
  mixed = (words.astype(np.uint64) + np.uint64(1)) * _MIX
  mixed ^= mixed >> np.uint64(31)
  hashes = np.zeros(len(owner), np.uint64)
  for step in range(RUN):
    hashes = hashes * _BASE + mixed[start + step]
  return np.unique(hashes, return_inverse=True)[1].astype(np.int64), owner, start


def _find_pairs(
  left: tuple[np.ndarray, np.ndarray, np.ndarray],
  right: tuple[np.ndarray, np.ndarray, np.ndarray],
  in_right: Int64[np.ndarray, "numbers"],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Pairs of texts that share runs, with the words that are covered in both.

  Args:
    left: number, text and start of each run, in the order of the texts.
    right: the same of the right texts.
    in_right: in how many places on the right each run counts.

  Yields:
    Left text, right text and covered words of pairs, block by block.
  """
  runs, owner, start = left
  order = np.argsort(right[0], kind="stable")
  sorted_runs, right_owner, right_start = (part[order] for part in right)
  counts = in_right[runs]
  # Blocks end where a text ends.
  block = (np.cumsum(counts) - counts) // _BLOCK
  last = np.flatnonzero(np.diff(owner, append=-1))
  block = np.repeat(block[last], np.diff(last, prepend=-1))
  bounds = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(runs)]
  for first, end in itertools.pairwise(bounds):
    now = np.repeat(np.arange(first, end), counts[first:end])
    places = places_of(counts[first:end])
    there = np.searchsorted(sorted_runs, runs[now], side="left") + places
    if not len(now):
      continue
    base = np.int64(right_owner.max()) + 1
    pairs = owner[now] * base + right_owner[there]
    found, covered = _count_covered(pairs, start[now])
    _, covered_right = _count_covered(pairs, right_start[there])
    yield found // base, found % base, np.minimum(covered, covered_right)


def _count_covered(
  key: Int64[np.ndarray, "runs"], start: Int64[np.ndarray, "runs"]
) -> tuple[Int64[np.ndarray, "keys"], Int64[np.ndarray, "keys"]]:
  """How many words the runs of each key cover; keys ascending."""
  order = np.lexsort((start, key))
  key, start = key[order], start[order]
  new = _starts_anew(key)
  words = np.full(len(key), RUN)
  words[1:] = np.where(new[1:], RUN, np.minimum(np.diff(start), RUN))
  first = np.flatnonzero(new)
  if not len(first):
    return first, first
  return key[first], np.add.reduceat(words, first)


def _starts_anew(key: Int64[np.ndarray, "runs"]) -> Bool[np.ndarray, "runs"]:
  new = np.ones(len(key), bool)
  new[1:] = key[1:] != key[:-1]
  return new
