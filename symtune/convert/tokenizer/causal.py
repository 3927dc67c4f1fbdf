"""The files of a decoder-only model's tokenizer -> CausalVocab.

tokenizer.json holds the tokenizer itself; which tokens start and end a text is said by
tokenizer_config.json, special_tokens_map.json and the model's configs, if these lie
beside it. All have to agree.
"""

import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from symtune.convert.model_folder import (
  CONFIG,
  GENERATION,
  SPECIAL_TOKENS,
  TOKENIZER,
  TOKENIZER_CONFIG,
  declared_tokens,
  read_object,
  special_texts,
)
from symtune.data.text.added_tokens import AddedToken
from symtune.data.text.causal_vocab import MODEL, CausalVocab
from symtune.data.tokens.causal import check_joins
from symtune.errors import SymtuneError

_NAMED = ("bos_token", "eos_token")


def is_byte_pairs(content: Mapping[str, Any]) -> bool:
  """Whether a tokenizer.json is of the kind that decoder-only models have."""
  model = content.get("model")
  return isinstance(model, dict) and model.get("type") == MODEL


def read_causal_vocab(
  path: str | pathlib.Path, content: Mapping[str, Any] | None = None
) -> CausalVocab:
  """Opens the vocabulary of a decoder-only model.

  Args:
    path: a tokenizer.json, or the folder that holds one.
    content: of the file, if it was read before: some are large.

  Raises:
    SymtuneError: a file is missing, damaged or of another model; the tokenizer is of a
      kind that is not supported, or its prompts are not those of their parts; names the
      file.
  """
  path = pathlib.Path(path)
  path = path / TOKENIZER if path.is_dir() else path
  folder, content = path.parent, read_object(path) if content is None else content
  settings = read_object(folder / TOKENIZER_CONFIG, is_required=False)
  special = read_object(folder / SPECIAL_TOKENS, is_required=False)
  named, added = _named_tokens(settings, special), declared_tokens(folder, content)
  ids = _ids(path, content, added)
  eos_id = _special_id(folder, ids, named, "eos_token")
  if eos_id is None:
    raise SymtuneError(
      f"{folder}: no file says which token ends a text, expected eos_token in "
      f"{TOKENIZER_CONFIG}. Save the tokenizer again with Transformers "
      "(save_pretrained), which writes it."
    )
  _special_id(folder, ids, named, "bos_token")  # files that contradict each other
  bos_id = _id_before(path, content.get("post_processor"), ids)
  _check_adds_bos(path, settings.get("add_bos_token"), bos_id)
  listed = (token for tokens in added.values() for token in tokens)
  control = special_texts(folder, settings)
  control |= {token.text for token in listed if token.is_special}
  tokens = [
    {**token, "special": token["content"] in control}
    for token in content.get("added_tokens") or []
  ]
  content = {**content, "added_tokens": tokens}
  vocab = CausalVocab(
    content,
    where=str(path),
    eos_id=eos_id,
    bos_id=bos_id,
    end_ids=_end_ids(folder),
  )
  _check_rows(folder, vocab)
  check_joins(vocab, str(path))
  return vocab


def _check_adds_bos(path: pathlib.Path, setting: Any, bos_id: int | None) -> None:
  """Refuses a setting that Transformers 4 obeys and Transformers 5 ignores."""
  if isinstance(setting, bool) and setting != (bos_id is not None):
    puts = "no token" if bos_id is None else f"the token with id {bos_id}"
    raise SymtuneError(
      f"{path.parent}: add_bos_token is {str(setting).lower()} in {TOKENIZER_CONFIG}, "
      f"but the post-processor of {TOKENIZER} puts {puts} before a text, expected that "
      "they agree: Transformers 4 follows the first, Transformers 5 the second. Find "
      "out how the model was trained, and correct the other file in a copy."
    )


