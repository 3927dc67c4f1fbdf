"""Vocabularies: T5's ids and sizes, and one clear message for files that are none."""

import pytest
import sentencepiece

from symtune.data.text.added_tokens import AddedToken
from symtune.data.text.vocab import (
  EXTRA_IDS,
  SentencePieceVocab,
  ToyVocab,
  have_same_ids,
)
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
  with pytest.raises(SymtuneError, match="is not a SentencePiece model"):
    SentencePieceVocab(path)


def test_sentinels_count_down_from_the_top(small_vocab):
  ids = small_vocab.encode("a <extra_id_0> cat <extra_id_12>", sentinels=True)
  a, cat = small_vocab.encode("a").tolist(), small_vocab.encode("cat").tolist()
  top = int(small_vocab.encode("<extra_id_0>", sentinels=True)[0])
  assert ids.tolist() == [*a, top, *cat, top - 12]
  assert small_vocab.pieces([top, top - 12]) == ["<extra_id_0>", "<extra_id_12>"]
  # There are a hundred; what looks like another is text.
  assert len(small_vocab.encode("<extra_id_100>", sentinels=True)) > 1


@pytest.mark.shared
def test_t5_vocabulary(shared_data):
  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  assert vocab.size == 32128
  assert vocab.pieces([32099, 32000, 32100]) == [
    "<extra_id_0>",
    "<extra_id_99>",
    "<unused>",
  ]
  blanks = vocab.encode("<extra_id_0> a <extra_id_99>", sentinels=True)
  assert blanks.tolist() == [32099, 3, 9, 32000]
  # Newlines are spaces; braces and friends are unknown.
  assert vocab.encode("a\nb").tolist() == vocab.encode("a b").tolist()
  assert all(vocab.unk_id in vocab.encode(c) for c in "<\\^`{}~")


def _own_sentinels_path(path, folder):
  """The same model with its sentinels as pieces, as T5X's vocabulary has them."""
  from sentencepiece import sentencepiece_model_pb2

  model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
  for number in reversed(range(EXTRA_IDS)):
    kind = model.SentencePiece.USER_DEFINED
    model.pieces.add(piece=f"<extra_id_{number}>", score=0.0, type=kind)
  copy = folder / "100extra.model"
  copy.write_bytes(model.SerializeToString())
  return copy


def test_sentinels_that_are_pieces_are_not_added_again(small_vocab_path, tmp_path):
  plain = SentencePieceVocab(small_vocab_path)
  own = SentencePieceVocab(_own_sentinels_path(small_vocab_path, tmp_path))
  assert (own.size, own.num_ids) == (plain.size, plain.num_ids)
  assert own.fingerprint != plain.fingerprint
  assert have_same_ids(own, plain)
  text = "cat <extra_id_0> dog<extra_id_99>"
  for sentinels in (True, False):
    ids = own.encode(text, sentinels=sentinels).tolist()
    assert ids == plain.encode(text, sentinels=sentinels).tolist()
    assert own.decode(ids) == plain.decode(ids)


CONTROL = ("</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_99>")


def test_text_never_becomes_a_control_token(small_vocab_path, tmp_path):
  for path in (small_vocab_path, _own_sentinels_path(small_vocab_path, tmp_path)):
    vocab = SentencePieceVocab(path)
    control = {vocab.pad_id, vocab.eos_id, *vocab.sentinels.values()}
    for text in CONTROL:
      for ids in (vocab.encode(text), vocab.encode(f"cat{text} dog {text}")):
        assert control.isdisjoint(ids.tolist()), text


def test_a_users_control_tokens_are_not_matched_in_a_text(small_vocab_path):
  first = SentencePieceVocab(small_vocab_path).num_ids
  tokens = [
    AddedToken(text="[TAG]", id=first),
    AddedToken(text="<hl>", id=first + 1, is_special=True),
  ]
  vocab = SentencePieceVocab(small_vocab_path, added=tokens)
  assert vocab.num_ids == first + 2
  ids = vocab.encode("cat [TAG] <hl> dog").tolist()
  assert first in ids
  assert first + 1 not in ids
  assert vocab.decode([first + 1]) == "<hl>"


def test_other_pieces_are_other_ids(small_vocab, toy_vocab):
  assert not have_same_ids(small_vocab, toy_vocab)
  assert have_same_ids(toy_vocab, toy_vocab)


def test_only_sentinels_are_sentinels(small_vocab):
  ends = {0: small_vocab.num_ids - 1, 99: small_vocab.num_ids - EXTRA_IDS}
  for number, wanted in ends.items():
    assert small_vocab.encode(f"<extra_id_{number}>", sentinels=True).tolist() == [
      wanted
    ]
  plain = sentencepiece.SentencePieceProcessor(
    model_proto=small_vocab._model.serialized_model_proto()
  )
  for text in (
    "<extra_id_007>",
    "<extra_id_100> x",
    "<extra_id_\u0663>",
    "<extra_id_>",
  ):
    assert small_vocab.encode(f"a {text} b").tolist() == plain.encode(f"a {text} b")


def test_decoded_sentinels_stand_where_transformers_puts_them(small_vocab):
  text = "<extra_id_0> cat <extra_id_1> dog<extra_id_2><extra_id_3> cow"
  wanted = "<extra_id_0> cat<extra_id_1> dog<extra_id_2><extra_id_3> cow"
  ids = small_vocab.encode(text, sentinels=True)
  assert small_vocab.decode([*ids, 1, 0]) == wanted
