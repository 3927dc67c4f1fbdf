"""The microworld's vocabulary knows its world, and is what its script makes."""

import importlib.util

import pytest

from symtune.cards.load import load_suite
from symtune.cards.resources import resource_dir
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolCategory,
  check_disjoint,
  make_pool,
)
from symtune.data.text.vocab import SentencePieceVocab

FOLDER = resource_dir("tasks") / "microworld"


@pytest.fixture(scope="module")
def vocab():
  return SentencePieceVocab(FOLDER / "vocab.model")


def test_every_word_of_the_world_is_one_piece(vocab):
  for suite in ("microworld_base", "microworld_eval"):
    for task in load_suite(suite, None):
      for example in task.examples:
        text = task.card.input_text(example)
        assert len(vocab.encode(text)) == len(text.split())
      assert all(len(vocab.encode(label)) == 1 for label in task.card.labels)
      assert vocab.unk_id not in vocab.encode(task.card.instruction)


KINDS = (
  SymbolCategory.INTEGERS,
  SymbolCategory.COMBINATIONS,
  SymbolCategory.NONCE,
)


def test_symbols_are_made_of_the_pieces_of_their_kind(vocab):
  check_disjoint(*(make_pool(split, KINDS) for split in PoolSplit), vocab)
  assert vocab.pieces(vocab.encode("4092 70 EQX bakole")) == [
    *["▁40", "92", "▁70", "▁E", "Q", "X", "▁ba", "ko", "le"]
  ]


@pytest.mark.parametrize("kind", KINDS)
def test_tuning_shows_the_pieces_of_evaluation_symbols(vocab, kind):
  # The recipes take all of the tuning pool and the first of the evaluation pool.
  tuning, evaluation = (
    {
      int(i)
      for symbol in make_pool(
        split, (kind,), 10_000 if split is PoolSplit.TUNING else 5_000
      ).all_symbols()
      for i in vocab.encode(symbol)
    }
    for split in PoolSplit
  )
  assert evaluation <= tuning


def test_file_is_what_the_script_makes(tmp_path, monkeypatch):
  pytest.importorskip("google.protobuf", reason="the script edits a protocol buffer")
  spec = importlib.util.spec_from_file_location("make_vocab", FOLDER / "make_vocab.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  monkeypatch.setattr(module, "FOLDER", tmp_path)
  module.main()
  assert (tmp_path / "vocab.model").read_bytes() == (
    FOLDER / "vocab.model"
  ).read_bytes()
