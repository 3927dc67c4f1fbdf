"""Whether the files of a Transformers model belong together, and can answer a probe."""

import pathlib
from collections.abc import Mapping
from typing import Any

from symtune.convert.model_folder import (
  CONFIG,
  TOKENIZER_CONFIG,
  ModelFolder,
  check_special_ids,
)
from symtune.convert.tensors import list_some
from symtune.errors import SymtuneError
from symtune.probe.answer.hf import forward
from symtune.probe.answer.hf.tokens import SAMPLE, TextTokenizer

# Numbers that mean nothing without a scale that stands elsewhere.
_PACKED = ("F8", "F6", "F4", "I8", "I4")
# Embedding tables have spare rows: up to 128 for speed, or a few hundred for tokens to
# come. Phi-2 has 905 of 51,200; no published model is known to have more than a tenth.
_ROUNDED_TO = 128
_LEAST_USED = 0.9


def check_files(path: pathlib.Path) -> None:
  """Refuses damaged safetensors files, and numbers of fewer than 16 bits.

  Args:
    path: folder of the model.

  Raises:
    SymtuneError: names the file, and the tensor.
  """
  import safetensors

  for file in sorted(path.glob("model*.safetensors")):
    try:
      with safetensors.safe_open(file, "np") as opened:
        types = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
      raise SymtuneError(
        f"{file} is not a complete safetensors file: {error}. Copy or download it "
        "again."
      ) from error
    packed = [n for n, kind in types.items() if kind.startswith(_PACKED)]
    if packed:
      raise SymtuneError(
        f"{file}: tensor {packed[0]} is {types[packed[0]]}, expected float32, float16 "
        "or bfloat16. Get the model's version that is not quantized."
      )


def check_tensors(path: pathlib.Path, info: Mapping[str, Any]) -> None:
  """Refuses a model of which Transformers did not find every tensor.

  Args:
    path: folder of the model.
    info: what `from_pretrained` reports with `output_loading_info=True`.

  Raises:
    SymtuneError: names the tensors.
  """
  missing, unknown = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
  misshapen = [
    f"{name} has shape {list(found)}, expected {list(wanted)}"
    for name, found, wanted in sorted(info["mismatched_keys"])
  ]
  problems = [str(message) for message in info.get("error_msgs", ())]
  if missing or unknown or misshapen or problems:
    raise SymtuneError(
      f"{path}: the tensors are not those of its config.json. Missing: "
      f"{list_some(missing) or 'none'}. Unknown: {list_some(unknown) or 'none'}. "
      f"Misshapen: {list_some(misshapen) or 'none'}. "
      + "".join(f"{problem}. " for problem in problems)
      + "Nothing is filled in or left out: give the whole model, of a kind that writes "
      "text."
    )


def check_tokenizer(path: pathlib.Path, tokenizer: Any, model: Any) -> None:
  """Refuses a tokenizer whose ids are not rows of the model's embedding table.

  Args:
    path: folder of the model.
    tokenizer: its tokenizer.
    model: the model.

  Raises:
    SymtuneError: there are too many ids, or so few that it is another model's.
  """
  rows = model.get_input_embeddings().num_embeddings
  control = {
    i for i, token in tokenizer.added_tokens_decoder.items() if token.special
  } | set(tokenizer.all_special_ids)
  ids = {i: text for text, i in tokenizer.get_vocab().items() if i not in control}
  outside = sorted(i for i in ids if i >= rows)
  if outside:
    raise SymtuneError(
      f"{path}: its tokenizer has {len(ids):,} tokens, of which {len(outside):,} are "
      f"beyond the {rows:,} rows of the model's embedding table, such as "
      f"{ids[outside[0]]!r} = {outside[0]}. Save the model's own tokenizer in the "
      "folder, or resize its embeddings (model.resize_token_embeddings)."
    )
  count = max(len(tokenizer), max(ids, default=0) + 1)
  if rows - count >= _ROUNDED_TO and count < _LEAST_USED * rows:
    raise SymtuneError(
      f"{path}: its tokenizer has {count:,} tokens, but the model's embedding table "
      f"has {rows:,} rows: it is not this model's. Save the model's own tokenizer in "
      "the folder."
    )


def check_control_tokens(
  folder: ModelFolder, tokens: TextTokenizer, tokenizer: Any, model: Any
) -> None:
  """Refuses a model whose tokenizer and config disagree about its control tokens.

  Args:
    folder: the model's files.
    tokens: its tokenizer as functions.
    tokenizer: its tokenizer.
    model: the model, with the settings of greedy generation.

  Raises:
    SymtuneError: a control token on which scores depend is missing, or has two ids.
  """
  used = ["eos_token"]
  if model.config.is_encoder_decoder:
    used.append("pad_token")  # a causal model needs no padding
    if model.generation_config.decoder_start_token_id is None:
      raise SymtuneError(
        f"{folder.path / CONFIG} has no decoder_start_token_id, expected the id that "
        "the decoder starts with. T5's is 0, the padding."
      )
    if tokenizer.eos_token_id is None:
      raise SymtuneError(
        f"{folder.path}: its tokenizer has no EOS token, which ends every target. Name "
        f"it in {TOKENIZER_CONFIG}."
      )
  if tokenizer.bos_token_id in tokens.prefix:
    used.append("bos_token")
  ids = {name: getattr(tokenizer, f"{name}_id") for name in used}
  check_special_ids(folder, ids, rows=model.get_input_embeddings().num_embeddings)


def check_kind(path: pathlib.Path, tokens: TextTokenizer, model: Any) -> None:
  """Refuses an encoder that is given as a causal model.

  Args:
    path: folder of the model.
    tokens: its tokenizer as functions.
    model: the model.

  Raises:
    SymtuneError: the model's numbers depend on later tokens.
  """
  if model.config.is_encoder_decoder:
    return
  if forward.sees_the_future(model, tokens.causal_prompt(SAMPLE)):
    raise SymtuneError(
      f"{path}: {type(model).__name__} is an encoder: what it says about a token "
      "depends on the tokens after it, so that it cannot continue a prompt. Give a "
      "causal or an encoder-decoder model."
    )
