"""Any checkpoint -> a Transformers model, a T5X checkpoint or a weights file.

Tensors pass through memory one at a time. The result is written next to the destination
under a temporary name, and renamed when it is complete.
"""

import contextlib
import dataclasses
import enum
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import rich.console

from symtune.convert.decoder.folder import as_transformers, write_decoder
from symtune.convert.huggingface import write_huggingface
from symtune.convert.load import float_dtype
from symtune.convert.own import write_weights
from symtune.convert.t5x.write import write_t5x
from symtune.convert.tensors import SourceCheckpoint
from symtune.convert.tokenizer.read import checkpoint_vocab
from symtune.convert.tokenizer.write import write_for_t5x
from symtune.data.text.vocab import SentencePieceVocab
from symtune.errors import SymtuneError
from symtune.model.decoder.config import DecoderConfig
from symtune.progress import Progress

WEIGHTS_SUFFIX = ".safetensors"
# pathlib has turned the two slashes of an address into one.
_ADDRESS = re.compile(r"[a-z][a-z0-9]+:/")
_SPARE_BYTES = 64 * 2**20


class Format(enum.StrEnum):
  """The formats that can be written."""

  HUGGINGFACE = "huggingface"
  T5X = "t5x"
  SYMTUNE = "symtune"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Destination:
  """What to write, and where.

  Attributes:
    path: for Transformers, the folder to write; for T5X, the folder in which to write
      `checkpoint_<step>`; for our own format, a `.safetensors` file.
    format: the format to write.
    dtype: type of the parameters on disk, float32 or bfloat16.
    step: training step, for T5X only; None takes that of the source, or 0.

  Raises:
    SymtuneError: T5 cannot use the type, the path is not local, or the path does not
      suit the format.
  """

  path: pathlib.Path
  format: Format
  dtype: Any = "float32"
  step: int | None = None

  def __post_init__(self):
    object.__setattr__(self, "dtype", float_dtype(self.dtype, "dtype"))
    if _ADDRESS.match(str(self.path)):
      raise SymtuneError(
        f"got {self.path} as the destination, expected a local path. Write the "
        "checkpoint to a local path, and copy it with the tool of that storage."
      )
    is_file = self.path.suffix == WEIGHTS_SUFFIX
    if is_file != (self.format is Format.SYMTUNE):
      raise SymtuneError(
        f"got {self.path} for format {self.format}: a weights file must end in "
        f"{WEIGHTS_SUFFIX}; the other formats are folders."
      )


def convert(
  source: SourceCheckpoint,
  destination: Destination,
  console: rich.console.Console | None = None,
) -> pathlib.Path:
  """Writes a checkpoint in another format.

  Args:
    source: an opened checkpoint.
    destination: what to write, and where; nothing may exist there yet.
    console: shows progress; None: silent.

  Returns:
    The folder or file that was written.

  Raises:
    SymtuneError: the destination exists, the disk has too little space, the tokenizer
      has been removed, is damaged or has more ids than the network, or a tensor is
      damaged.
  """
  path = destination.path
  step = destination.step if destination.step is not None else source.step or 0
  if destination.format is Format.T5X:
    path = path / f"checkpoint_{step}"
  check_new(path)
  if source.vocab is not None and not source.vocab.is_file():
    raise SymtuneError(
      f"{source.where}: its tokenizer is no longer at {source.vocab}. Put it back, or "
      "give another copy with --vocab."
    )
  is_decoder = isinstance(source.config, DecoderConfig)
  # A weights file holds no tokenizer, and that of a decoder-only model is copied.
  is_weights = destination.format is Format.SYMTUNE
  vocab = None if is_weights or is_decoder else checkpoint_vocab(source)
  path.parent.mkdir(parents=True, exist_ok=True)
  _check_space(source, destination, path)
  with _temporary(path, is_folder=not is_weights) as place:
    _write(source, vocab, destination, place, step, console)
  return path


def check_new(path: pathlib.Path) -> None:
  """Raises SymtuneError if something exists at a path."""
  if path.exists():
    raise SymtuneError(f"{path} exists already. Choose another path, or remove it.")


def _write(
  source: SourceCheckpoint,
  vocab: SentencePieceVocab | None,
  destination: Destination,
  place: pathlib.Path,
  step: int,
  console: rich.console.Console | None,
) -> None:
  dtype, is_decoder = destination.dtype, isinstance(source.config, DecoderConfig)
  if destination.format is Format.HUGGINGFACE and is_decoder:
    written = write_decoder(place, as_transformers(source), dtype=dtype)
  elif destination.format is Format.HUGGINGFACE:
    written = write_huggingface(place, source, dtype=dtype, vocab=vocab)
  elif destination.format is Format.T5X:
    if vocab is not None:
      write_for_t5x(place, vocab)
    written = write_t5x(place, source.tensors, step=step, dtype=dtype)
  else:
    written = write_weights(place, source, dtype=dtype)
  silent = rich.console.Console(quiet=True)
  with Progress(
    "converting", len(source.tensors), unit="tensors", console=console or silent
  ) as progress:
    for _ in written:
      progress.advance()


def _check_space(
  source: SourceCheckpoint, destination: Destination, path: pathlib.Path
) -> None:
  count = sum(tensor.size for tensor in source.tensors.values())
  needed = count * destination.dtype.itemsize + _SPARE_BYTES
  free = shutil.disk_usage(path.parent).free
  if free < needed:
    raise SymtuneError(
      f"{path.parent} has {free / 1e9:.1f} GB of free space, but the checkpoint needs "
      f"{needed / 1e9:.1f} GB. Free some space, or store it as bfloat16."
    )


@contextlib.contextmanager
def _temporary(path: pathlib.Path, *, is_folder: bool) -> Iterator[pathlib.Path]:
  """A path next to `path` that is renamed to `path` if the block succeeds."""
  place = path.with_name(f".{path.name}.partial")
  _remove(place)  # left behind by a killed conversion
  if is_folder:
    place.mkdir()
  try:
    yield place
    _sync(place)
    place.rename(path)
  except BaseException:
    _remove(place)
    raise


def _remove(place: pathlib.Path) -> None:
  if place.is_dir():
    shutil.rmtree(place)
  else:
    place.unlink(missing_ok=True)


def _sync(place: pathlib.Path) -> None:
  """Waits until all bytes are on disk, so that a power cut leaves no partial file."""
  files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
  for file in files:
    with file.open("rb") as handle:
      os.fsync(handle.fileno())
