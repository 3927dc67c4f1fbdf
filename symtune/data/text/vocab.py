"""Text to token ids and back: SentencePiece, and a word vocabulary for tests."""

import hashlib
import pathlib
import re
from collections.abc import Iterable
from typing import Protocol, SupportsInt, runtime_checkable

import numpy as np
import sentencepiece
from jaxtyping import Int

from symtune.errors import SymtuneError

# T5 adds 100 sentinels above its 32,000 pieces and pads the embedding to a multiple of
# 128 rows: 32,128 (t5x/examples/t5/t5_1_1/base.gin).
EXTRA_IDS = 100
_SIZE_MULTIPLE = 128
_SENTINEL = re.compile(r"<extra_id_(?:0|[1-9]\d{0,3})>", re.ASCII)


@runtime_checkable
class Vocab(Protocol):
  """What the pipeline needs from a vocabulary.

  Attributes:
    pad_id: 0 in every T5 vocabulary; also the decoder's start token.
    eos_id: ends every input and every target.
    unk_id: stands for pieces that are not in the vocabulary.
    size: rows of an embedding table that covers every id.
    fingerprint: SHA-256 of what defines the vocabulary, in hexadecimal.
  """

  pad_id: int
  eos_id: int
  unk_id: int
  size: int
  fingerprint: str

  def encode(self, text: str) -> Int[np.ndarray, "tokens"]:
    """Ids of `text` as int32, without EOS; ignores white space at both ends."""
    ...

  def decode(self, ids: Iterable[SupportsInt]) -> str:
    """The text of `ids`; padding and EOS are left out."""
    ...

  def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
    """What the model sees: one printable piece per id."""
    ...


class SentencePieceVocab:
  """A SentencePiece model with T5's ids: pad 0, EOS 1, unknown 2.

  Attributes:
    num_ids: number of pieces and sentinels; `size` is this, rounded up.
    extra_ids: number of sentinels added above the pieces.
  """

  pad_id = 0
  eos_id = 1
  unk_id = 2

  def __init__(self, path: str | pathlib.Path, extra_ids: int = EXTRA_IDS):
    """Reads the model.

    Args:
      path: a `.model` file, such as T5's `spiece.model`.
      extra_ids: sentinels to add above the pieces; none are added if the model has them
        as pieces, such as T5X's cc_all.32000.100extra.

    Raises:
      SymtuneError: the file is missing, is not a SentencePiece model, or has other ids.
    """
    self._model = _load_model(pathlib.Path(path))
    ids = (self._model.pad_id(), self._model.eos_id(), self._model.unk_id())
    if ids != (self.pad_id, self.eos_id, self.unk_id):
      raise SymtuneError(
        f"{path}: got pad, EOS and unknown ids {ids}, expected (0, 1, 2) as in T5. "
        f"Train it with --pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1."
      )
    self.fingerprint = hashlib.sha256(self._model.serialized_model_proto()).hexdigest()
    self._num_pieces = self._model.get_piece_size()
    self._sentinels = _own_sentinels(self._model)
    self.extra_ids = 0 if self._sentinels else extra_ids
    if not self._sentinels:  # they count down from the top, as in T5
      top = self._num_pieces + extra_ids - 1
      self._sentinels = {f"<extra_id_{i}>": top - i for i in range(extra_ids)}
    self._sentinel_texts = {i: text for text, i in self._sentinels.items()}
    self.num_ids = 1 + max([self._num_pieces - 1, *self._sentinels.values()])
    self.size = -(-self.num_ids // _SIZE_MULTIPLE) * _SIZE_MULTIPLE

  def encode(self, text: str) -> Int[np.ndarray, "tokens"]:
    """Ids of `text`, without EOS. Newlines become spaces (T5's normaliser).

    `<extra_id_0>` has the highest of the sentinels' ids, as in T5.
    """
    ids: list[int] = []
    start = 0
    for match in _SENTINEL.finditer(text):
      sentinel = self._sentinels.get(match[0])
      if sentinel is not None:
        ids += [*self._model.encode(text[start : match.start()]), sentinel]
        start = match.end()
    return np.asarray(ids + self._model.encode(text[start:]), np.int32)

  def decode(self, ids: Iterable[SupportsInt]) -> str:
    """The text of `ids` with its sentinels; padding and EOS are left out."""
    text, run = "", []
    for i in map(int, ids):
      if i in self._sentinel_texts:
        text += self._decode_run(run, is_start=not text) + self._sentinel_texts[i]
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
    if i in self._sentinel_texts:
      return self._sentinel_texts[i]
    return self._model.id_to_piece(i) if i < self._num_pieces else "<unused>"


def _load_model(path: pathlib.Path) -> sentencepiece.SentencePieceProcessor:
  if not path.is_file():
    raise SymtuneError(
      f"vocabulary: no file at {path}, expected a SentencePiece model. "
      f"Give its path with --vocab."
    )
  model = sentencepiece.SentencePieceProcessor()
  try:
    model.load_from_serialized_proto(path.read_bytes())
  except RuntimeError as error:
    raise SymtuneError(
      f"vocabulary: {path} is not a SentencePiece model ({error}). Give a .model file, "
      f"such as T5's spiece.model, with --vocab."
    ) from error
  return model


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
  """Whether every id stands for the same piece in both, whatever their files."""
  if left.fingerprint == right.fingerprint:
    return True
  if left.size != right.size:
    return False
  return left.pieces(range(left.size)) == right.pieces(range(right.size))


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
    self.size = len(self._pieces)
    self.fingerprint = hashlib.sha256("\n".join(self._pieces).encode()).hexdigest()

  def encode(self, text: str) -> Int[np.ndarray, "tokens"]:
    """One id per word of `text`, without EOS."""
    return np.asarray([self._ids.get(w, self.unk_id) for w in text.split()], np.int32)

  def decode(self, ids: Iterable[SupportsInt]) -> str:
    """The words of `ids`; padding and EOS are left out."""
    known = [int(i) for i in ids if int(i) > self.eos_id]
    return " ".join(self._pieces[i] for i in known)

  def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
    """The word of each id."""
    return [self._pieces[int(i)] for i in ids]
