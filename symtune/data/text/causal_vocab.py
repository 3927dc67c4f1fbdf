r"""The vocabulary of a decoder-only model: a tokenizer.json behind the Vocab protocol.

White space counts here. "label" and " label" have different ids, a full stop and the
newline after it may be one token, and "\n\n" may be two tokens before a letter and one
at the end of a text. So a part of a prompt is tokenized together with what stands
around it, and the ids of the surroundings are cut off (`CausalVocab.encode_between`).
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, SupportsInt

import numpy as np
import tokenizers
from jaxtyping import Int

from symtune.errors import SymtuneError

_SIZE_MULTIPLE = 128  # rows of a new table, for speed, as in data/text/vocab.py
# What tokenizer.json calls a byte-pair encoding.
MODEL = "BPE"
# A cue after which a label stands.
_CUE = "a:"


class CausalVocab:
  """A tokenizer of the tokenizers library, which matches no control tokens in texts.

  `symtune.convert.tokenizer.causal` reads one from a model's folder.

  Attributes:
    pad_id: fills unused slots. It may be a token's id too: segment ids say which slots
      are unused.
    eos_id: id of the token that ends a text.
    end_ids: `eos_id`, and ids of other tokens that end an answer, such as that of a
      chat's turn. Only generation knows them, so they are not in the fingerprint.
    unk_id: id of unknown pieces; -1 if there are none, because every byte has an id.
    bos_id: id that the tokenizer puts before a text; None if it puts none.
    num_ids: one more than the largest id that a sequence may hold. Control tokens other
      than BOS and EOS do not count: Gemma 3's text models have no row for the last.
    size: `num_ids`, rounded up to a multiple of 128.
    fingerprint: SHA-256 of what defines it, in hexadecimal.
  """

  pad_id = 0

  def __init__(
    self,
    content: Mapping[str, Any],
    *,
    where: str,
    eos_id: int,
    bos_id: int | None = None,
    end_ids: Iterable[int] = (),
  ):
    """Builds the tokenizer.

    Args:
      content: of a tokenizer.json.
      where: its path, for messages.
      eos_id: id of the token that ends a text.
      bos_id: id to put before each prompt, or None.
      end_ids: ids of all tokens that end an answer; `eos_id` always does.

    Raises:
      SymtuneError: the tokenizers library cannot read it, it is no byte-pair encoding,
        or texts turn into control tokens.
    """
    self._where = where
    model = content.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if kind != MODEL:
      raise SymtuneError(
        f"{where}: its model is of type {kind!r}, expected {MODEL!r}, as in Llama, "
        "Qwen, Gemma, Mistral and Pythia. Such a model can be asked with --checkpoint "
        "transformers:FOLDER."
      )
    # The parts that add or cut tokens around a text are not used.
    unused = ("truncation", "padding", "post_processor")
    text = json.dumps({**content, **dict.fromkeys(unused)}, sort_keys=True)
    self._tokenizer = _open(where, text)
    self.eos_id, self.bos_id = eos_id, bos_id
    self.end_ids = tuple(dict.fromkeys((eos_id, *end_ids)))
    ids = self._tokenizer.get_vocab()
    text_ids = self._text_ids(ids.values())
    self._num_text_ids = 1 + max(text_ids, default=-1)
    control = (i for i in (self.eos_id, self.bos_id) if i is not None)
    self.num_ids = max(self._num_text_ids, *(1 + i for i in control))
    self.size = -(-self.num_ids // _SIZE_MULTIPLE) * _SIZE_MULTIPLE
    self.unk_id = ids.get(content["model"].get("unk_token") or "", -1)
    defines = f"{eos_id} {bos_id} {text}"
    self.fingerprint = hashlib.sha256(defines.encode()).hexdigest()
    self._check_ids()
    self._check_control_tokens()

  def _text_ids(self, ids: Iterable[int]) -> set[int]:
    """The ids that texts turn into."""
    added = self._tokenizer.get_added_tokens_decoder()
    return {*ids} - {i for i, token in added.items() if token.special}

  def _check_ids(self) -> None:
    for name, i in (("EOS", self.eos_id), ("BOS", self.bos_id)):
      if i is not None and self._tokenizer.id_to_token(i) is None:
        raise SymtuneError(
          f"{self._where}: {name} has id {i}, which no token of it has. The files "
          "belong to different models: download the whole folder again."
        )

  def _check_control_tokens(self) -> None:
    """Refuses a tokenizer that finds a control token by other ways than matching."""
    added = self._tokenizer.get_added_tokens_decoder()
    control = {i: token.content for i, token in added.items() if token.special}
    for text in control.values():
      found = control.keys() & self._tokenizer.encode(text).ids
      if found:
        raise SymtuneError(
          f"{self._where}: the text {text!r} turns into the control token with id "
          f"{found.pop()}, expected that no text does. Such a tokenizer is not "
          "supported."
        )

  def has_same_ids(self, other: "CausalVocab") -> bool:
    """Whether texts turn into the same ids with the same BOS.

    What ends a text may differ, as between a model and the chat model made of it.
    """
    if (self.bos_id, self._num_text_ids) != (other.bos_id, other._num_text_ids):
      return False
    ids = range(self._num_text_ids)
    return self.pieces(ids) == other.pieces(ids)

  def with_ends(self, ids: Iterable[int]) -> "CausalVocab":
    """The same vocabulary, where these ids end an answer, too."""
    changed = copy.copy(self)
    changed.end_ids = tuple(dict.fromkeys((*self.end_ids, *ids)))
    return changed

  def __getstate__(self) -> dict[str, Any]:
    """The tokenizer as JSON, which another process reads."""
    return {**vars(self), "_tokenizer": self._tokenizer.to_str()}

  def __setstate__(self, state: dict[str, Any]) -> None:
    vars(self).update(state)
    self._tokenizer = _open(self._where, state["_tokenizer"])

  def encode(self, text: str, *, sentinels: bool = False) -> Int[np.ndarray, "tokens"]:
    """Ids of a text as it stands, as int32: no BOS, no EOS, nothing stripped.

    Args:
      text: any text. Control tokens in it are text; other added tokens are matched.
      sentinels: without effect: there are none, so `<extra_id_0>` is text.
    """
    del sentinels
    return np.asarray(self._encode(text).ids, np.int32)

  def encode_label(self, word: str) -> Int[np.ndarray, "tokens"]:
    """Ids of a label word as it stands after a prompt's cue, with one space."""
    return self.encode_between(_CUE, f" {word.strip()}", "")

  def encode_between(
    self, before: str, text: str, after: str
  ) -> Int[np.ndarray, "tokens"]:
    """Ids of a text as it stands between two others.

    Args:
      before: what stands before it; empty at the start.
      text: the text.
      after: what stands after it; empty at the end.

    Raises:
      SymtuneError: a token covers two of the texts.
    """
    found = self._encode(before + text + after)
    start = self._border(found, before, text + after)
    stop = self._border(found, before + text, after)
    return np.asarray(found.ids[start:stop], np.int32)

  def _encode(self, text: str) -> tokenizers.Encoding:
    return self._tokenizer.encode(text, add_special_tokens=False)

  def _border(self, found: tokenizers.Encoding, left: str, right: str) -> int:
    """Number of the tokens of `left`."""
    if not left or not right:
      return len(found.ids) if left else 0
    token = found.char_to_token(len(left))
    chars = None if token is None else found.token_to_chars(token)
    if token is None or chars is None or chars[0] < len(left):
      raise SymtuneError(
        f"{self._where}: there is no border between tokens after {left[-20:]!r} and "
        f"before {right[:20]!r}, so prompts cannot be put together from parts. Leave "
        "the row with that text out, or use a model with another tokenizer."
      )
    return token

  def decode(self, ids: Iterable[SupportsInt]) -> str:
    """The text of `ids`; control tokens such as BOS and EOS are left out."""
    return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=True)

  def pieces(self, ids: Iterable[SupportsInt]) -> list[str]:
    """One piece per id; `▁` stands for a space, `<0xE2>` for a byte of a character."""
    return [self._piece(int(i)) for i in ids]

  def _piece(self, i: int) -> str:
    piece = self._tokenizer.id_to_token(i)
    if piece is None:
      return "<unused>"
    if isinstance(self._tokenizer.decoder, tokenizers.decoders.ByteLevel):
      piece = _read_bytes(piece)
    return piece.replace(" ", "▁").replace("\n", "↵")


def _open(where: str, content: str) -> tokenizers.Tokenizer:
  try:
    tokenizer = tokenizers.Tokenizer.from_str(content)
  except Exception as error:  # the library raises nothing more specific
    raise SymtuneError(
      f"{where} is not a tokenizer that tokenizers {tokenizers.__version__} can read "
      f"({error}). Download it again, or upgrade the package."
    ) from error
  tokenizer.encode_special_tokens = True
  return tokenizer


def _bytes_by_character() -> dict[str, int]:
  """GPT-2's letters for bytes (openai/gpt-2, src/encoder.py, bytes_to_unicode)."""
  printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
  others = [byte for byte in range(256) if byte not in printable]
  letters = {chr(byte): byte for byte in printable}
  return letters | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _bytes_by_character()


def _read_bytes(piece: str) -> str:
  """What the letters of a byte-level piece stand for; control tokens are unchanged."""
  if not all(letter in _BYTES for letter in piece):
    return piece
  content = bytes(_BYTES[letter] for letter in piece)
  try:
    return content.decode()
  except UnicodeDecodeError:
    return "".join(chr(b) if 32 <= b < 127 else f"<0x{b:02X}>" for b in content)
