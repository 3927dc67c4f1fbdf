"""Reads and writes T5 checkpoints in the format of Hugging Face's Transformers.

Such a checkpoint is a folder with config.json and safetensors (convert/shards.py).
"""

import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from symtune.convert.hf_card import CARD, t5_card
from symtune.convert.hf_config import (
  check_ids,
  config_from_huggingface,
  config_to_huggingface,
)
from symtune.convert.model_folder import (
  ADAPTER,
  CONFIG,
  GENERATION,
  TOKENIZER,
  ModelFolder,
  read_model_folder,
)
from symtune.convert.names import (
  COPIES,
  LM_HEAD,
  SHARED,
  UNUSED,
  huggingface_name,
  is_transposed,
)
from symtune.convert.shards import (
  SHARD_BYTES,
  are_equal,
  open_shards,
  write_object,
  write_shards,
)
from symtune.convert.tensors import (
  LazyTensor,
  SourceCheckpoint,
  check_tensors,
  expected_shapes,
  list_some,
)
from symtune.convert.tokenizer.read import MODELS
from symtune.convert.tokenizer.write import write_for_transformers
from symtune.data.text.vocab import SentencePieceVocab
from symtune.errors import SymtuneError
from symtune.files import write_whole
from symtune.model.config import T5Config


def is_huggingface(folder: pathlib.Path) -> bool:
  """Whether a folder is a Transformers model, or an adapter of one."""
  return (folder / CONFIG).is_file() or (folder / ADAPTER).is_file()


def huggingface_source(folder: pathlib.Path) -> SourceCheckpoint:
  """Opens a folder with a T5.

  Args:
    folder: as `save_pretrained` writes it, or a snapshot of the hub.

  Raises:
    SymtuneError: a file is missing or damaged, our network does not support the config,
      or tensors are missing, unknown or misshapen; names them.
  """
  where = str(folder)
  opened = read_model_folder(folder)
  content = opened.config
  named = {"tokenizer_class": opened.tokenizer_config.get("tokenizer_class")}
  config = config_from_huggingface(str(folder / CONFIG), {**named, **content})
  check_ids(str(folder / GENERATION), opened.generation)
  _check_tokenizer(opened)
  found = _with_shared(open_shards(folder))
  ignored = _check_copies(where, found, config)
  names = {name: t for name, t in found.items() if name not in ignored}
  is_shared = content.get("tie_word_embeddings") is not False and SHARED in names
  if is_shared and not config.logits_via_embedding and LM_HEAD not in names:
    # Transformers 5 ties the output layer even if it does not scale the outputs.
    names[LM_HEAD] = names[SHARED]
  by_name = {huggingface_name(path): path for path in expected_shapes(config)}
  unknown = [name for name in names if name not in by_name]
  missing = [name for name in by_name if name not in names]
  if unknown or missing:
    raise SymtuneError(
      f"{where}: the tensors are not those of its {CONFIG}. Missing: "
      f"{list_some(missing) or 'none'}. Unknown: {list_some(unknown) or 'none'}. "
      "Nothing is filled in: download the whole checkpoint."
    )
  tensors = {by_name[name]: _turned(by_name[name], t) for name, t in names.items()}
  check_tensors(where, tensors, config)
  return SourceCheckpoint(
    where=where,
    config=config,
    tensors=tensors,
    left_out=tuple(f"{name}, a copy or unused" for name in ignored),
  )


def _turned(path: str, tensor: LazyTensor) -> LazyTensor:
  if not is_transposed(path) or len(tensor.shape) != 2:
    return tensor
  rows, columns = tensor.shape
  return tensor.map((columns, rows), np.transpose)


def _check_tokenizer(opened: ModelFolder) -> None:
  """Refuses a folder whose tokenizer is of another kind than T5's."""
  names = [path.name for path in opened.vocabularies]
  if names and not any(name in (*MODELS, TOKENIZER) for name in names):
    raise SymtuneError(
      f"{opened.path}: its tokenizer is in {', '.join(names)}, expected {MODELS[0]} or "
      f"{TOKENIZER} of a T5. Such a model can be asked with --checkpoint "
      f"transformers:{opened.path}; it cannot be tuned or converted."
    )


def _with_shared(found: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
  """Some files hold the embedding only under the name of one of its copies."""
  if SHARED in found:
    return found
  copy = next((name for name in COPIES if name in found), None)
  return found if copy is None else {**found, SHARED: found[copy]}


def _check_copies(
  where: str, found: Mapping[str, LazyTensor], config: T5Config
) -> list[str]:
  """Names of tensors to leave out, because they are copies of others or unused."""
  copies = dict(COPIES)
  if config.logits_via_embedding:
    copies[LM_HEAD] = SHARED
  for name, original in copies.items():
    if name in found and not are_equal(found[name], found.get(original)):
      raise SymtuneError(
        f"{where}: {name} differs from {original}, but config.json says that the model "
        "uses one tensor for both. The config and the tensors belong to different "
        "models: download the model again."
      )
  return [name for name in found if name in copies or name in UNUSED]


def write_huggingface(
  folder: pathlib.Path,
  checkpoint: SourceCheckpoint,
  *,
  dtype: np.dtype,
  vocab: SentencePieceVocab | None = None,
  shard_bytes: int = SHARD_BYTES,
) -> Iterator[str]:
  """Writes a folder that Transformers can load; yields each tensor's name once written.

  config.json, which makes the folder a model, is written last.

  Args:
    folder: an existing empty folder; rename it when the iterator ends.
    checkpoint: what to write.
    dtype: type of the stored parameters.
    vocab: the tokenizer to write; None writes none.
    shard_bytes: largest size of a file in bytes.

  Raises:
    SymtuneError: Transformers has no name for a setting, or a tensor is unreadable.
  """
  assert isinstance(checkpoint.config, T5Config), "not an encoder-decoder"
  config = config_to_huggingface(checkpoint.config, dtype.name)
  named = {
    huggingface_name(path): _turned(path, tensor)
    for path, tensor in checkpoint.tensors.items()
  }
  yield from write_shards(folder, named, dtype=dtype, shard_bytes=shard_bytes)
  if vocab is not None:
    write_for_transformers(folder, vocab)
  ids = ("decoder_start_token_id", "eos_token_id", "pad_token_id")
  write_object(folder / "generation_config.json", {name: config[name] for name in ids})
  write_whole(folder / CARD, t5_card(checkpoint, dtype.name))
  write_object(folder / CONFIG, config)
