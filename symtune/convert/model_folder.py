"""What a folder of Transformers brings along besides its tensors, from its JSON files.

Such a folder changes what a model answers in more ways than by its weights: tokens that
a user added, special tokens, quantization, adapters. Each is read here, without
Transformers, and is either returned, so that the reader gives it its effect, or refused
by name. How text is generated is the experiment's choice, not the folder's: every
reader generates greedily, without penalties and suppressed tokens, whatever
generation_config.json says. Only the ids that start and end an answer are its own.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence, Set
from typing import Any

from symtune.bounded import read_json
from symtune.convert.folders import local_file
from symtune.data.text.added_tokens import AddedToken
from symtune.errors import SymtuneError

CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
ADDED_TOKENS = "added_tokens.json"
SPECIAL_TOKENS = "special_tokens_map.json"
ADAPTER = "adapter_config.json"
# Bytes. Most tokenizer.json files have 2 to 20 million; Gemma's has 33 million.
_MAX_JSON = 200_000_000
# Each of these holds a whole vocabulary; the JSON files above may stand beside it.
VOCABULARIES = (
  TOKENIZER,
  "spiece.model",
  "sentencepiece.model",
  "sentencepiece.bpe.model",
  "tokenizer.model",
  "tekken.json",
  "vocab.json",
  "vocab.txt",
)
# Tokenizers that need no vocabulary: their ids are bytes.
_BYTE_TOKENIZERS = ("ByT5Tokenizer", "PerceiverTokenizer", "CanineTokenizer")
# An id of each of these must be the token of this name.
_SPECIAL_IDS = {
  "eos_token_id": "eos_token",
  "pad_token_id": "pad_token",
  "bos_token_id": "bos_token",
}
# Families whose training starts each answer with the answer's own last token.
_STARTS_DIFFER = ("mbart", "plbart")
# Tokens that stand before every answer. They would belong to the scores of labels too.
_FORCED = ("forced_bos_token_id", "forced_decoder_ids")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFolder:
  """The JSON files of a folder, checked.

  Attributes:
    path: the folder.
    config: content of config.json.
    generation: content of generation_config.json; empty without one.
    tokenizer_config: content of tokenizer_config.json; empty without one.
    vocabularies: the files that hold its vocabulary, in the order of VOCABULARIES.
    added: every token that its files declare besides the pieces of its vocabulary,
      control tokens included, by id.
  """

  path: pathlib.Path
  config: Mapping[str, Any]
  generation: Mapping[str, Any]
  tokenizer_config: Mapping[str, Any]
  vocabularies: tuple[pathlib.Path, ...]
  added: tuple[AddedToken, ...]

  @property
  def has_tokenizer(self) -> bool:
    """Whether it holds a tokenizer, or names one that needs no files."""
    named = self.tokenizer_config.get("tokenizer_class")
    return bool(self.vocabularies) or named in _BYTE_TOKENIZERS


def read_model_folder(path: pathlib.Path) -> ModelFolder:
  """Reads and checks the JSON files of a folder.

  Args:
    path: a folder as `save_pretrained` writes it, or a snapshot of the hub.

  Raises:
    SymtuneError: a file is missing or damaged; the model is quantized, an adapter or
      code of its author's; answers have to start with forced tokens; two files give
      one token two ids. Names the file and the key.
  """
  _check_adapter(path)
  config = read_object(path / CONFIG)
  generation = read_object(path / GENERATION, is_required=False)
  tokenizer_config = read_object(path / TOKENIZER_CONFIG, is_required=False)
  _check_kind(path, config)
  _check_generation(path, config, generation)
  return ModelFolder(
    path=path,
    config=config,
    generation=generation,
    tokenizer_config=tokenizer_config,
    vocabularies=tuple(path / n for n in VOCABULARIES if (path / n).is_file()),
    added=_added_tokens(path),
  )


def read_object(path: pathlib.Path, *, is_required: bool = True) -> dict[str, Any]:
  """Reads a JSON object.

  Args:
    path: the file.
    is_required: whether it has to exist; if not, a missing file is an empty object.

  Raises:
    SymtuneError: the file is missing, leads out of its folder, is too large, or is not
      a JSON object.
  """
  if local_file(path.parent, path.name) is None:
    if is_required:
      raise SymtuneError(f"{path}: no such file; expected a Transformers model.")
    return {}
  # Mamba's configs hold Infinity.
  try:
    content = read_json(path, _MAX_JSON, allow_nan=True)
  except SymtuneError as error:
    raise SymtuneError(
      f"{str(error).rstrip('.')}. Download it again; if it is a pointer of Git LFS, "
      "run `git lfs pull`."
    ) from error
  if not isinstance(content, dict):
    raise SymtuneError(f"{path} holds {type(content).__name__}, expected an object.")
  return content


def check_special_ids(
  folder: ModelFolder, ids: Mapping[str, int | None], *, rows: int
) -> None:
  """Refuses a tokenizer whose control tokens are not those of the model's config.

  Args:
    folder: the model.
    ids: of the tokenizer's "eos_token", "pad_token" and "bos_token"; None for one that
      it does not have.
    rows: rows of the model's embedding table. A config may hold larger ids, its class's
      defaults, which mean nothing.

  Raises:
    SymtuneError: names the token, and both ids.
  """
  for key, name in _SPECIAL_IDS.items():
    mine = ids.get(name)
    stated = [
      i
      for content in (folder.config, folder.generation)
      for i in _as_list(content.get(key))
      if i < rows
    ]
    if mine is not None and stated and mine not in stated:
      raise SymtuneError(
        f"{folder.path}: {name} of its tokenizer is id {mine}, but {key} in {CONFIG} "
        f"is {stated[0]}. If the tokenizer is the model's, correct the config; if not, "
        "download the whole folder again."
      )


def _as_list(value: Any) -> list[int]:
  """The whole numbers of a setting that is one or a list of them."""
  values = value if isinstance(value, list) else [value]
  return [i for i in values if type(i) is int]


def _check_adapter(path: pathlib.Path) -> None:
  if (path / ADAPTER).is_file():
    raise SymtuneError(
      f"{path} has an {ADAPTER}, so its answers need the adapter and its base model "
      "together. Merge them first (peft: merge_and_unload, then save_pretrained)."
    )


def _check_kind(path: pathlib.Path, config: Mapping[str, Any]) -> None:
  if config.get("quantization_config"):
    method = config["quantization_config"]
    method = method.get("quant_method") if isinstance(method, dict) else method
    raise SymtuneError(
      f"{path / CONFIG}: quantization_config is of {method!r}, expected a model that "
      "is not quantized: its numbers depend on the kernels that compute them. Get the "
      "model's float32 or bfloat16 version."
    )
  if config.get("model_type") in _STARTS_DIFFER:
    raise SymtuneError(
      f"{path / CONFIG}: model_type is {config['model_type']!r}, whose answers start "
      "with the code of a language, which is not one token for all texts. Use a model "
      "whose answers start with one token, such as T5 or BART."
    )
  if config.get("auto_map"):
    raise SymtuneError(
      f"{path / CONFIG}: auto_map names code of the model's author, which is never "
      "run. Use a model that Transformers itself supports, without auto_map."
    )


def _check_generation(
  path: pathlib.Path, config: Mapping[str, Any], generation: Mapping[str, Any]
) -> None:
  for file, content in ((GENERATION, generation), (CONFIG, config)):
    forced = [name for name in _FORCED if content.get(name) is not None]
    if forced:
      raise SymtuneError(
        f"{path / file}: {forced[0]} is {content[forced[0]]!r}, expected none: "
        "answers that have to start with given tokens are not supported. Remove it "
        "from a copy of the file to ask the model without it."
      )


def declared_tokens(
  path: pathlib.Path, tokenizer: Mapping[str, Any] | None = None
) -> dict[str, list[AddedToken]]:
  """The added tokens that each file of a folder lists, by the file's name.

  Files that have no list of added tokens are left out.

  Args:
    path: the folder.
    tokenizer: content of its tokenizer.json, if it was read before: some are large.

  Raises:
    SymtuneError: a file is damaged; names it.
  """
  settings = read_object(path / TOKENIZER_CONFIG, is_required=False)
  if tokenizer is None:
    tokenizer = read_object(path / TOKENIZER, is_required=False)
  found = {
    TOKENIZER: _of_tokenizer(path / TOKENIZER, tokenizer),
    TOKENIZER_CONFIG: _of_settings(path / TOKENIZER_CONFIG, settings),
    ADDED_TOKENS: _of_map(path / ADDED_TOKENS, special_texts(path, settings)),
  }
  return {file: tokens for file, tokens in found.items() if tokens}


def _added_tokens(path: pathlib.Path) -> tuple[AddedToken, ...]:
  """The tokens of three files, which have to agree about ids."""
  found: dict[str, AddedToken] = {}
  places: dict[str, str] = {}
  for file, tokens in declared_tokens(path).items():
    for token in tokens:
      known = found.setdefault(token.text, token)
      place = places.setdefault(token.text, file)
      if known.id != token.id:
        raise SymtuneError(
          f"{path}: the token {token.text!r} has id {known.id} in {place} and "
          f"{token.id} in {file}. The files belong to different models: download the "
          "whole folder again."
        )
  return tuple(sorted(found.values(), key=lambda token: (token.id, token.text)))


def _of_tokenizer(path: pathlib.Path, content: Mapping[str, Any]) -> list[AddedToken]:
  tokens = content.get("added_tokens") or []
  if not isinstance(tokens, list):
    raise SymtuneError(f"{path}: added_tokens is not a list. Download it again.")
  return [_token(path, value, _get(value, "id")) for value in tokens]


def _of_settings(path: pathlib.Path, content: Mapping[str, Any]) -> list[AddedToken]:
  tokens = content.get("added_tokens_decoder") or {}
  if not isinstance(tokens, dict):
    raise SymtuneError(
      f"{path}: added_tokens_decoder is not an object. Download it again."
    )
  return [_token(path, value, key) for key, value in tokens.items()]


def _of_map(path: pathlib.Path, special: Set[str]) -> list[AddedToken]:
  """The file has no flags; Transformers does not normalize special tokens."""
  content = read_object(path, is_required=False)
  return [
    _token(
      path,
      {"content": text, "special": text in special, "normalized": text not in special},
      i,
    )
    for text, i in content.items()
  ]


def special_texts(path: pathlib.Path, settings: Mapping[str, Any]) -> set[str]:
  """The texts of all special tokens, wherever they are named."""
  values: list[Any] = []
  for content in (settings, read_object(path / SPECIAL_TOKENS, is_required=False)):
    for name, value in content.items():
      if name.endswith(("_token", "_special_tokens")):
        values += value if isinstance(value, list) else [value]
  texts = (v.get("content") if isinstance(v, dict) else v for v in values)
  return {text for text in texts if isinstance(text, str)}


def _token(path: pathlib.Path, value: Any, number: Any) -> AddedToken:
  text = _get(value, "content")
  if isinstance(number, str) and number.isascii() and number.isdigit():
    number = int(number[:9])
  if type(number) is not int or not isinstance(text, str) or not text:
    raise SymtuneError(
      f"{path}: got the added token {value!r} with id {number!r}, expected a text as "
      "content and a whole number as id. Download it again."
    )
  return AddedToken(
    text=text,
    id=number,
    is_special=bool(value.get("special", False)),
    strips_left=bool(value.get("lstrip", False)),
    strips_right=bool(value.get("rstrip", False)),
    is_word=bool(value.get("single_word", False)),
    is_normalized=bool(value.get("normalized", True)),
  )


def _get(value: Any, key: str) -> Any:
  return value.get(key) if isinstance(value, dict) else None


def list_added(tokens: Sequence[AddedToken]) -> str:
  """Added tokens with their ids, for messages; beyond ten, how many more there are."""
  shown = ", ".join(f"{token.text!r} = {token.id}" for token in tokens[:10])
  more = len(tokens) - 10
  return f"{shown} and {more} more" if more > 0 else shown
