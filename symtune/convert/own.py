"""Reads and writes our own checkpoints: the step folder of a run, or a weights file."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from symtune.cards.resources import resource_dir
from symtune.convert.folders import open_folder
from symtune.convert.safetensors_file import (
  PlannedFile,
  read_header,
  read_safetensors,
  write_safetensors,
)
from symtune.convert.t5x.read import read_orbax
from symtune.convert.tensors import SourceCheckpoint, check_tensors
from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS
from symtune.train.record import PARAMS, RUN, check_files
from symtune.train.weights import saved_config, weights_metadata


def weights_source(path: pathlib.Path) -> SourceCheckpoint:
  """Opens a weights file (`symtune.train.weights`).

  Raises:
    SymtuneError: not a weights file, damaged, or its tensors do not match its config.
  """
  _, metadata = read_header(path)
  return _checked(str(path), saved_config(path, metadata), read_safetensors(path))


def run_source(folder: pathlib.Path) -> SourceCheckpoint:
  """Opens a checkpoint of a run: its folder, `checkpoints`, or one step's folder.

  From the first two, the newest step is taken.

  Raises:
    SymtuneError: there is no checkpoint, or it is damaged.
  """
  step_dir = _step_dir(folder)
  check_files(step_dir, PARAMS, RUN)
  about = step_dir / "run" / "metadata"
  try:
    config = json.loads(about.read_text(encoding="utf-8"))["config"]
    model, vocab = config["model"], config.get("vocab")
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise SymtuneError(
      f"{about} cannot be read ({type(error).__name__}: {error}); expected a file that "
      "symtune wrote. The checkpoint is damaged: use another step, or copy it again."
    ) from error
  tensors = read_orbax(
    open_folder(str(step_dir)), "params", is_parameter=lambda _: True
  )
  source = _checked(str(step_dir), model, tensors)
  return dataclasses.replace(
    source,
    step=int(step_dir.name),
    vocab=None if vocab is None else resource_dir("tasks") / vocab,
    left_out=("optimizer state and data position",),
  )


def is_run(folder: pathlib.Path) -> bool:
  """Whether a folder is a run, its `checkpoints`, or a step in it."""
  return (folder / "params").is_dir() or bool(
    checkpoint.steps(folder) or checkpoint.steps(folder / CHECKPOINTS)
  )


def write_weights(
  path: pathlib.Path, source: SourceCheckpoint, *, dtype: np.dtype
) -> Iterator[str]:
  """Writes a weights file; yields each tensor's name once it is written.

  Args:
    path: the file; rename it when the iterator ends.
    source: what to write.
    dtype: type of the parameters; `symtune.train.weights` reads float32.

  Raises:
    SymtuneError: a tensor cannot be read.
  """
  plan = PlannedFile(
    path=path,
    tensors=source.tensors,
    dtypes=dict.fromkeys(source.tensors, dtype),
    metadata=weights_metadata(source.config),
  )
  yield from write_safetensors(plan)


def _step_dir(folder: pathlib.Path) -> pathlib.Path:
  if (folder / "params").is_dir():
    return folder
  for place in (folder, folder / CHECKPOINTS):
    step = checkpoint.latest_step(place)
    if step is not None:
      return place / str(step)
  raise SymtuneError(f"{folder} holds no checkpoint of a run. Train first.")


def _checked(
  where: str, content: Mapping[str, Any], tensors: Mapping[str, Any]
) -> SourceCheckpoint:
  known = {field.name for field in dataclasses.fields(T5Config)}
  unknown = sorted(content.keys() - known)
  if unknown:
    raise SymtuneError(
      f"{where}: unknown network settings {', '.join(unknown)}. A newer version of "
      "symtune wrote the file: update symtune."
    )
  try:
    config = T5Config(**content)
  except TypeError as error:
    raise SymtuneError(
      f"{where}: the network's settings are damaged: {error}"
    ) from error
  check_tensors(where, tensors, config)
  return SourceCheckpoint(where=where, config=config, tensors=tensors)
