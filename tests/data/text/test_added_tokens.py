"""Added tokens cut a text where the tokenizers library cuts it (see tests/hf)."""

import pickle

import pytest

from symtune.data.text.added_tokens import AddedToken, AddedTokens
from symtune.data.text.vocab import SentencePieceVocab, have_same_ids
from symtune.errors import SymtuneError


def _split(text, *tokens, normalize=str.lower):
  return AddedTokens(tokens, normalize).split(text)


def _token(text, number=7, **flags):
  return AddedToken(text=text, id=number, **flags)


def test_the_leftmost_and_then_the_longest_token_wins():
  tokens = (_token("[a]", 1), _token("[a]b", 2), _token("b[", 3))
  assert _split("x[a]b[a]", *tokens) == ["x", 2, 1]
  assert _split("b[a]b", *tokens) == [3, "a]b"]
  assert _split("none") == ["none"]
  assert _split("", *tokens) == []


def test_plain_tokens_are_found_in_the_text_as_it_is_the_others_after_it():
  plain, other = _token("A", 1, is_normalized=False), _token("Ab", 2)
  assert _split("Ab ab", plain) == [1, "b ab"]
  # The text is normalized between plain tokens only, and so are normalized tokens.
  assert _split("Ab aB C", plain, other) == [1, "b ", 2, " c"]


@pytest.mark.parametrize(
  ("text", "parts"),
  [
    ("solo", [7]),
    ("a solo.", ["a ", 7, "."]),
    ("resolo solos _solo solo2", ["resolo solos _solo solo2"]),
    ("é-solo", ["é-", 7]),
    ("ésolo", ["ésolo"]),
  ],
)
def test_whole_words(text, parts):
  assert _split(text, _token("solo", is_word=True)) == parts


def test_white_space_belongs_to_tokens_that_strip_it():
  token = _token("x", strips_left=True, strips_right=True)
  assert _split("a \n x \t x b", token) == ["a", 7, 7, "b"]
  left = _token("x", strips_left=True)
  assert _split("a x b", left) == ["a", 7, " b"]


def test_added_tokens_have_ids_above_the_sentinels(small_vocab_path):
  plain = SentencePieceVocab(small_vocab_path)
  first = plain.num_ids
  added = [_token("[TAG]", first), _token("{", first + 1, is_normalized=False)]
  vocab = SentencePieceVocab(small_vocab_path, added=added)
  cat = plain.encode("cat").tolist()
  assert vocab.encode("cat{[TAG] cat <extra_id_0>", sentinels=True).tolist() == [
    *cat,
    first + 1,
    first,
    *cat,
    first - 1,
  ]
  assert vocab.decode([*vocab.encode("cat{ [TAG]cat"), 1]) == "cat{[TAG] cat"
  assert vocab.pieces([first, first + 1, first + 2]) == ["[TAG]", "{", "<unused>"]
  assert vocab.num_ids == first + 2
  assert vocab.added == tuple(added)
  assert vocab.fingerprint != plain.fingerprint
  assert not have_same_ids(vocab, plain)
  again = pickle.loads(pickle.dumps(vocab))
  assert again.encode("Ａ{").tolist() == vocab.encode("Ａ{").tolist()


def test_a_flag_makes_another_vocabulary(small_vocab_path, small_vocab):
  left, right = (
    SentencePieceVocab(
      small_vocab_path, added=[_token("tag", small_vocab.num_ids, is_word=flag)]
    )
    for flag in (False, True)
  )
  assert left.fingerprint != right.fingerprint
  assert not have_same_ids(left, right)


def test_a_piece_that_is_added_is_matched_first_and_keeps_its_id(small_vocab_path):
  plain = SentencePieceVocab(small_vocab_path)
  number = next(i for i in range(3, 150) if plain.pieces([i])[0] in "abcdehior")
  piece = plain.pieces([number])[0]
  vocab = SentencePieceVocab(small_vocab_path, added=[_token(piece, number)])
  assert number in vocab.encode(f"x{piece}x").tolist()
  assert vocab.num_ids == plain.num_ids


def test_what_t5_has_anyway_changes_nothing(small_vocab_path):
  plain = SentencePieceVocab(small_vocab_path)
  same = [_token("<pad>", 0), _token("</s>", 1), _token("<unk>", 2)]
  same.append(_token("<extra_id_0>", plain.num_ids - 1, strips_left=True))
  vocab = SentencePieceVocab(small_vocab_path, added=same)
  assert vocab.added == ()
  assert vocab.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
  ("text", "is_normalized"),
  [("\n", False), ("\n", True), (" a", True), ("\u00b4", True)],
)
def test_white_space_is_no_added_token(
  text, is_normalized, small_vocab_path, small_vocab
):
  """Prompts are made of parts, between which white space has no ids."""
  token = _token(text, small_vocab.num_ids, is_normalized=is_normalized)
  with pytest.raises(SymtuneError, match="holds white space"):
    SentencePieceVocab(small_vocab_path, added=[token])


@pytest.mark.parametrize(
  ("text", "offset", "message"),
  [
    ("{", 1, "the added token '{' has id"),
    ("{", -1, "follow those of the"),
    ("<extra_id_0>", 0, "'<extra_id_0>' has id"),
    ("</s>", 0, "'</s>' has id"),
  ],
)
def test_ids_that_leave_a_gap_or_name_something_else_are_refused(
  text, offset, message, small_vocab_path, small_vocab
):
  token = _token(text, small_vocab.num_ids + offset)
  with pytest.raises(SymtuneError, match=message):
    SentencePieceVocab(small_vocab_path, added=[token])
