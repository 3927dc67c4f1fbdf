"""Symbols: the paper's categories, disjoint pools, never a label word."""

import dataclasses
import re

import numpy as np
import pytest

from symtune.data.text.symbols import (
  ALL_CATEGORIES,
  SYLLABLES,
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  check_disjoint,
  make_pool,
  match_lengths,
)
from symtune.data.text.vocab import ToyVocab
from symtune.errors import SymtuneError

TUNING, EVALUATION = PoolSplit.TUNING, PoolSplit.EVALUATION


def test_pools_have_the_sizes_and_edges_of_the_paper():
  tuning, evaluation = make_pool(TUNING), make_pool(EVALUATION)
  assert [len(s) for s in tuning.symbols.values()] == [10_000] * 3
  assert [len(s) for s in evaluation.symbols.values()] == [90_000] * 3
  integers, combinations, words = ALL_CATEGORIES
  assert (tuning.symbols[integers][0], tuning.symbols[integers][-1]) == ("0", "9999")
  assert evaluation.symbols[integers][-1] == "99999"
  # Appendix E.1: A to NTP in tuning, NTQ to EQXD in evaluation.
  assert tuning.symbols[combinations][0] == "A"
  assert tuning.symbols[combinations][26] == "AA"
  assert tuning.symbols[combinations][-1] == "NTP"
  assert evaluation.symbols[combinations][0] == "NTQ"
  assert evaluation.symbols[combinations][-1] == "EQXD"
  assert all(re.fullmatch("[a-z]{3,}", w) for w in evaluation.symbols[words])


def test_pools_are_disjoint_and_unique():
  tuning, evaluation = make_pool(TUNING), make_pool(EVALUATION)
  everything = tuning.all_symbols() + evaluation.all_symbols()
  assert len(set(everything)) == len(everything) == 300_000


@pytest.mark.parametrize("size", [0, 10_001])
def test_size_out_of_range_is_refused(size):
  with pytest.raises(SymtuneError, match="expected 1 to 10000"):
    make_pool(TUNING, size_per_category=size)


@pytest.mark.parametrize("categories", [(), (SymbolCategory.WORDS,) * 2])
def test_no_or_repeated_categories_are_refused(categories):
  with pytest.raises(SymtuneError, match="each at most once"):
    make_pool(TUNING, categories)


def test_planted_leak_between_pools_is_reported(toy_pools, toy_vocab):
  tuning, evaluation = toy_pools
  check_disjoint(tuning, evaluation, toy_vocab)
  leaky = SymbolPool(
    split=EVALUATION, symbols={SymbolCategory.INTEGERS: ("7", "10000")}
  )
  with pytest.raises(SymtuneError, match="1 tokenize alike, for example '7' and '7'"):
    check_disjoint(tuning, leaky, toy_vocab)


def test_symbols_that_tokenize_alike_are_reported():
  class Lowercase(ToyVocab):
    def encode(self, text):
      return super().encode(text.lower())

  tuning = SymbolPool(split=TUNING, symbols={SymbolCategory.WORDS: ("ox",)})
  leaky = SymbolPool(split=EVALUATION, symbols={SymbolCategory.COMBINATIONS: ("OX",)})
  with pytest.raises(SymtuneError, match="'OX' and 'ox'"):
    check_disjoint(tuning, leaky, Lowercase(["ox"]))


def test_symbol_with_unknown_piece_is_reported(toy_pools):
  with pytest.raises(SymtuneError, match="symbol '0' has a piece"):
    check_disjoint(*toy_pools, ToyVocab(["a"]))


def test_nonce_words_are_pronounceable_equally_long_and_not_words():
  pools = [make_pool(split, (SymbolCategory.NONCE,)) for split in PoolSplit]
  tuning, evaluation = (set(pool.all_symbols()) for pool in pools)
  assert (len(tuning), len(evaluation)) == (10_000, 90_000)
  assert tuning.isdisjoint(evaluation)
  for symbol in tuning | evaluation:
    assert {symbol[i : i + 2] for i in (0, 2, 4)} <= set(SYLLABLES)
  frequent = make_pool(TUNING, (SymbolCategory.WORDS,)).all_symbols()
  assert (tuning | evaluation).isdisjoint(frequent)


@pytest.mark.shared
def test_matched_words_are_as_long_as_those_of_tuning(shared_data):
  from symtune.data.text.vocab import SentencePieceVocab

  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  tuning, evaluation = map(make_pool, PoolSplit)
  matched = match_lengths(evaluation, tuning, vocab)

  def mean(pool, category):
    return np.mean([len(vocab.encode(s)) for s in pool.symbols[category]])

  assert mean(evaluation, SymbolCategory.WORDS) > 2 * mean(tuning, SymbolCategory.WORDS)
  for category in matched.symbols:
    assert abs(mean(matched, category) - mean(tuning, category)) < 0.05
    assert len(matched.symbols[category]) > 2000
    assert set(matched.symbols[category]) <= set(evaluation.symbols[category])


def test_matching_refuses_pools_that_share_no_length(toy_pools, toy_vocab):
  long = dataclasses.replace(toy_pools[1], symbols={SymbolCategory.INTEGERS: ("1 2",)})
  with pytest.raises(SymtuneError, match="match_lengths = False"):
    match_lengths(long, toy_pools[0], toy_vocab)