def _ids(
  path: pathlib.Path,
  content: Mapping[str, Any],
  added: Mapping[str, Sequence[AddedToken]],
) -> dict[str, int]:
  """Ids of all tokens by text; every file that lists added tokens has to agree."""
  model = content.get("model")
  pieces = model.get("vocab") if isinstance(model, dict) else None
  ids = dict(pieces) if isinstance(pieces, dict) else {}
  for file, tokens in added.items():
    for token in tokens:
      if file == TOKENIZER:
        ids[token.text] = token.id
      elif ids.get(token.text) != token.id:
        raise SymtuneError(
          f"{path}: the token {token.text!r} has id {ids.get(token.text)}, but "
          f"{token.id} in {file}. Save the tokenizer again with Transformers "
          "(save_pretrained), or remove the file that is out of date."
        )
  return ids


def _named_tokens(*files: Mapping[str, Any]) -> dict[str, str]:
  """The texts of BOS and EOS where files name them; the first file counts."""
  found: dict[str, str] = {}
  for content in files:
    for name in _NAMED:
      value = content.get(name)
      text = value.get("content") if isinstance(value, dict) else value
      if isinstance(text, str):
        found.setdefault(name, text)
  return found


def _special_id(
  folder: pathlib.Path,
  ids: Mapping[str, int],
  named: Mapping[str, str],
  name: str,
) -> int | None:
  """The id of EOS or BOS: of the token that is named, or what the configs state."""
  configs = [
    read_object(folder / file, is_required=False) for file in (GENERATION, CONFIG)
  ]
  stated = [i for content in configs for i in _whole_numbers(content.get(f"{name}_id"))]
  if name not in named:
    return stated[0] if stated else None
  found = ids.get(named[name])
  if found is None:
    raise SymtuneError(
      f"{folder}: {name} is {named[name]!r}, which has no id in {TOKENIZER}. The files "
      "belong to different models: download the whole folder again."
    )
  if stated and found not in stated:
    raise SymtuneError(
      f"{folder}: {name} of its tokenizer is id {found}, but {name}_id in {CONFIG} or "
      f"{GENERATION} is {stated[0]}. If the tokenizer is the model's, correct the "
      "config; if not, download the whole folder again."
    )
  return found


def _end_ids(folder: pathlib.Path) -> list[int]:
  """What ends an answer: generation_config.json counts before config.json."""
  for file in (GENERATION, CONFIG):
    stated = read_object(folder / file, is_required=False).get("eos_token_id")
    if found := _whole_numbers(stated):
      return found
  return []


def _whole_numbers(value: Any) -> list[int]:
  values = value if isinstance(value, list) else [value]
  return [i for i in values if type(i) is int]


def _id_before(
  path: pathlib.Path, processor: Any, ids: Mapping[str, int]
) -> int | None:
  """The id that a post-processor of tokenizer.json puts before a text, or None."""
  try:
    before = [ids[text] for text in _texts_before(processor)]
  except (KeyError, TypeError, ValueError) as error:
    raise SymtuneError(
      f"{path}: its post_processor, {json.dumps(processor):.60}, is not understood, "
      "expected ByteLevel, TemplateProcessing or a Sequence of these. Such a model can "
      "be asked with --checkpoint transformers:FOLDER."
    ) from error
  if len(before) > 1:
    raise SymtuneError(
      f"{path}: its post-processor puts {len(before)} tokens before a text, expected "
      "BOS or none. Such a model can be asked with --checkpoint transformers:FOLDER."
    )
  return before[0] if before else None


def _texts_before(processor: Any) -> list[str]:
  """The tokens that a post-processor puts before a text; else raises."""
  if processor is None or processor["type"] == "ByteLevel":
    return []
  if processor["type"] == "Sequence":
    return [text for step in processor["processors"] for text in _texts_before(step)]
  if processor["type"] != "TemplateProcessing":
    raise ValueError(processor["type"])
  steps = itertools.takewhile(lambda step: "Sequence" not in step, processor["single"])
  return [step["SpecialToken"]["id"] for step in steps]


def _check_rows(folder: pathlib.Path, vocab: CausalVocab) -> None:
  """Refuses a tokenizer with more ids than the model has rows."""
  rows = read_object(folder / CONFIG, is_required=False).get("vocab_size")
  if type(rows) is int and vocab.num_ids > rows:
    raise SymtuneError(
      f"{folder}: got a tokenizer of {vocab.num_ids} ids, expected at most {rows}, "
      f"vocab_size in {CONFIG}. The files belong to different models, or tokens were "
      "added without new rows (Transformers: model.resize_token_embeddings)."
    )
