"""The files of a tokenizer -> SentencePieceVocab or CausalVocab, with added tokens.

A decoder-only model's is read in `causal.py`. A T5's is read here: besides the
SentencePiece model, it may consist of tokenizer.json,
tokenizer_config.json, added_tokens.json and special_tokens_map.json. All of them are
read: a token that is added in one of them changes the ids of every text it occurs in.
"""

import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from symtune.convert.folders import local_file
from symtune.convert.model_folder import (
  ADDED_TOKENS,
  SPECIAL_TOKENS,
  TOKENIZER,
  TOKENIZER_CONFIG,
  declared_tokens,
  list_added,
  read_object,
)
from symtune.convert.tensors import SourceCheckpoint
from symtune.convert.tokenizer.causal import is_byte_pairs, read_causal_vocab
from symtune.convert.tokenizer.unigram import pieces_of, sentencepiece_model
from symtune.data.text.added_tokens import AddedToken
from symtune.data.text.vocab import EXTRA_IDS, SentencePieceVocab, Vocab
from symtune.errors import SymtuneError

# The names that Transformers and T5X give a SentencePiece model.
MODELS = ("spiece.model", "sentencepiece.model")
# All files of a tokenizer.
FILES = (*MODELS, TOKENIZER, TOKENIZER_CONFIG, ADDED_TOKENS, SPECIAL_TOKENS)
_SENTINEL = re.compile(r"<extra_id_\d+>", re.ASCII)
_MAX_EXTRA_IDS = 10_000
_CONTROL = {"pad_token": 0, "eos_token": 1, "unk_token": 2}
# Embedding tables have spare rows: up to 128 for speed, or a few hundred for tokens to
# come. Phi-2 has 905 of 51,200; no published model is known to have more than a tenth.
_ROUNDED_TO = 128
_LEAST_USED = 0.9
_MORE_SPECIAL = ("additional_special_tokens", "extra_special_tokens")


def find_vocab(folder: pathlib.Path) -> pathlib.Path | None:
  """The file in a folder that holds a vocabulary, or None if there is none.

  Raises:
    SymtuneError: it is a link that leads out of the folder, or no regular file.
  """
  found = (local_file(folder, name) for name in (*MODELS, TOKENIZER))
  return next((path for path in found if path is not None), None)


def vocab_file(path: pathlib.Path) -> pathlib.Path:
  """The path itself or, if it is a folder, the file in it that holds a vocabulary.

  Raises:
    SymtuneError: the folder holds none.
  """
  if not path.is_dir():
    return path
  found = find_vocab(path)
  if found is None:
    raise SymtuneError(
      f"vocabulary: {path} has no {MODELS[0]} and no {TOKENIZER}, expected one of "
      "them. Give a SentencePiece model, such as T5's spiece.model, or a decoder-only "
      "model's tokenizer.json with --vocab."
    )
  return found


def read_vocab(path: str | pathlib.Path) -> Vocab:
  """Opens a vocabulary of either kind of model, with the added tokens beside it.

  Args:
    path: a SentencePiece model, a tokenizer.json, or the folder of either.

  Returns:
    A `CausalVocab` for a tokenizer.json with a byte-pair encoding, as decoder-only
    models have it; otherwise a `SentencePieceVocab`.

  Raises:
    SymtuneError: there is no vocabulary, it is not supported, or its files disagree;
      names the file and the token.
  """
  path = vocab_file(pathlib.Path(path))
  if path.name == TOKENIZER and is_byte_pairs(content := read_object(path)):
    return read_causal_vocab(path, content)
  return read_t5_vocab(path)


def read_t5_vocab(path: str | pathlib.Path) -> SentencePieceVocab:
  """Opens a T5's vocabulary, with the added tokens that lie beside it.

  Args:
    path: a SentencePiece model, a T5's tokenizer.json, or the folder of either.

  Raises:
    SymtuneError: there is no vocabulary, it is not a T5's, or its files disagree; names
      the file and the token.
  """
  path = vocab_file(pathlib.Path(path))
  folder = path.parent
  settings = read_object(folder / TOKENIZER_CONFIG, is_required=False)
  model, extra_ids = None, _extra_ids(folder, settings)
  if path.name == TOKENIZER:
    content = read_object(path)
    model, extra_ids = sentencepiece_model(content, str(path))
  vocab = SentencePieceVocab(path, extra_ids, added=_added(folder), model=model)
  if path.name in MODELS and local_file(folder, TOKENIZER) is not None:
    _check_pieces(path, vocab, read_object(folder / TOKENIZER))
  _check_special(folder, vocab, settings)
  return vocab


def checkpoint_vocab(source: SourceCheckpoint) -> SentencePieceVocab | None:
  """The vocabulary that lies with a checkpoint, or None if there is none.

  Raises:
    SymtuneError: it cannot be read, or has more ids than the network.
  """
  if source.vocab is None:
    return None
  vocab = read_t5_vocab(source.vocab)
  check_rows(source, vocab, str(source.vocab))
  return vocab


