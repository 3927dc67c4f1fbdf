"""Reads and writes our own checkpoints: the step folder of a run, or a weights file."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from symtune.bounded import read_json
from symtune.cards.resources import resource_dir
from symtune.convert.folders import local_file, open_folder
from symtune.convert.safetensors_file import (
  PlannedFile,
  read_header,
  read_safetensors,
  write_safetensors,
)
from symtune.convert.t5x.read import read_orbax
from symtune.convert.tensors import SourceCheckpoint, check_tensors
from symtune.errors import SymtuneError
from symtune.train.loop import CHECKPOINTS
from symtune.train.record import PARAMS, RUN, check_files, steps
from symtune.train.weights import (
  config_from_dict,
  known_settings,
  saved_config,
  weights_metadata,
)

_MAX_JSON = 100_000_000


def weights_source(path: pathlib.Path) -> SourceCheckpoint:
  """Opens a weights file (`symtune.train.weights`).

  Raises:
    SymtuneError: not a weights file, damaged, or its tensors do not match its config.
  """
  place = path.resolve()  # the user's own link may lead anywhere
  _, metadata = read_header(place)
  return _checked(str(path), saved_config(path, metadata), read_safetensors(place))


def run_source(folder: pathlib.Path) -> SourceCheckpoint:
  """Opens a checkpoint of a run: its folder, `checkpoints`, or one step's folder.

  From the first two, the newest step is taken.

  Raises:
    SymtuneError: there is no checkpoint, or it is damaged.
  """
  step_dir = _step_dir(folder)
  check_files(step_dir, PARAMS, RUN)
  model, vocab = _recorded(step_dir)
  opened = open_folder(str(step_dir))
  opened.check_files()
  tensors = read_orbax(opened, "params", is_parameter=lambda _: True)
  source = _checked(str(step_dir), model, tensors)
  shipped = None if vocab is None else _shipped(vocab)
  left_out = ["optimizer state and data position"]
  if vocab is not None and shipped is None:
    left_out.append(f"its vocabulary, {vocab}: give it with --vocab")
  return dataclasses.replace(
    source, step=_step_number(step_dir), vocab=shipped, left_out=tuple(left_out)
  )


def _recorded(step_dir: pathlib.Path) -> tuple[Mapping[str, Any], str | None]:
  """The network's settings and the vocabulary that a checkpoint names."""
  about = step_dir / "run" / "metadata"
  try:
    if local_file(step_dir, "run/metadata") is None:
      raise SymtuneError("no such file")
    config = read_json(about, _MAX_JSON)["config"]
    model, vocab = config["model"], config.get("vocab")
    if not isinstance(model, dict) or not isinstance(vocab, str | None):
      raise SymtuneError(f"model {model!r:.60} or vocab {vocab!r:.60} is mistyped")
  except (OSError, LookupError, TypeError, AttributeError, SymtuneError) as error:
    raise SymtuneError(
      f"{about} cannot be read ({type(error).__name__}: {error}); expected a file that "
      "symtune wrote. The checkpoint is damaged: use another step, or copy it again."
    ) from error
  return model, vocab


def _shipped(vocab: str) -> pathlib.Path | None:
  """A vocabulary in `tasks/`; a checkpoint must not name any other file to read."""
  folder = resource_dir("tasks")
  if not vocab or "\0" in vocab or not (folder / vocab).is_file():
    return None
  path = (folder / vocab).resolve()
  return folder / vocab if path.is_relative_to(folder.resolve()) else None


def _step_number(step_dir: pathlib.Path) -> int:
  if not step_dir.name.isdecimal():
    raise SymtuneError(
      f"{step_dir} is a checkpoint of a run, but its name is no step; expected a name "
      "such as 500. Rename it back."
    )
  return int(step_dir.name)


def is_run(folder: pathlib.Path) -> bool:
  """Whether a folder is a run, its `checkpoints`, or a step in it."""
  return (folder / "params").is_dir() or bool(
    steps(folder) or steps(folder / CHECKPOINTS)
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
    return folder.resolve()
  for place in (folder, folder / CHECKPOINTS):
    step = max(steps(place), default=None)
    if step is not None:
      return place / str(step)
  raise SymtuneError(f"{folder} holds no checkpoint of a run. Train first.")


def _checked(
  where: str, content: Mapping[str, Any], tensors: Mapping[str, Any]
) -> SourceCheckpoint:
  if not isinstance(content, dict):
    raise SymtuneError(
      f"{where}: the network's settings are {content!r:.60}, expected an object. The "
      "file is damaged: copy it again."
    )
  unknown = sorted(content.keys() - known_settings(content))
  if unknown:
    raise SymtuneError(
      f"{where}: unknown network settings {', '.join(unknown)}. A newer version of "
      "symtune wrote the file: update symtune."
    )
  try:
    config = config_from_dict(content)
  except (TypeError, SymtuneError) as error:
    raise SymtuneError(
      f"{where}: the network's settings are damaged: {error}"
    ) from error
  check_tensors(where, tensors, config)
  return SourceCheckpoint(where=where, config=config, tensors=tensors)
