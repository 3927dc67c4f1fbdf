"""A file of seed tasks -> their instructions, in file order."""

import dataclasses
import hashlib
import pathlib

from symtune.bounded import parse_json, read_bytes, split_lines
from symtune.errors import SymtuneError

_MAX_BYTES = 1_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seeds:
  """Instructions that people wrote.

  Attributes:
    instructions: each once, in file order.
  """

  instructions: tuple[str, ...]

  @property
  def fingerprint(self) -> str:
    """SHA-256 of the instructions."""
    return hashlib.sha256("\0".join(self.instructions).encode()).hexdigest()


def read_seeds(path: pathlib.Path, *, classification_only: bool = False) -> Seeds:
  """Reads the instructions of a JSONL file.

  Args:
    path: a row is an object with an `instruction`, as in Self-Instruct's
      `seed_tasks.jsonl`, in Alpaca's rows, or in your own.
    classification_only: only rows whose `is_classification` is true.

  Raises:
    SymtuneError: there is no such file, a row has no instruction, or none is left.
  """
  try:
    *lines, last = split_lines(read_bytes(path, _MAX_BYTES))
  except OSError as error:
    raise SymtuneError(
      f"{path}: the seed tasks cannot be read ({error.strerror}). Give a JSONL file "
      "with an instruction per row as --seeds."
    ) from error
  found: dict[str, None] = {}
  for number, line in enumerate([*lines, last] if last else lines, 1):
    where = f"{path}, line {number}"
    row = parse_json(line, where)
    instruction = row.get("instruction") if isinstance(row, dict) else None
    if not isinstance(instruction, str) or not instruction.strip():
      raise SymtuneError(
        f"{where}: got no text under 'instruction', expected an object with one."
      )
    if classification_only and not isinstance(row.get("is_classification"), bool):
      raise SymtuneError(
        f"{where}: got no true or false under 'is_classification', which "
        "classification_only needs. Add it, or set classification_only to False."
      )
    if not classification_only or row["is_classification"]:
      found[instruction.strip()] = None
  if not found:
    raise SymtuneError(f"{path}: got no seed task, expected at least one.")
  return Seeds(instructions=tuple(found))
