"""Text to token ids and back: SentencePiece, and a word vocabulary for tests."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, SupportsInt, runtime_checkable

import numpy as np
import sentencepiece
from jaxtyping import Int
from sentencepiece import sentencepiece_model_pb2

from symtune.bounded import read_bytes
from symtune.data.text.added_tokens import AddedToken, AddedTokens
from symtune.data.text.causal_vocab import CausalVocab
from symtune.errors import SymtuneError

# T5 adds 100 sentinels above its 32,000 pieces and pads the embedding to a multiple of
# 128 rows: 32,128 (t5x/examples/t5/t5_1_1/base.gin).
EXTRA_IDS = 100
_SIZE_MULTIPLE = 128
_MAX_BYTES = 200_000_000  # far more than the largest published model has


@runtime_checkable
class Vocab(Protocol):
  """What the pipeline needs from a vocabulary.

  Attributes:
    pad_id: 0 in every T5 vocabulary; also the decoder's start token.
    eos_id: ends every input and every target.
    unk_id: stands for pieces that are not in the vocabulary.
    num_ids: how many ids there are; a network needs at least as many rows.
    size: rows that a new network's embedding table gets: `num_ids`, or more.
    fingerprint: SHA-256 of what defines the vocabulary, in hexadecimal.
  """

  pad_id: int
  eos_id: int
  unk_id: int
  num_ids: int
  size: int
  fingerprint: str

  def encode(self, text: str, *, sentinels: bool = False) -> Int[np.ndarray, "tokens"]:
    """Ids of `text` as int32, without EOS.

    T5's vocabularies ignore white space at both ends.

    Args:
      text: what a row or a prompt says. No part of it becomes a control token.
      sentinels: whether `<extra_id_0>` in it is the sentinel all the same.
    """
    ...

  def encode_label(self, word: str) -> Int[np.ndarray, "tokens"]:
    """Ids of a label word as it stands in a prompt, as int32, without EOS."""
    ...

  def decode(self, ids: Iterable[SupportsInt]) -> str:
    """The text of `ids`; padding and EOS are left out."""
    ...

  def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
    """What the model sees: one printable piece per id."""
    ...


class SentencePieceVocab:
  """A SentencePiece model with T5's ids: pad 0, EOS 1, unknown 2.

  `symtune.convert.tokenizer.read` opens one together with the tokens that a user added.

  Attributes:
    model: the SentencePiece model, as in its file.
    extra_ids: number of sentinels added above the pieces.
    sentinels: the ids of `<extra_id_0>`, `<extra_id_1>`, ... by their texts.
    added: tokens that a user added; their ids follow those of pieces and sentinels.
    num_ids: number of pieces, sentinels and added tokens.
    size: `num_ids`, rounded up to a multiple of 128.
  """

  pad_id = 0
  eos_id = 1
  unk_id = 2

  def __init__(
    self,
    path: str | pathlib.Path,
    extra_ids: int = EXTRA_IDS,
    *,
    added: Sequence[AddedToken] = (),
    model: bytes | None = None,
  ):
    """Reads the model.

    Args:
      path: a `.model` file, such as T5's `spiece.model`.
      extra_ids: sentinels to add above the pieces; none are added if the model has them
        as pieces, such as T5X's cc_all.32000.100extra.
      added: tokens that a user added, with their ids; control tokens, and sentinels
        that it has anyway, are passed over.
      model: the model itself, if it was not read from a `.model` file; `path` is then
        used in messages only.

    Raises:
      SymtuneError: the file is missing, is not a SentencePiece model, or has other ids;
        an added token holds white space.
    """
    self.model = _read_model(pathlib.Path(path)) if model is None else model
    self._model = _load_model(pathlib.Path(path), self.model)
    proto = self._model.serialized_model_proto()
    self.fingerprint = hashlib.sha256(proto).hexdigest()
    ids = (self._model.pad_id(), self._model.eos_id(), self._model.unk_id())
    if ids != (self.pad_id, self.eos_id, self.unk_id):
      raise SymtuneError(
        f"{path}: got pad, EOS and unknown ids {ids}, expected (0, 1, 2) as in T5. "
        f"Train it with --pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1."
      )
    self._num_pieces = self._model.get_piece_size()
    sentinels = _own_sentinels(self._model)
    self.extra_ids = 0 if sentinels else extra_ids
    if sentinels:
      self._model = _without_matches(self.model, sentinels.values())
    else:  # they count down from the top, as in T5
      top = self._num_pieces + extra_ids - 1
      sentinels = {f"<extra_id_{i}>": top - i for i in range(extra_ids)}
    self.sentinels = sentinels
    num_ids = 1 + max([self._num_pieces - 1, *sentinels.values()])
    self.added = _check_added(path, added, sentinels, self._model, num_ids)
    normalize = _normalizer(self.model)
    _check_white_space(path, self.added, normalize)
    self.num_ids = num_ids + sum(token.id >= num_ids for token in self.added)
    self.size = -(-self.num_ids // _SIZE_MULTIPLE) * _SIZE_MULTIPLE
    if self.added:
      self.fingerprint = _fingerprint(self.fingerprint, self.added)
    plain = [token for token in self.added if not token.is_special]
    blanks = [
      AddedToken(text=t, id=i, is_normalized=False) for t, i in sentinels.items()
    ]
    self._splitters = {
      False: AddedTokens(plain, normalize),
      True: AddedTokens([*blanks, *plain], normalize),
    }
    # Texts of the ids that the model does not decode itself.
    self._texts = {i: text for text, i in sentinels.items()}
    self._texts |= {t.id: t.text for t in self.added if t.id >= num_ids}

  def encode(self, text: str, *, sentinels: bool = False) -> Int[np.ndarray, "tokens"]:
    """Ids of `text`, without EOS. Newlines become spaces (T5's normaliser).

    Text that looks like a control token, such as `</s>`, is text.

    Args:
      text: any text.
      sentinels: whether `<extra_id_0>` in it is the sentinel, which has the highest of
        their ids, as in T5; otherwise that is text too.
    """
    ids: list[int] = []
    for part in self._splitters[sentinels].split(text):
      ids += self._model.encode(part) if isinstance(part, str) else [part]
    return np.asarray(ids, np.int32)

  def encode_label(self, word: str) -> Int[np.ndarray, "tokens"]:
    """Ids of a label word; white space before it makes no difference."""
    return self.encode(word)

  def decode(self, ids: Iterable[SupportsInt]) -> str:
    """The text of `ids` with sentinels and added tokens; without padding and EOS."""
    text, run = "", []
    for i in map(int, ids):
      if i in self._texts:
        text += self._decode_run(run, is_start=not text) + self._texts[i]
        run = []
      elif self.eos_id < i < self._num_pieces:
        run.append(i)
    return text + self._decode_run(run, is_start=not text)

  def _decode_run(self, ids: list[int], *, is_start: bool) -> str:
    """Text between sentinels; drops the first word's space at the start only."""
    begins = bool(ids) and self._model.id_to_piece(ids[0]).startswith("▁")
    return f"{'' if is_start or not begins else ' '}{self._model.decode(ids)}"

  def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
    """One piece per id; `▁` stands for the white space before a word."""
    return [self._piece(int(i)) for i in ids]

  def _piece(self, i: int) -> str:
    if i in self._texts:
      return self._texts[i]
    return self._model.id_to_piece(i) if i < self._num_pieces else "<unused>"


def _read_model(path: pathlib.Path) -> bytes:
  try:
    return read_bytes(path, _MAX_BYTES)
  except OSError as error:
    raise SymtuneError(
      f"vocabulary: no file at {path}, expected a SentencePiece model. "
      f"Give its path with --vocab."
    ) from error


def _load_model(
  path: pathlib.Path, content: bytes
) -> sentencepiece.SentencePieceProcessor:
  model = sentencepiece.SentencePieceProcessor()
  try:
    model.load_from_serialized_proto(content)
  except RuntimeError as error:
    raise SymtuneError(
      f"vocabulary: {path} is not a SentencePiece model ({error}). Give a .model file, "
      f"such as T5's spiece.model, with --vocab."
    ) from error
  return model


def _normalizer(model: bytes) -> Callable[[str], str]:
  """The model's normalization of characters, which leaves white space as it is."""
  return sentencepiece.SentencePieceNormalizer(
    model_proto=model,
    add_dummy_prefix=False,
    escape_whitespaces=False,
    remove_extra_whitespaces=False,
  ).Normalize


def _check_added(
  path: str | pathlib.Path,
  added: Sequence[AddedToken],
  sentinels: Mapping[str, int],
  model: sentencepiece.SentencePieceProcessor,
  num_ids: int,
) -> tuple[AddedToken, ...]:
  """The tokens that are neither control tokens nor sentinels, if their ids are right.

  Ids that leave a gap are refused: Transformers would number such tokens anew.
  """
  kept = []
  for token in sorted(added, key=lambda token: token.id):
    piece = model.piece_to_id(token.text)
    known = sentinels.get(token.text, None if piece == model.unk_id() else piece)
    if token.id == model.unk_id() and token.text == model.id_to_piece(token.id):
      continue
    expected = num_ids + sum(t.id >= num_ids for t in kept) if known is None else known
    if token.id != expected:
      raise SymtuneError(
        f"{path}: the added token {token.text!r} has id {token.id}, expected "
        f"{expected}: ids of added tokens follow those of the {num_ids} pieces and "
        "sentinels without a gap. The files belong to different models: get the "
        "tokenizer again."
      )
    if token.id > model.eos_id() and token.text not in sentinels:
      kept.append(token)
  return tuple(kept)


def _check_white_space(
  path: str | pathlib.Path,
  added: Sequence[AddedToken],
  normalize: Callable[[str], str],
) -> None:
  """Refuses tokens that would be matched across the parts of which prompts are made."""
  for token in added:
    text = normalize(token.text) if token.is_normalized else token.text
    if any(character.isspace() for character in text):
      raise SymtuneError(
        f"{path}: the added token {token.text!r} holds white space, which this "
        "network's prompts have between their parts without tokens. Such a model can "
        "be asked with --checkpoint transformers:FOLDER; it cannot be tuned."
      )


def _fingerprint(base: str, added: Sequence[AddedToken]) -> str:
  """A hash of a model's own hash and the tokens that a user added."""
  tokens = json.dumps([dataclasses.astuple(token) for token in added])
  return hashlib.sha256(f"{base} {tokens}".encode()).hexdigest()


def _without_matches(
  model: bytes, ids: Iterable[int]
) -> sentencepiece.SentencePieceProcessor:
  """The model with some pieces as control tokens, which no text turns into."""
  changed: Any = sentencepiece_model_pb2.ModelProto.FromString(model)  # type: ignore[attr-defined]
  for i in ids:
    changed.pieces[i].type = changed.SentencePiece.CONTROL
  processor = sentencepiece.SentencePieceProcessor()
  processor.load_from_serialized_proto(changed.SerializeToString())
  return processor


def _own_sentinels(model: sentencepiece.SentencePieceProcessor) -> dict[str, int]:
  """The ids of the sentinels that are pieces of the model, by their text."""
  found: dict[str, int] = {}
  for number in range(model.get_piece_size()):
    text = f"<extra_id_{number}>"
    i = model.piece_to_id(text)
    if i == model.unk_id():
      break
    found[text] = i
  return found


def have_same_ids(left: Vocab, right: Vocab) -> bool:
  """Whether every id stands for the same piece in both, whatever their files.

  Of decoder-only models, both also put the same BOS before a text.
  """
  if left.fingerprint == right.fingerprint:
    return True
  if isinstance(left, CausalVocab) and isinstance(right, CausalVocab):
    return left.has_same_ids(right)
  if left.num_ids != right.num_ids or _added(left) != _added(right):
    return False
  return left.pieces(range(left.num_ids)) == right.pieces(range(right.num_ids))


def unknown_words(texts: Iterable[str], vocab: Vocab) -> tuple[str, ...]:
  """The words of some texts that have pieces which are not in the vocabulary."""
  words = dict.fromkeys(" ".join(texts).split())
  return tuple(w for w in words if np.any(vocab.encode(w) == vocab.unk_id))


def _added(vocab: Vocab) -> tuple[AddedToken, ...]:
  return vocab.added if isinstance(vocab, SentencePieceVocab) else ()


class ToyVocab:
  """One id per white-space-separated word: small enough to read in a test."""

  pad_id = 0
  eos_id = 1
  unk_id = 2

  def __init__(self, words: Iterable[str]):
    """Ids start at 3 and follow the order of first appearance in `words`."""
    special = ("<pad>", "</s>", "<unk>")
    self._pieces = tuple(dict.fromkeys((*special, *words)))
    self._ids = {word: i for i, word in enumerate(self._pieces)}
    self.num_ids = self.size = len(self._pieces)
    self.fingerprint = hashlib.sha256("\n".join(self._pieces).encode()).hexdigest()

  def encode(self, text: str, *, sentinels: bool = False) -> Int[np.ndarray, "tokens"]:
    """One id per word of `text`, without EOS; there are no sentinels."""
    del sentinels
    return np.asarray([self._ids.get(w, self.unk_id) for w in text.split()], np.int32)

  def encode_label(self, word: str) -> Int[np.ndarray, "tokens"]:
    """Ids of a label word."""
    return self.encode(word)

  def decode(self, ids: Iterable[SupportsInt]) -> str:
    """The words of `ids`; padding and EOS are left out."""
    known = [int(i) for i in ids if int(i) > self.eos_id]
    return " ".join(self._pieces[i] for i in known)

  def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
    """The word of each id."""
    return [self._pieces[int(i)] for i in ids]
