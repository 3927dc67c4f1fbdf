"""BM25 of some texts for queries: Lucene's variant with Pyserini's k1 and b.

  score(query, text) = sum over words w of the query of
    ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 (1 - b + b length / mean))

with N texts of `mean` words, df of which hold w, tf times in this one (Robertson and
Zaragoza 2009; Kamphuis et al. 2020 for Lucene's variant). bm25s computes all summands
beforehand, so that a query is a few sums of columns.

bm25s is imported where texts are indexed only: its import starts JAX, which processes
that draw prompts must not do.
"""

import array
import collections
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from symtune.errors import SymtuneError

# Pyserini's defaults, as in In-Context RALM; bm25s' own are 1.5 and 0.75.
K1, B, METHOD = 0.9, 0.4, "lucene"
_WORD = re.compile(r"\w+")
# Lucene's EnglishAnalyzer leaves these out (Lucene, EnglishAnalyzer.java). Its stemmer
# is not used here.
_STOP = (
  "a an and are as at be but by for if in into is it no not of "
  "on or such that the their then there these they this to was will with"
)
STOP_WORDS = frozenset(_STOP.split())
_BLOCK = 64  # scores whose largest one is looked at first


class NoWordsError(SymtuneError):
  """Texts that cannot be indexed, because none has a word."""


def index_words(text: str) -> list[str]:
  """The words of a text that count: letters and digits, without case and stop words."""
  return [w for w in _WORD.findall(text.casefold()) if w not in STOP_WORDS]


class Bm25:
  """The summands of all scores, by word; can be sent to other processes.

  Attributes:
    words: number of each word.
    summands: of each word, one word after another.
    texts: the text of each summand.
    starts: where each word's summands start, and where the last one's end.
    count: number of texts.
  """

  def __init__(self, words: dict[str, int], scores: dict[str, Any]):
    """Takes what bm25s keeps: its vocabulary, and its table column by column."""
    self.words = words
    self.summands: np.ndarray = scores["data"]
    self.texts: np.ndarray = scores["indices"]
    self.starts: np.ndarray = scores["indptr"]
    self.count = int(scores["num_docs"])

  def scores(self, query: str) -> Float32[np.ndarray, "texts"]:
    """The score of every text; 0 without a word in common."""
    found = np.zeros(self.count, np.float32)
    for word, times in collections.Counter(index_words(query)).items():
      number = self.words.get(word)
      if number is not None:
        part = slice(self.starts[number], self.starts[number + 1])
        np.add.at(found, self.texts[part], np.float32(times) * self.summands[part])
    return found


def make_index(texts: Iterable[str]) -> Any:
  """A `bm25s.BM25` of texts, which are read once, one after another.

  Args:
    texts: at least one.

  Raises:
    NoWordsError: no text has a word.
  """
  import bm25s

  words: dict[str, int] = {}
  ids = [
    array.array("i", [words.setdefault(w, len(words)) for w in index_words(text)])
    for text in texts
  ]
  if not words:
    raise NoWordsError("got no texts with words, expected at least one.")
  index = bm25s.BM25(k1=K1, b=B, method=METHOD, backend="numpy", csc_backend="scipy")
  index.index((ids, words), show_progress=False)
  return index


def make_bm25(texts: Iterable[str]) -> Bm25:
  """Indexes texts in memory; see `make_index`."""
  index = make_index(texts)
  return Bm25(index.vocab_dict, index.scores)


def best(scores: Float32[np.ndarray, "texts"], k: int) -> Int64[np.ndarray, "_best"]:
  """At most k texts with the highest scores above 0, best first; of equals, the first.

  Args:
    scores: of all texts.
    k: at least 1.
  """
  starts = np.arange(0, len(scores), _BLOCK)
  largest = np.maximum.reduceat(scores, starts)  # the k-th of these is in the result
  bound = np.partition(largest, -k)[-k] if k < len(largest) else np.float32(0)
  candidates = np.flatnonzero((scores >= bound) & (scores > 0))
  order = np.lexsort((candidates, -scores[candidates]))[:k]
  return candidates[order].astype(np.int64)
