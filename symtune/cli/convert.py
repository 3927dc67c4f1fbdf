"""The convert command: rewrites a checkpoint in another format."""

import dataclasses
import pathlib
from collections.abc import Iterator

import rich.console

from symtune.checks import parse_choice
from symtune.convert.convert import (
  WEIGHTS_SUFFIX,
  Destination,
  Format,
  check_new,
  convert,
)
from symtune.convert.decoder.gguf_file import find_gguf, opened_gguf
from symtune.convert.model_folder import TOKENIZER_CONFIG, list_added
from symtune.convert.source import open_checkpoint
from symtune.convert.t5x.tree import GATED, PLAIN, t5x_decoder
from symtune.convert.tensors import SourceCheckpoint
from symtune.convert.tokenizer.read import check_rows, read_vocab, vocab_file
from symtune.data.text.vocab import SentencePieceVocab, Vocab, have_same_ids
from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig


def run(
  source: str,
  dest: pathlib.Path,
  *,
  to: str | None,
  dtype: str,
  vocab: pathlib.Path | None,
  step: int | None,
  activations: str | None,
  like: str | None,
) -> None:
  """Converts a checkpoint; prints what was read, left out and written."""
  console = rich.console.Console(stderr=True, highlight=False)
  destination = Destination(path=dest, format=_format(to, dest), dtype=dtype, step=step)
  names = None if activations is None else activations.split(",")
  if like is not None:
    if activations is not None:
      raise SymtuneError(
        "--activations is for encoder-decoders, and --like for decoder-only models: "
        "give one of the two."
      )
    model = open_checkpoint(like)
    opened, config = t5x_decoder(source, model), model.config
    assert isinstance(config, DecoderConfig), "t5x_decoder refuses others"
    about = f"those of {model.where}, with {config.attention} attention"
    console.print(f"settings and tokenizer: {about}", soft_wrap=True)
    _convert(opened, destination, vocab)
    return
  file = find_gguf(source)
  if file is None:
    _convert(open_checkpoint(source, mlp_activations=names), destination, vocab)
    return
  if destination.format is not Format.HUGGINGFACE:
    raise SymtuneError(
      f"{file}: got --to {destination.format}, expected {Format.HUGGINGFACE}, as "
      "only a folder holds the tokenizer too. Convert it to a folder, and that further."
    )
  check_new(dest)  # before the long work
  place = dest.with_name(f".{dest.name}.gguf")
  with opened_gguf(file, dtype=destination.dtype.name, place=place) as opened:
    console.print(opened.note, soft_wrap=True)
    _convert(opened, destination, vocab)


def _convert(
  opened: SourceCheckpoint, destination: Destination, vocab: pathlib.Path | None
) -> None:
  console = rich.console.Console(stderr=True, highlight=False)
  if vocab is not None:
    opened = dataclasses.replace(opened, vocab=_given_vocab(vocab, opened))
  numbers = sum(tensor.size for tensor in opened.tensors.values())
  console.print(
    f"{opened.where}: {len(opened.tensors)} tensors, {numbers / 1e6:.1f}M parameters",
    soft_wrap=True,
  )
  for item in opened.left_out:
    console.print(f"left out: {item}", soft_wrap=True)
  written = convert(opened, destination, console)
  for note in _notes(opened, written, destination.format):
    console.print(note, soft_wrap=True)
  console.print(f"written: {written}", soft_wrap=True)


def _given_vocab(path: pathlib.Path, source: SourceCheckpoint) -> pathlib.Path:
  """The file of a vocabulary that was given, if it is the network's or could be."""
  given = read_vocab(path)
  check_rows(source, given, f"--vocab {path}")
  own = _own_vocab(source)
  if own is not None and not have_same_ids(own, given):
    raise SymtuneError(
      f"--vocab {path}: its ids are not those of {source.vocab}, the tokenizer of this "
      "checkpoint. Leave --vocab out, or remove that tokenizer if it is the wrong one."
    )
  return vocab_file(path)


def _own_vocab(source: SourceCheckpoint) -> Vocab | None:
  """The vocabulary beside a checkpoint; None if --vocab has to stand in for it."""
  try:
    return None if source.vocab is None else read_vocab(source.vocab)
  except SymtuneError:
    return None


def _notes(
  source: SourceCheckpoint, written: pathlib.Path, format_: Format
) -> Iterator[str]:
  """What the written format does not hold."""
  config = source.config
  names = config.mlp_activations if isinstance(config, T5Config) else GATED
  if format_ is Format.T5X and not isinstance(config, T5Config):
    yield (
      "T5X's format does not hold the settings of a decoder-only model: what T5X makes "
      "of this checkpoint is read with `symtune convert CHECKPOINT FOLDER --like "
      "MODEL`, where MODEL is the checkpoint that was converted here"
    )
    return
  if format_ is Format.T5X and tuple(names) not in (GATED, PLAIN):
    yield (
      f"T5X's format does not record activations: read it with --activations "
      f"{','.join(names)}"
    )
  own = _own_vocab(source)
  if format_ is Format.T5X and isinstance(own, SentencePieceVocab) and own.added:
    yield (
      f"T5X's own vocabulary does not know the added tokens {list_added(own.added)}; "
      f"symtune reads them from {written / TOKENIZER_CONFIG}"
    )
  if source.vocab is None and format_ is not Format.SYMTUNE:
    yield (
      "no tokenizer was found beside the checkpoint, so none was written: give its "
      "SentencePiece model, or its tokenizer.json, with --vocab"
    )
  if source.vocab is not None and format_ is Format.SYMTUNE:
    yield (
      f"a weights file holds no tokenizer: pass --vocab {source.vocab} where you use "
      f"the file, or copy that file and the JSON files beside it to {written.parent}"
    )


def _format(to: str | None, dest: pathlib.Path) -> Format:
  if to is None:
    is_file = dest.suffix == WEIGHTS_SUFFIX
    return Format.SYMTUNE if is_file else Format.HUGGINGFACE
  return parse_choice(Format, to, "--to")
