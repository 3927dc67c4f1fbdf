"""Instruction data in a recipe: files beside the row files of the data folder."""

import os

from etils import epath

from symtune.cards.resources import data_path
from symtune.data.ingredients import Instructions
from symtune.data.text.instructions import (
  InstructionTask,
  read_instructions,
)


def load_instructions(
  settings: Instructions, data_dir: str | os.PathLike[str] | None
) -> tuple[InstructionTask, ...]:
  """Reads the files that the settings name; raises SymtuneError if that fails."""
  path = _join(data_dir, settings.path)
  return read_instructions(path, settings.form, leave_out=settings.leave_out)


def _join(data_dir: str | os.PathLike[str] | None, path: str) -> epath.Path:
  """Inside the data folder, unless the path is absolute or of a bucket."""
  if data_dir is None or "://" in path:
    return data_path(path)
  return data_path(data_dir) / path
