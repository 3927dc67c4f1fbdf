"""Data files of probes, which are not rows of tasks; errors name file and line."""

import pathlib
from typing import Any

from symtune import bounded
from symtune.errors import SymtuneError

_MAX_BYTES = 1_000_000_000


def find_data(data_dir: pathlib.Path | None, name: str, probe: str) -> pathlib.Path:
  """Finds a file or folder in the data folder or in the folder above it.

  Args:
    data_dir: the data folder given with --data, or None.
    name: name of the file or folder.
    probe: the probe that needs it, for the message.

  Raises:
    SymtuneError: there is no data folder, or neither folder holds it.
  """
  if data_dir is None:
    raise SymtuneError(
      f"probe {probe} reads {name}, but no local data folder was given. Pass --data "
      f"DIR, or leave the probe out with --probes."
    )
  for folder in (data_dir, data_dir.resolve().parent):
    if (folder / name).exists():
      return folder / name
  raise SymtuneError(
    f"probe {probe} needs {name}, which is neither in {data_dir} nor in the folder "
    f"above it. Put it there, or leave the probe out with --probes."
  )


def parse_json(text: str, where: str) -> dict[str, Any]:
  """Parses a JSON object; raises SymtuneError if the text is not one."""
  try:
    values = bounded.parse_json(text)
  except SymtuneError as error:
    raise SymtuneError(f"{where}: malformed JSON ({error}). Fetch it again.") from error
  if not isinstance(values, dict):
    raise SymtuneError(f"{where}: got {type(values).__name__}, expected an object.")
  return values


def read_text(path: pathlib.Path) -> str:
  """Reads a UTF-8 text of bounded size; raises SymtuneError if it is not one."""
  return bounded.read_text(path, _MAX_BYTES)
