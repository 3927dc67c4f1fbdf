"""SentencePieceVocab -> the files of a tokenizer, for Transformers and for T5X."""

import json
import pathlib
from typing import Any

from symtune.convert.model_folder import SPECIAL_TOKENS, TOKENIZER_CONFIG
from symtune.convert.tokenizer.read import MODELS
from symtune.data.text.added_tokens import AddedToken
from symtune.data.text.vocab import EXTRA_IDS, SentencePieceVocab
from symtune.files import write_whole


def write_for_transformers(folder: pathlib.Path, vocab: SentencePieceVocab) -> None:
  """Writes a tokenizer that Transformers loads as T5Tokenizer."""
  write_whole(folder / MODELS[0], vocab.model)
  pad, eos, unk = vocab.pieces(range(3))
  special = {
    "eos_token": eos,
    "pad_token": pad,
    "unk_token": unk,
    "additional_special_tokens": list(vocab.sentinels),
  }
  settings: dict[str, Any] = {
    "tokenizer_class": "T5Tokenizer",
    "extra_ids": len(vocab.sentinels),
    "model_max_length": 512,
    **special,
  }
  if vocab.added:
    settings["added_tokens_decoder"] = _by_id(vocab)
  write_whole(folder / SPECIAL_TOKENS, json.dumps(special, indent=2) + "\n")
  write_whole(folder / TOKENIZER_CONFIG, json.dumps(settings, indent=2) + "\n")


def write_for_t5x(folder: pathlib.Path, vocab: SentencePieceVocab) -> None:
  """Writes the SentencePiece model; beside it, for symtune alone, added tokens."""
  write_whole(folder / MODELS[0], vocab.model)
  if vocab.added or len(vocab.sentinels) != EXTRA_IDS:
    settings = {
      "extra_ids": len(vocab.sentinels),
      "added_tokens_decoder": _by_id(vocab),
    }
    write_whole(folder / TOKENIZER_CONFIG, json.dumps(settings, indent=2) + "\n")


def _by_id(vocab: SentencePieceVocab) -> dict[str, dict[str, Any]]:
  """Control tokens, sentinels and added tokens by id, as Transformers writes them."""
  control = [
    AddedToken(text=text, id=i, is_special=True, is_normalized=False)
    for i, text in enumerate(vocab.pieces(range(3)))
  ]
  sentinels = [
    AddedToken(text=text, id=i, is_special=True, is_normalized=False)
    for text, i in vocab.sentinels.items()
  ]
  tokens = sorted([*control, *sentinels, *vocab.added], key=lambda token: token.id)
  return {
    str(token.id): {
      "content": token.text,
      "lstrip": token.strips_left,
      "normalized": token.is_normalized,
      "rstrip": token.strips_right,
      "single_word": token.is_word,
      "special": token.is_special,
    }
    for token in tokens
  }
