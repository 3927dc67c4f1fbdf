"""Folders of decoder-only models in Transformers' format, read and written without it.

Such a folder has config.json, safetensors (convert/shards.py) and, as a rule, the files
of a tokenizer, which are copied as they are.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from symtune.bounded import read_bytes
from symtune.convert.decoder.families import Family, family_of
from symtune.convert.decoder.read_config import SpecialIds, read_config, special_ids
from symtune.convert.decoder.tensors import (
  embedding_name,
  join_stored,
  output_name,
  split_stored,
  stored_shape,
  stored_tensors,
  top_name,
)
from symtune.convert.decoder.write_config import write_config
from symtune.convert.folders import local_file
from symtune.convert.hf_card import CARD, decoder_card
from symtune.convert.model_folder import (
  ADDED_TOKENS,
  CONFIG,
  GENERATION,
  SPECIAL_TOKENS,
  TOKENIZER,
  TOKENIZER_CONFIG,
  read_model_folder,
  read_object,
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
  check_shapes,
  expected_shapes,
)
from symtune.convert.tokenizer.causal import read_causal_vocab
from symtune.errors import SymtuneError
from symtune.files import write_whole
from symtune.model.decoder.config import DecoderConfig

# Files of a tokenizer that mean the same beside any copy of the model.
TOKENIZER_FILES = (
  TOKENIZER,
  TOKENIZER_CONFIG,
  ADDED_TOKENS,
  SPECIAL_TOKENS,
  "tokenizer.model",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
)
_MAX_FILE = 200_000_000
# Masks and frequencies that older versions stored although they follow from the config.
_BUFFERS = re.compile(
  r"(^|.*\.)((attn|attention)\.(masked_)?bias|rotary_emb\.inv_freq)"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderCheckpoint(SourceCheckpoint):
  """An opened decoder-only model of Transformers, or what is written as one.

  Attributes:
    config: the network's settings.
    ids: ids of its control tokens.
    tokenizer: the files of its tokenizer.
    note: what people who use its weights have to know, or empty; goes into the card.
  """

  config: DecoderConfig
  ids: SpecialIds = dataclasses.field(default_factory=SpecialIds)
  tokenizer: tuple[pathlib.Path, ...] = ()
  note: str = ""


def read_decoder(folder: pathlib.Path) -> DecoderCheckpoint:
  """Opens a folder with a decoder-only model.

  Args:
    folder: as `save_pretrained` writes it, or a snapshot of the hub.

  Raises:
    SymtuneError: a file is missing or damaged, our network does not support the config,
      or tensors are missing, unknown or misshapen; names them.
  """
  opened = read_model_folder(folder)
  config, ids = read_config(str(folder / CONFIG), opened.config)
  ids = _with_generation(ids, str(folder / GENERATION), opened.generation)
  family = Family(opened.config["model_type"])
  found, left_out = _parameters(folder, family, config)
  shapes = expected_shapes(config)
  stored = stored_tensors(family, list(shapes))
  expected = {tensor.name: stored_shape(tensor, shapes) for tensor in stored}
  check_shapes(str(folder), found, expected)
  tensors: dict[str, LazyTensor] = {}
  for tensor in stored:
    tensors |= split_stored(tensor, found[tensor.name], heads=config.num_heads)
  return DecoderCheckpoint(
    where=str(folder),
    config=config,
    tensors=tensors,
    vocab=local_file(folder, TOKENIZER),
    ids=ids,
    tokenizer=_tokenizer_files(folder),
    left_out=left_out,
  )


def is_decoder(folder: pathlib.Path) -> bool:
  """Whether a folder of Transformers says that it holds a decoder-only model."""
  if local_file(folder, CONFIG) is None:
    return False
  return read_object(folder / CONFIG).get("model_type") in list(Family)


def as_transformers(source: SourceCheckpoint) -> DecoderCheckpoint:
  """A decoder-only model of any format, with what Transformers needs besides arrays.

  The files of the tokenizer, and the ids of control tokens, are those of the folder in
  which `source.vocab` lies.

  Raises:
    SymtuneError: a JSON file of that folder is damaged.
  """
  if isinstance(source, DecoderCheckpoint):
    if source.vocab is None or source.vocab in source.tokenizer:
      return source
    return dataclasses.replace(source, tokenizer=_tokenizer_files(source.vocab.parent))
  assert isinstance(source.config, DecoderConfig), "not a decoder-only model"
  ids, files = SpecialIds(), ()
  if source.vocab is not None:
    files = _tokenizer_files(source.vocab.parent)
    ids = _ids_beside(source.vocab)
  fields = {f.name: getattr(source, f.name) for f in dataclasses.fields(source)}
  return DecoderCheckpoint(**fields, ids=ids, tokenizer=files)


def _with_generation(
  ids: SpecialIds, where: str, generation: Mapping[str, Any]
) -> SpecialIds:
  """The ids, where generation_config.json does not state others: it counts more."""
  stated = special_ids(where, generation)
  return SpecialIds(
    bos=ids.bos if stated.bos is None else stated.bos,
    eos=stated.eos or ids.eos,
    pad=ids.pad if stated.pad is None else stated.pad,
  )


def _ids_beside(vocab: pathlib.Path) -> SpecialIds:
  """What a tokenizer, and the configs of its folder, say of control tokens."""
  folder = vocab.parent
  if is_decoder(folder):
    _, ids = read_config(str(folder / CONFIG), read_object(folder / CONFIG))
    generation = read_object(folder / GENERATION, is_required=False)
    return _with_generation(ids, str(folder / GENERATION), generation)
  found = read_causal_vocab(vocab)
  return SpecialIds(bos=found.bos_id, eos=found.end_ids)


def _tokenizer_files(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
  files = (local_file(folder, name) for name in TOKENIZER_FILES)
  return tuple(file for file in files if file is not None)


def _parameters(
  folder: pathlib.Path, family: Family, config: DecoderConfig
) -> tuple[dict[str, LazyTensor], tuple[str, ...]]:
  """The tensors that are parameters, and what the others are."""
  found, top = open_shards(folder), top_name(family)
  output, embedding = output_name(family), embedding_name(family)
  # Transformers 5 calls every output layer lm_head; GPT-2's own files lack the top.
  renamed = {"lm_head.weight": output}
  if not any(name.startswith(f"{top}.") for name in found):
    renamed |= {
      name: f"{top}.{name}" for name in found if name not in (output, *renamed)
    }
  found = {renamed.get(name, name): tensor for name, tensor in found.items()}
  buffers = [name for name in found if _BUFFERS.fullmatch(name)]
  left_out = [f"{name}, a buffer" for name in buffers]
  for name in buffers:
    del found[name]
  if config.logits_via_embedding and output in found:
    if not are_equal(found[output], found.get(embedding)):
      raise SymtuneError(
        f"{folder}: {output} differs from {embedding}, but {CONFIG} says that the "
        "model uses one tensor for both (tie_word_embeddings). The config and the "
        "tensors belong to different models: download the model again."
      )
    del found[output]
    left_out.append(f"{output}, a copy")
  return found, tuple(left_out)


def write_decoder(
  folder: pathlib.Path,
  checkpoint: DecoderCheckpoint,
  *,
  dtype: np.dtype,
  shard_bytes: int = SHARD_BYTES,
) -> Iterator[str]:
  """Writes a folder that Transformers can load; yields each tensor's name once written.

  config.json, which makes the folder a model, is written last.

  Args:
    folder: an existing empty folder; rename it when the iterator ends.
    checkpoint: what to write.
    dtype: type of the stored parameters.
    shard_bytes: largest size of a file in bytes.

  Raises:
    SymtuneError: Transformers has no family with these settings, or a tensor or a file
      of the tokenizer is unreadable.
  """
  config = checkpoint.config
  content = write_config(config, dtype=dtype.name, ids=checkpoint.ids)
  stored = stored_tensors(family_of(config), list(expected_shapes(config)))
  named = {
    tensor.name: join_stored(tensor, checkpoint.tensors, heads=config.num_heads)
    for tensor in stored
  }
  yield from write_shards(folder, named, dtype=dtype, shard_bytes=shard_bytes)
  for file in checkpoint.tokenizer:
    write_whole(folder / file.name, read_bytes(file, _MAX_FILE))
  ids = ("bos_token_id", "eos_token_id", "pad_token_id")
  stated = {name: content[name] for name in ids if content[name] is not None}
  write_object(folder / GENERATION, stated)
  card = decoder_card(checkpoint, dtype.name, checkpoint.note)
  write_whole(folder / CARD, card)
  write_object(folder / CONFIG, content)
