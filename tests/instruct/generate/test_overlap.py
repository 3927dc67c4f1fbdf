"""ROUGE-L of one text with many, to the last bit as rouge-score has it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from symtune.instruct.generate.overlap import OverlapIndex

_SCORER = RougeScorer(["rougeL"], use_stemmer=False)
_WORDS = ("a", "b", "c", "the", "The", "x1", "1", "don't", "é", "日本", "-", "...")
_TEXTS = st.lists(st.sampled_from(_WORDS), max_size=30).map(" ".join)


def _expected(text, others):
  return [_SCORER.score(other, text)["rougeL"].fmeasure for other in others]


def _index(texts):
  index = OverlapIndex()
  for text in texts:
    index.add(text)
  return index


def test_hand_computed_cases():
  index = _index(["name a big river", "river name", "", "a, BIG: name!"])
  # Common: name a river (3 of 3 and 4), name; nothing; a, or name.
  found = index.rouge_l("Name a river.")
  np.testing.assert_allclose(found, [6 / 7, 2 / 5, 0.0, 2 / 6])
  assert index.rouge_l("...").tolist() == [0.0] * 4
  assert OverlapIndex().rouge_l("a").tolist() == []


@given(st.lists(_TEXTS, max_size=6), _TEXTS)
def test_short_texts_as_rouge_score(others, text):
  assert _index(others).rouge_l(text).tolist() == _expected(text, others)


def test_long_texts_as_rouge_score():
  """Queries of more than 64 words need several machine words and their carries."""
  rng = np.random.default_rng(0)

  def text(length, kinds):
    return " ".join(f"w{i}" for i in rng.integers(0, kinds, length))

  for kinds in (2, 5, 40):
    others = [text(n, kinds) for n in (1, 7, 63, 64, 65, 128, 150)]
    others.append(others[-1])
    index = _index(others)
    for length in (63, 64, 65, 127, 129, 150):
      query = text(length, kinds)
      assert index.rouge_l(query).tolist() == _expected(query, others)
    assert index.rouge_l(others[-1])[-1] == 1.0


def test_texts_keep_their_order_as_the_index_grows():
  rng = np.random.default_rng(0)
  others = [" ".join(rng.choice(_WORDS, n)) for n in rng.integers(0, 40, 300)]
  index = OverlapIndex()
  for number, other in enumerate(others):
    assert len(index) == number
    index.add(other)
  query = " ".join(rng.choice(_WORDS, 20))
  assert index.rouge_l(query).tolist() == _expected(query, others)
