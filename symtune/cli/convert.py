"""The convert command: rewrites a checkpoint in another format."""

import dataclasses
import pathlib

import rich.console

from symtune.convert.convert import WEIGHTS_SUFFIX, Destination, Format, convert
from symtune.convert.huggingface import VOCAB
from symtune.convert.source import open_checkpoint
from symtune.convert.tensors import SourceCheckpoint
from symtune.data.text.vocab import SentencePieceVocab
from symtune.errors import SymtuneError


def run(
  source: str,
  dest: pathlib.Path,
  *,
  to: str | None,
  dtype: str,
  vocab: pathlib.Path | None,
  step: int | None,
  activations: str | None,
) -> None:
  """Converts a checkpoint; prints what was read, left out and written."""
  console = rich.console.Console(stderr=True, highlight=False)
  destination = Destination(path=dest, format=_format(to, dest), dtype=dtype, step=step)
  names = None if activations is None else activations.split(",")
  opened = open_checkpoint(source, mlp_activations=names)
  if vocab is not None:
    _check_vocab(vocab, opened)
    opened = dataclasses.replace(opened, vocab=vocab)
  numbers = sum(tensor.size for tensor in opened.tensors.values())
  console.print(
    f"{opened.where}: {len(opened.tensors)} tensors, {numbers / 1e6:.1f}M parameters",
    soft_wrap=True,
  )
  for item in opened.left_out:
    console.print(f"left out: {item}", soft_wrap=True)
  written = convert(opened, destination, console)
  note = _note_on_tokenizer(opened, written, destination.format)
  if note is not None:
    console.print(note, soft_wrap=True)
  console.print(f"written: {written}", soft_wrap=True)


def _check_vocab(path: pathlib.Path, source: SourceCheckpoint) -> None:
  """Refuses a file that is not a SentencePiece model or does not fit the network."""
  vocab, rows = SentencePieceVocab(path), source.config.vocab_size
  if vocab.num_ids > rows:
    raise SymtuneError(
      f"--vocab {path}: got {vocab.num_ids} ids with the sentinels, expected at most "
      f"{rows}, the embedding rows of {source.where}. Give its own vocabulary."
    )


def _note_on_tokenizer(
  source: SourceCheckpoint, written: pathlib.Path, format_: Format
) -> str | None:
  if source.vocab is None and format_ is not Format.SYMTUNE:
    return (
      "no tokenizer was found beside the checkpoint, so none was written: give its "
      "SentencePiece model with --vocab"
    )
  if source.vocab is not None and format_ is Format.SYMTUNE:
    return (
      f"a weights file holds no tokenizer: pass --vocab {source.vocab} where you use "
      f"the file, or copy that model to {written.parent / VOCAB}"
    )
  return None


def _format(to: str | None, dest: pathlib.Path) -> Format:
  if to is None:
    is_file = dest.suffix == WEIGHTS_SUFFIX
    return Format.SYMTUNE if is_file else Format.HUGGINGFACE
  try:
    return Format(to)
  except ValueError as error:
    raise SymtuneError(
      f"--to: got {to!r}, expected one of {', '.join(Format)}."
    ) from error
