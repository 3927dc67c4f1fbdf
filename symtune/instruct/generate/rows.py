"""The rows of the stages' files, and an append-only file of rows.

Every line ends with a checksum, as in answers.jsonl (`instruct/rows.py`).
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from symtune.checks import check_types
from symtune.errors import SymtuneError
from symtune.files import append_text
from symtune.instruct.generate.filters import Instance
from symtune.instruct.rows import SCHEMA_VERSION, drop_torn_line, read_lines
from symtune.probe.results import add_checksum


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
  """An instruction that a generator wrote.

  Attributes:
    instruction: its text.
    reason: why it was rejected (`filters.Reason`); None if it is kept.
    rouge_l: the largest ROUGE-L to any instruction before it; None if another rule had
      rejected it.
    nearest: that instruction.
  """

  instruction: str
  reason: str | None = None
  rouge_l: float | None = None
  nearest: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProposalRow:
  """A prompt for new instructions, and what it brought.

  Attributes:
    schema_version: version of this format.
    request: number of the prompt, from 0.
    shown: the instructions in it.
    text: what was written.
    ended: why it was over (`generators.Ended`).
    prompt_tokens: tokens that were read.
    tokens: tokens that were written.
    candidates: the instructions in the text, in order.
  """

  schema_version: int = SCHEMA_VERSION
  request: int
  shown: tuple[str, ...]
  text: str
  ended: str
  prompt_tokens: int
  tokens: int
  candidates: tuple[Candidate, ...]

  def __post_init__(self):
    _build(self, "candidates", Candidate)
    check_types(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassRow:
  """Whether an instruction is a classification task.

  Attributes:
    schema_version: version of this format.
    number: of the instruction, from 0.
    instruction: its text.
    text: what was written.
    is_classification: whether that is Yes.
    prompt_tokens: tokens that were read.
    tokens: tokens that were written.
  """

  schema_version: int = SCHEMA_VERSION
  number: int
  instruction: str
  text: str
  is_classification: bool
  prompt_tokens: int
  tokens: int

  def __post_init__(self):
    check_types(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceRow:
  """The instances of an instruction, as they were written.

  Attributes:
    schema_version: version of this format.
    number: of the instruction, from 0.
    instruction: its text.
    texts: what was written: one text, or one per field.
    ended: why it was over (`generators.Ended`).
    instances: the instances in the texts, in order.
    prompt_tokens: tokens that were read.
    tokens: tokens that were written.
  """

  schema_version: int = SCHEMA_VERSION
  number: int
  instruction: str
  texts: tuple[str, ...]
  ended: str
  instances: tuple[Instance, ...]
  prompt_tokens: int
  tokens: int

  def __post_init__(self):
    _build(self, "instances", Instance)
    check_types(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rejected:
  """An instance, and why it was rejected (`filters.Reason`)."""

  input: str
  output: str
  reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectedRow:
  """The instances of an instruction, kept and rejected.

  Attributes:
    schema_version: version of this format.
    number: of the instruction, from 0.
    instruction: its text.
    is_classification: whether it is a classification task.
    kept: its instances; without any, the instruction is no part of the data.
    rejected: the others.
  """

  schema_version: int = SCHEMA_VERSION
  number: int
  instruction: str
  is_classification: bool
  kept: tuple[Instance, ...]
  rejected: tuple[Rejected, ...]

  def __post_init__(self):
    _build(self, "kept", Instance)
    _build(self, "rejected", Rejected)
    check_types(self)


def _build(row: Any, name: str, kind: type[Any]) -> None:
  """Makes values of a class out of a field's objects, as they are read from JSON."""
  values = getattr(row, name)
  try:
    built = tuple(v if isinstance(v, kind) else kind(**v) for v in values)
  except TypeError as error:
    raise SymtuneError(f"{name}: got other keys than {kind.__name__}'s.") from error
  object.__setattr__(row, name, built)


_Row = TypeVar("_Row")


class Log(Generic[_Row]):
  """A file of rows that grows at its end.

  Attributes:
    path: the file.
    rows: its rows.
  """

  def __init__(self, path: pathlib.Path, kind: type[_Row]):
    """Reads the file, if it is there; a line that a killed write left is removed.

    Args:
      path: the file.
      kind: of its rows.

    Raises:
      SymtuneError: a line is damaged, or no such row; names file and line.
    """
    self.path = path
    drop_torn_line(path)
    self.rows: list[_Row] = read_lines(path, kind)

  def append(self, rows: Sequence[_Row]) -> None:
    """Adds rows; they are on disk when it returns."""
    lines = (
      json.dumps(dataclasses.asdict(row), sort_keys=True, ensure_ascii=False)  # pyright: ignore
      for row in rows
    )
    append_text(self.path, "".join(add_checksum(line) + "\n" for line in lines))
    self.rows += rows

  def damage(self, place: int, expected: str) -> SymtuneError:
    """What to raise if a row does not follow from the rows of the stage before.

    Args:
      place: of the row, from 0.
      expected: what should stand there.
    """
    return SymtuneError(
      f"{self.path}, line {place + 1}: expected {expected}: lines were removed or "
      "files mixed. Restore the file, or start again in another folder (--out)."
    )
