"""hf://..., gs://... or a local path -> SourceCheckpoint, whatever the format."""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Sequence

from symtune.convert.folders import open_folder
from symtune.convert.huggingface import (
  CONFIG,
  VOCAB,
  huggingface_source,
  is_huggingface,
)
from symtune.convert.own import is_run, run_source, weights_source
from symtune.convert.t5x.read import is_t5x
from symtune.convert.t5x.tree import t5x_source
from symtune.convert.tensors import SourceCheckpoint
from symtune.errors import SymtuneError
from symtune.files import cache_folder, write_whole

HF, GS = "hf://", "gs://"
# The names that Transformers and T5X give a SentencePiece model.
VOCABS = (VOCAB, "sentencepiece.model")
_HUB_FILES = (CONFIG, "*.safetensors", "*.safetensors.index.json", *VOCABS)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(?:@[\w./-]+)?|[\w.-]+(?:@[\w./-]+)?")
_EXPECTED = (
  "hf://ORGANISATION/MODEL[@REVISION], gs://BUCKET/FOLDER of a T5X checkpoint, a "
  "folder with a Transformers model, a T5X checkpoint or a run of symtune, or a "
  "weights file"
)


def open_checkpoint(
  address: str | os.PathLike[str], *, mlp_activations: Sequence[str] | None = None
) -> SourceCheckpoint:
  """Opens a checkpoint of any format; reads no arrays yet.

  Args:
    address: `hf://google/flan-t5-small`, optionally with `@` and a branch, tag or
      commit; `gs://t5-data/...`; or a local path.
    mlp_activations: for T5X checkpoints of unusual networks (`t5x.tree.infer_config`).

  Returns:
    The checkpoint, with the tokenizer in its folder (for T5X, also in the folder above
    it). For a model of the hub, `where` names the commit.

  Raises:
    SymtuneError: nothing is there, the format is unknown, the checkpoint is damaged, or
      there is no network connection.
  """
  text = os.fspath(address)
  if text.startswith(HF):
    return _open_hub(text)
  if text.startswith(GS):
    return _with_bucket_vocab(t5x_source(text, mlp_activations))
  path = pathlib.Path(text).expanduser()
  if path.is_file() and path.name != "checkpoint":
    return _with_vocab(weights_source(path), path.parent)
  if path.is_file():
    path = path.parent
  if not path.is_dir():
    raise SymtuneError(f"no checkpoint at {text}; expected {_EXPECTED}.")
  if is_huggingface(path):
    return _with_vocab(huggingface_source(path), path)
  if is_run(path):
    return run_source(path)
  if is_t5x(str(path)):
    source = t5x_source(str(path), mlp_activations)
    step = pathlib.Path(source.where).absolute()
    return _with_vocab(source, step, step.parent)
  raise SymtuneError(f"{text} holds no known checkpoint format; expected {_EXPECTED}.")


def _with_vocab(source: SourceCheckpoint, *folders: pathlib.Path) -> SourceCheckpoint:
  """Adds the first SentencePiece model found in these folders to the checkpoint."""
  places = (folder / name for folder in folders for name in VOCABS)
  found = next((place for place in places if place.is_file()), None)
  return dataclasses.replace(source, vocab=found)


def _with_bucket_vocab(source: SourceCheckpoint) -> SourceCheckpoint:
  """The same for a step in a bucket; copies the SentencePiece model here once."""
  above = source.where.rstrip("/").rpartition("/")[0]
  folders = [source.where] if above in ("gs:/", "gs:") else [source.where, above]
  for place in (open_folder(folder) for folder in folders):
    for name in VOCABS:
      found = place.read(name)
      if found is not None:
        return dataclasses.replace(source, vocab=_kept(found))
  return source


def _kept(model: bytes) -> pathlib.Path:
  """A file with these bytes, in a folder of this user named by their hash."""
  path = cache_folder(hashlib.sha256(model).hexdigest()[:16]) / VOCAB
  if not path.is_file() or path.read_bytes() != model:
    write_whole(path, model)
  return path


def _open_hub(address: str) -> SourceCheckpoint:
  """Downloads the files of a T5 and opens it; HF_HUB_OFFLINE uses only the cache."""
  name = address.removeprefix(HF)
  if not _REPOSITORY.fullmatch(name) or ".." in name:
    raise SymtuneError(f"got {address!r}, expected hf://ORGANISATION/MODEL[@REVISION].")
  repository, _, revision = name.partition("@")
  try:
    import huggingface_hub
  except ImportError as error:
    raise SymtuneError(
      f"{address} needs huggingface_hub: pip install 'symtune[hub]'."
    ) from error
  try:
    folder = huggingface_hub.snapshot_download(
      repository, revision=revision or None, allow_patterns=list(_HUB_FILES)
    )
  except Exception as error:
    first = (str(error).splitlines() or [""])[0]
    raise SymtuneError(
      f"{address} cannot be downloaded ({type(error).__name__}: {first}). Check the "
      "name and the network. Without a network, set HF_HUB_OFFLINE=1 to use earlier "
      "downloads, or give a local folder."
    ) from error
  source = _with_vocab(huggingface_source(pathlib.Path(folder)), pathlib.Path(folder))
  # In the cache, the folder of a snapshot has the name of its commit.
  commit = pathlib.Path(folder).name
  return dataclasses.replace(source, where=f"{HF}{repository}@{commit}")
