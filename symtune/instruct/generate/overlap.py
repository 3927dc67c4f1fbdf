"""How alike a text is to each of many others: ROUGE-L, for all of them at once.

The numbers are those of the package rouge-score without a stemmer, to the last bit. It
compares two texts cell by cell; here the longest common subsequence with every text is
found at once, 64 words of the query per machine word (Hyyrö 2004, "Bit-parallel LCS
computation revisited"): bit i of V is 0 where the subsequence grows at word i,

  U = V & M[w];  V = (V + U) | (V - U)

for each word w of the other text, where bit i of M[w] says whether word i is w.
"""

import re

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt64

_WORD = re.compile("[a-z0-9]+")
_BITS = 64
_NO_WORD = 0  # fills the end of a row, and is no word of any query
_STEP = 8  # rows hold texts of up to 8, 16, 24, ... words
_FIRST_ROWS = 64
_ALL = np.uint64(2**64 - 1)


class OverlapIndex:
  """Texts that others are compared with, in the order in which they were added."""

  def __init__(self):
    """Starts without texts."""
    self._ids: dict[str, int] = {}
    self._rooms: dict[int, _Room] = {}
    self._count = 0

  def __len__(self) -> int:
    return self._count

  def add(self, text: str) -> None:
    """Adds a text."""
    words = split_words(text)
    ids = [self._ids.setdefault(word, 1 + len(self._ids)) for word in words]
    width = max(-(-len(ids) // _STEP), 1) * _STEP
    room = self._rooms.setdefault(width, _Room(width))
    room.add(ids, self._count)
    self._count += 1

  def rouge_l(self, text: str) -> Float64[np.ndarray, " texts"]:
    """The F-measure of ROUGE-L with each text, 0 to 1, in the order of the texts."""
    words = split_words(text)
    found = np.zeros(self._count)
    if words:
      masks = self._masks(words)
      for room in self._rooms.values():
        found[room.texts] = room.rouge_l(masks, len(words))
    return found

  def _masks(self, words: list[str]) -> UInt64[np.ndarray, "blocks ids"]:
    """At which places of a query each known word stands, 64 places per block."""
    blocks = -(-len(words) // _BITS)
    masks = np.zeros((blocks, 1 + len(self._ids)), np.uint64)
    for place, word in enumerate(words):
      number = self._ids.get(word)
      if number is not None:
        masks[place // _BITS, number] |= np.uint64(1 << place % _BITS)
    return masks


def split_words(text: str) -> list[str]:
  """The words that ROUGE-L compares: runs of ASCII letters and digits, lower case."""
  return _WORD.findall(text.lower())


class _Room:
  """Texts of about the same number of words, as columns of an array that grows."""

  def __init__(self, width: int):
    self._words = np.full((width, _FIRST_ROWS), _NO_WORD, np.int32)
    self._lengths = np.zeros(_FIRST_ROWS, np.int64)
    self._texts = np.zeros(_FIRST_ROWS, np.int64)
    self._count = 0

  @property
  def texts(self) -> Int64[np.ndarray, " rows"]:
    """The numbers of the texts."""
    return self._texts[: self._count]

  def add(self, ids: list[int], text: int) -> None:
    """Adds a text of these words."""
    if self._count == len(self._texts):
      self._words = np.pad(self._words, ((0, 0), (0, self._count)))
      self._lengths = np.pad(self._lengths, (0, self._count))
      self._texts = np.pad(self._texts, (0, self._count))
    self._words[: len(ids), self._count] = ids
    self._lengths[self._count], self._texts[self._count] = len(ids), text
    self._count += 1

  def rouge_l(
    self, masks: UInt64[np.ndarray, "blocks ids"], length: int
  ) -> Float64[np.ndarray, " rows"]:
    """The F-measures with a query of so many words."""
    lengths = self._lengths[: self._count]
    common = _common_subsequence(masks, self._words[:, : self._count])
    precision, recall = common / length, common / np.maximum(lengths, 1)
    # In the order of rouge-score's `fmeasure`, which decides about the last bit.
    return np.divide(
      2 * precision * recall,
      precision + recall,
      out=np.zeros(len(common)),
      where=common > 0,
    )


def _common_subsequence(
  masks: UInt64[np.ndarray, "blocks ids"], words: Int32[np.ndarray, "width rows"]
) -> Int64[np.ndarray, " rows"]:
  """The length of the longest common subsequence of a query with each column."""
  state = np.full((len(masks), words.shape[1]), _ALL)
  for column in words:
    carry = np.uint64(0)
    for block, mask in zip(state, masks, strict=True):
      grown = block & mask[column]
      total = block + grown
      # A sum that wraps around is smaller than what was added.
      over = total < block
      total += carry
      over |= total < carry
      block[:] = total | (block - grown)
      carry = over.astype(np.uint64)
  return np.bitwise_count(~state).sum(axis=0).astype(np.int64)
