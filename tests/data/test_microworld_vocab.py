"""The microworld's vocabulary knows its world, and is what its script makes."""

import importlib.util
import string

import pytest

from symtune.cards.load import load_suite
from symtune.cards.resources import resource_dir
from symtune.data.symbols import PoolSplit, SymbolCategory, check_disjoint, make_pool
from symtune.data.vocab import SentencePieceVocab

FOLDER = resource_dir("tasks") / "microworld"


@pytest.fixture(scope="module")
def vocab():
  return SentencePieceVocab(FOLDER / "vocab.model")


def test_every_word_of_the_world_is_one_piece(vocab):
  for suite in ("microworld_train", "microworld_eval"):
    for task in load_suite(suite, None):
      for example in task.examples:
        text = task.card.input_text(example)
        assert len(vocab.encode(text)) == len(text.split())
      assert all(len(vocab.encode(label)) == 1 for label in task.card.labels)
      assert vocab.unk_id not in vocab.encode(task.card.instruction)


def test_symbols_are_digits_and_letters_of_their_own(vocab):
  pools = [
    make_pool(split, (SymbolCategory.INTEGERS, SymbolCategory.COMBINATIONS))
    for split in PoolSplit
  ]
  check_disjoint(*pools, vocab)
  assert vocab.pieces(vocab.encode("40921 EQXD")) == [
    *["▁4", "0", "9", "2", "1", "▁E", "Q", "X", "D"]
  ]
  pieces = set()
  for symbol in pools[0].all_symbols():
    pieces |= set(vocab.encode(symbol).tolist())
  # Tuning shows every piece that evaluation symbols are made of.
  for symbol in pools[1].all_symbols():
    assert pieces.issuperset(vocab.encode(symbol).tolist())
  assert len(pieces) == 2 * len(string.digits + string.ascii_uppercase)


def test_file_is_what_the_script_makes(tmp_path, monkeypatch):
  pytest.importorskip("google.protobuf", reason="the script builds a protocol buffer")
  spec = importlib.util.spec_from_file_location("make_vocab", FOLDER / "make_vocab.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  monkeypatch.setattr(module, "FOLDER", tmp_path)
  module.main()
  assert (tmp_path / "vocab.model").read_bytes() == (
    FOLDER / "vocab.model"
  ).read_bytes()
