"""hf://..., gs://... or a local path -> SourceCheckpoint, whatever the format."""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from symtune.convert.decoder.folder import TOKENIZER_FILES, is_decoder, read_decoder
from symtune.convert.folders import Folder, open_folder
from symtune.convert.huggingface import huggingface_source, is_huggingface
from symtune.convert.model_folder import ADAPTER, CONFIG, GENERATION
from symtune.convert.own import is_run, run_source, weights_source
from symtune.convert.t5x.read import is_t5x
from symtune.convert.t5x.tree import t5x_source
from symtune.convert.tensors import SourceCheckpoint
from symtune.convert.tokenizer.read import FILES, MODELS, find_vocab
from symtune.errors import SymtuneError
from symtune.files import cache_folder, write_whole

HF, GS = "hf://", "gs://"
GGUF = ".gguf"
_HUB_FILES = (
  *(CONFIG, GENERATION, ADAPTER, "*.safetensors", "*.safetensors.index.json"),
  *dict.fromkeys((*FILES, *TOKENIZER_FILES)),
)
# Second copies of the weights in other formats, such as Mistral's and Llama's own.
_OTHER_COPIES = ("consolidated*", "original/*", "onnx/*")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
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
  if _ADDRESS.match(text):
    raise SymtuneError(
      f"got {text!r}, expected {_EXPECTED}. Copy a checkpoint from other storage to "
      "this machine with that storage's own tool, and give its path."
    )
  path = pathlib.Path(text).expanduser()
  if path.suffix.lower() == GGUF:
    raise SymtuneError(
      f"{text}: a GGUF file is read by one command only, which turns it into a folder: "
      f"symtune convert {text} FOLDER. Then give that folder."
    )
  if path.is_file() and path.name != "checkpoint":
    return _with_vocab(weights_source(path), path.parent)
  if path.is_file():
    path = path.parent
  if not path.is_dir():
    raise SymtuneError(f"no checkpoint at {text}; expected {_EXPECTED}.")
  if is_huggingface(path):
    return _open_transformers(path)
  if is_run(path):
    return run_source(path)
  if is_t5x(str(path)):
    source = t5x_source(str(path), mlp_activations)
    step = pathlib.Path(source.where).resolve()
    return _with_vocab(source, step, step.parent)
  raise SymtuneError(f"{text} holds no known checkpoint format; expected {_EXPECTED}.")


def _open_transformers(folder: pathlib.Path) -> SourceCheckpoint:
  if is_decoder(folder):
    return read_decoder(folder)
  return _with_vocab(huggingface_source(folder), folder)


def _with_vocab(source: SourceCheckpoint, *folders: pathlib.Path) -> SourceCheckpoint:
  """Adds the first vocabulary found in these folders to the checkpoint."""
  found = map(find_vocab, folders)
  return dataclasses.replace(source, vocab=next((p for p in found if p), None))


def _with_bucket_vocab(source: SourceCheckpoint) -> SourceCheckpoint:
  """The same for a step in a bucket; copies the SentencePiece model here once."""
  above = source.where.rstrip("/").rpartition("/")[0]
  folders = [source.where] if above in ("gs:/", "gs:") else [source.where, above]
  for place in (open_folder(folder) for folder in folders):
    files = _vocab_files(place)
    if files:
      return dataclasses.replace(source, vocab=find_vocab(_kept(files)))
  return source


def _vocab_files(place: Folder) -> dict[str, bytes]:
  """The files of a tokenizer in a bucket; empty if it has no SentencePiece model."""
  model = next(((n, f) for n in MODELS if (f := place.read(n)) is not None), None)
  if model is None:
    return {}
  others = ((name, place.read(name)) for name in FILES if name not in MODELS)
  return dict([model]) | {name: found for name, found in others if found is not None}


def _kept(files: Mapping[str, bytes]) -> pathlib.Path:
  """A folder of this user with these files, named by their hash."""
  key = hashlib.sha256(b"".join(hashlib.sha256(f).digest() for f in files.values()))
  folder = cache_folder(key.hexdigest()[:16])
  for name, content in files.items():
    path = folder / name
    if not path.is_file() or path.read_bytes() != content:
      write_whole(path, content)
  return folder


def _open_hub(address: str) -> SourceCheckpoint:
  """Downloads the files of a model and opens it; HF_HUB_OFFLINE uses only the cache."""
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
      repository,
      revision=revision or None,
      allow_patterns=list(_HUB_FILES),
      ignore_patterns=list(_OTHER_COPIES),
    )
  except Exception as error:
    first = (str(error).splitlines() or [""])[0]
    raise SymtuneError(
      f"{address} cannot be downloaded ({type(error).__name__}: {first}). Check the "
      "name and the network. Without a network, set HF_HUB_OFFLINE=1 to use earlier "
      "downloads, or give a local folder."
    ) from error
  source = _open_transformers(pathlib.Path(folder))
  # In the cache, the folder of a snapshot has the name of its commit.
  commit = pathlib.Path(folder).name
  return dataclasses.replace(source, where=f"{HF}{repository}@{commit}")
