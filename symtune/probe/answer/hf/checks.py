"""Whether the files of a Transformers model belong together, and can answer a probe."""

import pathlib
from collections.abc import Mapping, Set
from typing import Any

from symtune.convert.model_folder import (
  CONFIG,
  TOKENIZER_CONFIG,
  ModelFolder,
  check_special_ids,
  list_added,
)
from symtune.convert.tensors import list_some
from symtune.convert.tokenizer.read import has_too_few_ids
from symtune.errors import SymtuneError
from symtune.probe.answer.hf import forward
from symtune.probe.answer.hf.tokens import TextTokenizer

# Numbers that mean nothing without a scale that stands elsewhere.
_PACKED = ("F8", "F6_", "F4", "I8", "I4")
_NUMBERS = ("F64", "F32", "F16", "BF16")  # of weights; masks and positions may differ
# Constants that earlier releases saved with the weights.
_CONSTANTS = (".attn.bias", ".masked_bias", ".rotary_emb.inv_freq", ".position_ids")


def check_files(path: pathlib.Path) -> set[str]:
  """Refuses damaged safetensors files, and numbers of fewer than 16 bits.

  Args:
    path: folder of the model.

  Returns:
    The names of all tensors.

  Raises:
    SymtuneError: names the file, and the tensor.
  """
  import safetensors

  names: set[str] = set()
  for file in sorted(path.glob("model*.safetensors")):
    try:
      with safetensors.safe_open(file, "np") as opened:
        types = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
      raise SymtuneError(
        f"{file} is not a complete safetensors file: {error}. Copy or download it "
        "again."
      ) from error
    packed = [
      name
      for name, kind in types.items()
      if kind.startswith(_PACKED) or (name.endswith(".weight") and kind not in _NUMBERS)
    ]
    if packed:
      raise SymtuneError(
        f"{file}: tensor {packed[0]} is {types[packed[0]]}, expected float32, float16 "
        "or bfloat16. Get the model's version that is not quantized."
      )
    names |= types.keys()
  return names


def check_numbers(path: pathlib.Path, model: Any) -> None:
  """Refuses a model with parameters that are infinite or not a number.

  Args:
    path: folder of the model.
    model: the model.

  Raises:
    SymtuneError: names the first such parameter.
  """
  for name, value in model.named_parameters():
    if not value.isfinite().all():
      raise SymtuneError(
        f"{path}: {name} holds infinity or NaN, expected finite numbers: nothing that "
        "such a model answers means anything. Train it again with a lower rate, or "
        "download it again."
      )


def check_tensors(path: pathlib.Path, info: Mapping[str, Any]) -> None:
  """Refuses a model of which Transformers did not find every tensor.

  Args:
    path: folder of the model.
    info: what `from_pretrained` reports with `output_loading_info=True`.

  Raises:
    SymtuneError: names the tensors.
  """
  missing = sorted(info["missing_keys"])
  unknown = sorted(k for k in info["unexpected_keys"] if not k.endswith(_CONSTANTS))
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


def check_tied(folder: ModelFolder, model: Any, stored: Set[str]) -> None:
  """Refuses a model whose files and config disagree on the output layer.

  The layer is either the embedding table or one of its own (tie_word_embeddings).
  Transformers follows the files where they contradict the config.

  Args:
    folder: the model's files.
    model: the model.
    stored: the names of the tensors in the files.

  Raises:
    SymtuneError: the layer differs from the table it is tied to, or is missing.
  """
  import torch

  config = folder.config
  # T5Gemma's encoder has a table of its own.
  reader = model.get_decoder() if model.config.is_encoder_decoder else model
  output, table = model.get_output_embeddings(), reader.get_input_embeddings()
  if output is None:
    return
  is_tied = config.get("tie_word_embeddings")
  if is_tied is None:
    is_tied = getattr(model.config, "tie_word_embeddings", None)
  is_scaled = config.get("scale_decoder_outputs")  # by Transformers 5, of each T5
  # Transformers 5 says "tied" of every T5, also of one with its own layer.
  is_one = is_tied is True and is_scaled is not False
  if is_one and not torch.equal(output.weight, table.weight):
    raise SymtuneError(
      f"{folder.path}: the output layer's weight differs from the embedding table, but "
      f"{CONFIG} says that the model uses one tensor for both, or says nothing, which "
      "means the same. Set tie_word_embeddings to false there if the output layer is "
      "the model's own, or download it again."
    )
  names = {f"{name}.weight" for name, part in model.named_modules() if part is output}
  if is_tied is False and is_scaled is not True and not names & stored:
    raise SymtuneError(
      f"{folder.path} has no {min(names)}, but {CONFIG} says that the output layer is "
      "the model's own (tie_word_embeddings is false). Nothing is filled in: download "
      "the whole model."
    )


def check_tokenizer(folder: ModelFolder, tokenizer: Any, model: Any) -> None:
  """Refuses a tokenizer whose ids are not rows of the model's embedding table.

  Args:
    folder: the model's files.
    tokenizer: its tokenizer.
    model: the model.

  Raises:
    SymtuneError: there are too many ids, or so few that it is another model's; or a
      token that the files add has another id.
  """
  path = folder.path
  lost = [t for t in folder.added if tokenizer.convert_tokens_to_ids(t.text) != t.id]
  if lost:
    raise SymtuneError(
      f"{path}: its files add {list_added(lost)}, but Transformers does not read them "
      "with these ids. Save the tokenizer again with the release of Transformers that "
      "added them."
    )
  rows = model.get_input_embeddings().num_embeddings
  control = _control_ids(tokenizer)
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
  if has_too_few_ids(count, rows):
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
  used = []
  ends = model.generation_config.eos_token_id
  if model.config.is_encoder_decoder:
    used += ["eos_token", "pad_token"]  # a causal model needs no padding
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
  elif not {*(ends if isinstance(ends, list) else [ends])} <= _control_ids(tokenizer):
    used.append("eos_token")  # a chat model may end with another control token
  if tokenizer.bos_token_id in tokens.prefix:
    used.append("bos_token")
  ids = {name: getattr(tokenizer, f"{name}_id") for name in used}
  check_special_ids(folder, ids, rows=model.get_input_embeddings().num_embeddings)


def _control_ids(tokenizer: Any) -> set[int]:
  added = tokenizer.added_tokens_decoder.items()
  return {i for i, token in added if token.special} | set(tokenizer.all_special_ids)


def check_kind(path: pathlib.Path, model: Any, sample: list[int]) -> None:
  """Refuses an encoder that is given as a causal model.

  Args:
    path: folder of the model.
    model: the model.
    sample: ids of a short text.

  Raises:
    SymtuneError: the model's numbers depend on later tokens.
  """
  if model.config.is_encoder_decoder:
    return
  if forward.sees_the_future(model, sample):
    raise SymtuneError(
      f"{path}: {type(model).__name__} is an encoder: what it says about a token "
      "depends on the tokens after it, so that it cannot continue a prompt. Give a "
      "causal or an encoder-decoder model."
    )
