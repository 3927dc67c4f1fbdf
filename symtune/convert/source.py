"""hf://..., gs://... or a local path -> SourceCheckpoint, whatever its format."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence

from symtune.convert.huggingface import (
  CONFIG,
  VOCAB,
  huggingface_source,
  is_huggingface,
)
from symtune.convert.own import is_run, run_source, weights_source
from symtune.convert.t5x import is_t5x
from symtune.convert.t5x_tree import t5x_source
from symtune.convert.tensors import SourceCheckpoint
from symtune.errors import SymtuneError

HF, GS = "hf://", "gs://"
_HUB_FILES = (CONFIG, "*.safetensors", "*.safetensors.index.json", VOCAB)
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
    address: `hf://google/flan-t5-small`, with `@` and a branch, tag or commit to pin
      it; `gs://t5-data/...`; or a local path.
    mlp_activations: for T5X checkpoints of unusual networks (`t5x_tree.infer_config`).

  Returns:
    The checkpoint. Its `where` names the commit that a hub's revision stands for.

  Raises:
    SymtuneError: nothing there, an unknown format, a damaged checkpoint, or no network.
  """
  text = os.fspath(address)
  if text.startswith(HF):
    return _open_hub(text)
  if text.startswith(GS):
    return t5x_source(text, mlp_activations)
  path = pathlib.Path(text).expanduser()
  if path.is_file() and path.name != "checkpoint":
    return weights_source(path)
  if path.is_file():
    return t5x_source(str(path), mlp_activations)
  if not path.is_dir():
    raise SymtuneError(f"no checkpoint at {text}; expected {_EXPECTED}.")
  if is_huggingface(path):
    return huggingface_source(path)
  if is_run(path):
    return run_source(path)
  if is_t5x(str(path)):
    source = t5x_source(str(path), mlp_activations)
    return dataclasses.replace(source, vocab=_vocab_beside(path))
  raise SymtuneError(f"{text} holds no checkpoint that is known; expected {_EXPECTED}.")


def _vocab_beside(path: pathlib.Path) -> pathlib.Path | None:
  """A SentencePiece model in a checkpoint's folder or the one above."""
  places = (path / VOCAB, path.parent / VOCAB)
  return next((place for place in places if place.is_file()), None)


def _open_hub(address: str) -> SourceCheckpoint:
  """Downloads what a T5 needs, once, and opens it; HF_HUB_OFFLINE: cache only."""
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
      "name and the network; without one, set HF_HUB_OFFLINE=1 to use what was "
      "downloaded before, or give a local folder."
    ) from error
  source = huggingface_source(pathlib.Path(folder))
  # The cache names a snapshot's folder after its commit.
  commit = pathlib.Path(folder).name
  return dataclasses.replace(source, where=f"{HF}{repository}@{commit}")
