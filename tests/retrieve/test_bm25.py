"""Scores against a hand-computed example and an independent implementation."""

import math
import pickle

import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from symtune.retrieve.bm25 import K1, B, Bm25, best, index_words, make_bm25

TEXTS = (
  "The cat sat on a cat mat",
  "dogs chase the cat",
  "Rivers flow north",
  "of the and",
)


def test_words_have_no_case_and_no_stop_words():
  assert index_words("The Cat's mat, on 3 Mats!") == ["cat", "s", "mat", "3", "mats"]


def test_scores_equal_a_hand_computed_example():
  # Lengths without stop words: 4 (cat sat cat mat), 3, 3, 0; their mean is 2.5.
  idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))  # "cat" is in two of four texts
  first = idf * 2 / (2 + 0.9 * (1 - 0.4 + 0.4 * 4 / 2.5))
  second = idf * 1 / (1 + 0.9 * (1 - 0.4 + 0.4 * 3 / 2.5))
  found = make_bm25(TEXTS).scores("A cat?")
  np.testing.assert_allclose(found, [first, second, 0, 0], rtol=1e-6)
  twice = make_bm25(TEXTS).scores("cat cat")
  np.testing.assert_allclose(twice, 2 * found, rtol=1e-6)


class Lucene(BM25Okapi):
  """rank-bm25, whose own formula has another idf and a constant factor k1 + 1."""

  def _calc_idf(self, nd):
    for word, count in nd.items():
      self.idf[word] = math.log(1 + (self.corpus_size - count + 0.5) / (count + 0.5))


def test_scores_equal_rank_bm25():
  rng = np.random.default_rng(0)
  vocabulary = [f"w{number}" for number in range(50)]
  texts = [
    " ".join(rng.choice(vocabulary, size=int(rng.integers(1, 40)))) for _ in range(200)
  ]
  ours = make_bm25(texts)
  theirs = Lucene([index_words(text) for text in texts], k1=K1, b=B)
  for text in texts[:20]:
    expected = theirs.get_scores(index_words(text)) / (K1 + 1)
    np.testing.assert_allclose(ours.scores(text), expected, rtol=1e-5, atol=1e-6)


def test_pickled_index_scores_alike_and_needs_no_bm25s(monkeypatch):
  sent = pickle.dumps(make_bm25(TEXTS))
  monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
  read: Bm25 = pickle.loads(sent)
  assert read.scores("dogs").argmax() == 1


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("k", [1, 3, 70])
def test_best_are_those_of_a_full_sort(count, k):
  rng = np.random.default_rng(count)
  scores = rng.integers(0, 20, count).astype(np.float32)  # many are equal
  order = np.lexsort((np.arange(count), -scores))
  expected = [i for i in order if scores[i] > 0][:k]
  assert best(scores, k).tolist() == expected
