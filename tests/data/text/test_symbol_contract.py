"""The contract of symbols: what breaks it is found, and rules hold in every draw."""

import dataclasses

import pytest

from symtune.cards.load import list_cards, load_card
from symtune.data.text.symbol_contract import check_contract
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolCategory,
  SymbolRules,
  make_pool,
  read_synonyms,
)
from symtune.data.text.vocab import SentencePieceVocab
from symtune.errors import SymtuneError

INTEGERS = (SymbolCategory.INTEGERS,)


def test_planted_faults_are_found(toy_pools, toy_vocab):
  tuning, evaluation = toy_pools
  assert check_contract(toy_pools, [], toy_vocab).holds
  alike = dataclasses.replace(evaluation, symbols={INTEGERS[0]: (" 7", "10001")})
  report = check_contract([tuning, alike], [], toy_vocab)
  assert report.same_tokens == (("7", " 7"),)
  assert not report.holds
  shared = dataclasses.replace(evaluation, symbols={INTEGERS[0]: ("7",)})
  assert check_contract([tuning, shared], [], toy_vocab).shared == ("7",)
  strange = dataclasses.replace(evaluation, symbols={INTEGERS[0]: ("zzz",)})
  report = check_contract([tuning, strange], [], toy_vocab)
  assert report.groups[1].unknown == ("zzz",)
  assert not report.holds


def test_rules_without_a_vocabulary_are_errors():
  rules = SymbolRules(same_length=True)
  with pytest.raises(SymtuneError, match="need a vocabulary"):
    make_pool(PoolSplit.TUNING, INTEGERS, 10, rules=rules)


def test_synonyms_can_be_ones_own(tmp_path):
  path = tmp_path / "mine.yaml"
  path.write_text("animal: [beast]\n")
  assert read_synonyms(path)["animal"][-1] == "beast"
  path = tmp_path / "bad.yaml"
  path.write_text("animal: beast\n")
  with pytest.raises(SymtuneError, match="expected a list of texts"):
    read_synonyms(path)


def test_every_label_word_of_a_card_has_synonyms():
  # Letters, numbers and proper nouns aside: what has no synonyms is listed here.
  without = {"1", "2", "a", "b", "c", "d", "and", "or", "nor", "of", "no"}
  known = set(read_synonyms())
  for name in list_cards():
    for label in load_card(name).labels:
      assert set(label.casefold().replace("-", " ").split()) <= known | without, name


def test_nonce_words_are_no_words_and_off_by_default():
  assert SymbolCategory.NONCE not in make_pool(PoolSplit.TUNING).symbols
  pools = [make_pool(split, (SymbolCategory.NONCE,)) for split in PoolSplit]
  nonce = [set(pool.all_symbols()) for pool in pools]
  assert [len(words) for words in nonce] == [10_000, 90_000]
  assert not nonce[0] & nonce[1]
  for split in PoolSplit:
    words = make_pool(split, (SymbolCategory.WORDS,)).all_symbols()
    assert not (nonce[0] | nonce[1]) & set(words)


@pytest.mark.shared
def test_the_contract_holds_for_t5(shared_data):
  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  pools = [make_pool(split, tuple(SymbolCategory)) for split in PoolSplit]
  cards = [load_card(name) for name in list_cards()]
  report = check_contract(pools, cards, vocab)
  assert [group.count for group in report.groups] == [10_000] * 4 + [90_000] * 4
  assert report.holds
  assert "good" in report.relevant["sst2"]


def test_a_list_of_ones_own_joins_the_shipped_one_whatever_its_case(tmp_path):
  path = tmp_path / "own.yaml"
  path.write_text("Positive: [River, GOOD]\nHaiku: [Poem]\n")
  found, shipped = read_synonyms(path), read_synonyms()
  assert found["positive"] == (*shipped["positive"], "river", "good")
  assert found["haiku"] == ("poem",)
  assert found["negative"] == shipped["negative"]


def test_symbols_near_a_label_are_found_whatever_their_case(toy_pools, toy_vocab):
  pool = dataclasses.replace(toy_pools[0], symbols={INTEGERS[0]: ("A", "CAT", "b")})
  card = dataclasses.replace(load_card("sst2"), labels=("a", "cat"))
  assert check_contract([pool], [card], toy_vocab).relevant == {"sst2": ("A", "CAT")}
