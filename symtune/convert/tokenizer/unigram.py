"""T5's tokenizer.json -> a SentencePiece model, without the tokenizers library.

Transformers 5 saves a T5's tokenizer as tokenizer.json alone. The file holds what the
SentencePiece model held: pieces with their scores and the table of the normalization.
Source: transformers/models/t5/tokenization_t5.py, which rebuilds its tokenizer from the
same two parts.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sentencepiece import sentencepiece_model_pb2

from symtune.errors import SymtuneError

_SENTINEL = re.compile(r"<extra_id_(\d{1,4})>", re.ASCII)
_CONTROL = ("<pad>", "</s>", "<unk>")
_MAX_PIECES = 10_000_000


def sentencepiece_model(content: Mapping[str, Any], where: str) -> tuple[bytes, int]:
  """The SentencePiece model that a tokenizer.json of a T5 was made from.

  Args:
    content: the file's JSON object.
    where: the file, for messages.

  Returns:
    The model's bytes, and how many sentinels the file has above its pieces.

  Raises:
    SymtuneError: it is not the tokenizer of a T5; names what differs.
  """
  entries = pieces_of(content, where)
  model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
  count = _count_sentinels([piece for piece, _ in entries])
  kinds = model.SentencePiece
  for i, (piece, score) in enumerate(entries[: len(entries) - count]):
    kind = (kinds.CONTROL, kinds.CONTROL, kinds.UNKNOWN, kinds.NORMAL)[min(i, 3)]
    model.pieces.add(piece=piece, score=score, type=kind)
  trainer, normalizer = model.trainer_spec, model.normalizer_spec
  trainer.model_type = trainer.UNIGRAM
  trainer.vocab_size = len(model.pieces)
  trainer.pad_id, trainer.eos_id, trainer.unk_id, trainer.bos_id = 0, 1, 2, -1
  normalizer.precompiled_charsmap = _charsmap(content, where)
  normalizer.add_dummy_prefix = True
  normalizer.remove_extra_whitespaces = True
  normalizer.escape_whitespaces = True
  return model.SerializeToString(), count


def pieces_of(content: Mapping[str, Any], where: str) -> list[tuple[str, float]]:
  """The pieces of a T5's tokenizer.json with their scores, sentinels included.

  Raises:
    SymtuneError: it is not the tokenizer of a T5; names what differs.
  """
  model = _object(content.get("model"))
  entries = model.get("vocab")
  if model.get("type") not in (None, "Unigram") or not isinstance(entries, list):
    raise _foreign(where, f"model.type {model.get('type')!r}")
  if model.get("byte_fallback") or model.get("unk_id") != 2:
    settings = {name: model.get(name) for name in ("unk_id", "byte_fallback")}
    raise _foreign(where, f"model settings {settings}")
  if len(entries) > _MAX_PIECES or not all(map(_is_entry, entries)):
    raise _foreign(where, "a vocabulary that is no list of pieces and scores")
  names = tuple(entry[0] for entry in entries[:3])
  if names != _CONTROL:
    raise _foreign(where, f"the first pieces {list(names)}")
  return [(piece, float(score)) for piece, score in entries]


def _count_sentinels(pieces: Sequence[str]) -> int:
  """How many pieces at the end are sentinels, counting down to <extra_id_0>."""
  count = 0
  for piece in reversed(pieces):
    match = _SENTINEL.fullmatch(piece)
    if match is None or int(match[1]) != count:
      break
    count += 1
  return count


def _charsmap(content: Mapping[str, Any], where: str) -> bytes:
  normalizer = _object(content.get("normalizer"))
  steps = normalizer.get("normalizers", [normalizer])
  steps = [_object(step) for step in steps] if isinstance(steps, list) else []
  found = [s for s in steps if s.get("type") == "Precompiled"]
  if len(found) != 1:
    raise _foreign(where, f"normalizers {[step.get('type') for step in steps]}")
  try:
    return base64.b64decode(found[0].get("precompiled_charsmap") or "", validate=True)
  except (TypeError, ValueError, binascii.Error) as error:
    raise _foreign(
      where, f"a precompiled_charsmap that is damaged ({error})"
    ) from error


def _is_entry(entry: Any) -> bool:
  return (
    isinstance(entry, list)
    and len(entry) == 2
    and isinstance(entry[0], str)
    and isinstance(entry[1], int | float)
    and not isinstance(entry[1], bool)
  )


def _object(value: Any) -> Mapping[str, Any]:
  return value if isinstance(value, Mapping) else {}


def _foreign(where: str, got: str) -> SymtuneError:
  return SymtuneError(
    f"{where}: got {got}, expected a T5's: Unigram pieces that start with <pad>, </s> "
    "and <unk>, and a Precompiled normalizer. Models with another tokenizer can be "
    "asked with --checkpoint transformers:FOLDER; they cannot be tuned or converted."
  )
