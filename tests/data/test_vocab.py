"""Vocabularies: T5's ids and sizes, and one clear message for files that are none."""

import pytest

from symtune.data.vocab import SentencePieceVocab, ToyVocab
from symtune.errors import SymtuneError


def test_toy_vocab_round_trip():
  vocab = ToyVocab(["a", "b", "a"])
  assert vocab.size == 5
  assert vocab.encode(" b  a z").tolist() == [4, 3, 2]
  assert vocab.decode([4, 3, 1, 0]) == "b a"
  assert vocab.pieces([4, 2]) == ["b", "<unk>"]


def test_sentencepiece_round_trip(small_vocab):
  ids = small_vocab.encode("  a cat\nand 12 ")
  assert ids.dtype == "int32"
  assert small_vocab.decode([*ids, small_vocab.eos_id, 0, 0]) == "a cat and 12"
  assert "".join(small_vocab.pieces(ids)) == "▁a▁cat▁and▁12"
  assert small_vocab.size % 128 == 0


def test_missing_file_names_the_path(tmp_path):
  with pytest.raises(SymtuneError, match=r"no file at .*none\.model"):
    SentencePieceVocab(tmp_path / "none.model")


def test_file_that_is_no_model_names_the_path(tmp_path):
  path = tmp_path / "readme.model"
  path.write_text("hello")
  with pytest.raises(SymtuneError, match="is no SentencePiece model"):
    SentencePieceVocab(path)


def test_sentinels_count_down_from_the_top(small_vocab):
  ids = small_vocab.encode("a <extra_id_0> cat <extra_id_12>")
  a, cat = small_vocab.encode("a").tolist(), small_vocab.encode("cat").tolist()
  top = int(small_vocab.encode("<extra_id_0>")[0])
  assert ids.tolist() == [*a, top, *cat, top - 12]
  assert small_vocab.pieces([top, top - 12]) == ["<extra_id_0>", "<extra_id_12>"]
  # There are a hundred; what looks like another is text.
  assert len(small_vocab.encode("<extra_id_100>")) > 1


@pytest.mark.shared
def test_t5_vocabulary(shared_data):
  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  assert vocab.size == 32128
  assert vocab.pieces([32099, 32000, 32100]) == [
    "<extra_id_0>",
    "<extra_id_99>",
    "<unused>",
  ]
  assert vocab.encode("<extra_id_0> a <extra_id_99>").tolist() == [32099, 3, 9, 32000]
  # Newlines are spaces; braces and friends are unknown.
  assert vocab.encode("a\nb").tolist() == vocab.encode("a b").tolist()
  assert all(vocab.unk_id in vocab.encode(c) for c in "<\\^`{}~")
