"""Instruction data in a recipe: files beside the row files of the data folder."""

import os

from etils import epath

from symtune.cards.resources import data_path
from symtune.data.instruction_prompts import Instructions
from symtune.data.text.instructions import (
  InstructionForm,
  InstructionTask,
  read_instructions,
)
from symtune.errors import SymtuneError


def instructions(
  *,
  path: str,
  form: str,
  rate: float = 1.0,
  cap: int = 30_000,
  temperature: float = 1.0,
  leave_out: bool = False,
  num_tasks: int | None = None,
) -> Instructions:
  """Instruction data in the mixture; ablation B.3 has 0.84 of it beside symbols.

  Args:
    path: a file or a folder of files, inside the data folder or absolute.
    form: "pairs", "alpaca", "self_instruct" or "super_ni".
    rate: share of the mixture, relative to the other ingredients.
    cap: rows of a file that count towards its weight.
    temperature: files weigh (capped rows) ** (1 / temperature).
    leave_out: leave out and count rows without instruction or output.
    num_tasks: how many of the files are used, drawn at random; all unless given.

  Returns:
    The typed settings.

  Raises:
    SymtuneError: the form is not among the choices.
  """
  try:
    kind = InstructionForm(form)
  except ValueError as error:
    choices = ", ".join(repr(str(member)) for member in InstructionForm)
    raise SymtuneError(
      f"recipe: instructions.form is {form!r}, expected one of {choices}."
    ) from error
  return Instructions(
    path=path,
    form=kind,
    rate=float(rate),
    cap=cap,
    temperature=float(temperature),
    leave_out=leave_out,
    num_tasks=num_tasks,
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