def has_too_few_ids(count: int, rows: int) -> bool:
  """Whether so many rows of an embedding table have no id that it is another model's.

  Args:
    count: ids of the tokenizer.
    rows: rows of the table.
  """
  return rows - count >= _ROUNDED_TO and count < _LEAST_USED * rows


def check_rows(source: SourceCheckpoint, vocab: Vocab, name: str) -> None:
  """Refuses a vocabulary with more ids than a network has rows, or with far fewer.

  Raises:
    SymtuneError: names both numbers, and the added tokens.
  """
  rows = source.config.vocab_size
  if vocab.num_ids > rows:
    tokens = vocab.added if isinstance(vocab, SentencePieceVocab) else ()
    added = f" ({list_added(tokens)} added)" if tokens else ""
    raise SymtuneError(
      f"{name}: got {vocab.num_ids} ids with the sentinels{added}, expected at most "
      f"{rows}, the embedding rows of {source.where}. Give the network's own "
      "vocabulary with --vocab, or resize its embedding where tokens were added "
      "(Transformers: model.resize_token_embeddings(len(tokenizer)))."
    )
  if has_too_few_ids(vocab.num_ids, rows):
    raise SymtuneError(
      f"{name}: got {vocab.num_ids} ids, but the embedding table of {source.where} has "
      f"{rows} rows: it is another network's vocabulary. Give the network's own with "
      "--vocab."
    )


def _extra_ids(folder: pathlib.Path, settings: Mapping[str, Any]) -> int:
  count = settings.get("extra_ids", EXTRA_IDS)
  if type(count) is not int or not 0 <= count <= _MAX_EXTRA_IDS:
    raise SymtuneError(
      f"{folder / TOKENIZER_CONFIG}: extra_ids is {count!r}, expected a whole number "
      f"from 0 to {_MAX_EXTRA_IDS}; T5 has {EXTRA_IDS}."
    )
  return count


def _added(folder: pathlib.Path) -> tuple[AddedToken, ...]:
  """The added tokens; every file that lists such tokens has to list the same."""
  by_file = {
    file: [t for t in tokens if t.id > 2 and not _SENTINEL.fullmatch(t.text)]
    for file, tokens in declared_tokens(folder).items()
  }
  first = next(iter(by_file), None)
  for file, tokens in by_file.items():
    # added_tokens.json has no flags, only texts and ids.
    has_flags = ADDED_TOKENS not in (first, file)
    differ = _keys(tokens, has_flags) ^ _keys(by_file[str(first)], has_flags)
    if differ:
      raise SymtuneError(
        f"{folder}: {first} and {file} list different added tokens: "
        f"{', '.join(sorted({repr(key[0]) for key in differ}))}. Readers would differ "
        "in which file they follow: save the tokenizer again (save_pretrained), or "
        "remove the file that is out of date."
      )
  return tuple(by_file[first]) if first is not None else ()


def _keys(tokens: Iterable[AddedToken], has_flags: bool) -> set[tuple[Any, ...]]:
  return {
    (t.text, t.id, *((t.is_word, t.is_normalized) if has_flags else ())) for t in tokens
  }


def _check_pieces(
  path: pathlib.Path, vocab: SentencePieceVocab, content: Mapping[str, Any]
) -> None:
  """Refuses two vocabularies in one folder: some readers would take the other one."""
  other = [piece for piece, _ in pieces_of(content, str(path.parent / TOKENIZER))]
  mine = vocab.pieces(range(min(len(other), vocab.num_ids)))
  if mine != other:
    pairs = enumerate(zip(mine, other, strict=False))
    first = next((i for i, (left, right) in pairs if left != right), len(mine))
    raise SymtuneError(
      f"{path} and {TOKENIZER} beside it hold different pieces from id {first} on. "
      "They belong to different models: get the tokenizer again, or remove the wrong "
      "file."
    )


def _check_special(
  folder: pathlib.Path, vocab: SentencePieceVocab, settings: Mapping[str, Any]
) -> None:
  """Refuses special tokens that have no id, or another than T5's."""
  known = {token.text for token in vocab.added} | set(vocab.pieces(range(3)))
  special = read_object(folder / SPECIAL_TOKENS, is_required=False)
  for file, content in ((TOKENIZER_CONFIG, settings), (SPECIAL_TOKENS, special)):
    for name, i in _CONTROL.items():
      text = _text(content.get(name))
      if text is not None and text != vocab.pieces([i])[0]:
        raise SymtuneError(
          f"{folder / file}: {name} is {text!r}, expected {vocab.pieces([i])[0]!r}, "
          f"the piece with id {i}: in this network the ids of padding, EOS and unknown "
          "are 0, 1 and 2."
        )
    listed = (content.get(name) for name in _MORE_SPECIAL)
    more = (_text(v) for values in listed if isinstance(values, list) for v in values)
    for text in more:
      if text is not None and text not in known and not _SENTINEL.fullmatch(text):
        raise SymtuneError(
          f"{folder / file}: the special token {text!r} has no id in any file. Save "
          "the tokenizer again with Transformers (save_pretrained), which writes it."
        )


def _text(value: Any) -> str | None:
  value = value.get("content") if isinstance(value, Mapping) else value
  return value if isinstance(value, str) else None
