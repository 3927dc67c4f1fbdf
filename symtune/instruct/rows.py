"""The rows of answers.jsonl: a question, an answer and its scores, one per line.

Every line ends with a checksum, as in results.jsonl (`probe/results.py`). The rows of
other files are read and written in the same way.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any, TypeVar

from symtune.bounded import parse_json, read_bytes, split_lines
from symtune.checks import check_types
from symtune.errors import SymtuneError
from symtune.probe.results import CHECKSUM, add_checksum

SCHEMA_VERSION = 1
_MAX_BYTES = 20_000_000_000
_Row = TypeVar("_Row")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerRow:
  """One answered question.

  Attributes:
    schema_version: version of this format.
    model: name of the answerer in tables.
    step: training step of the model.
    identity: what answered: a hash of the weights and settings, or a baseline's name.
    parameters: number of parameters; None for a baseline.
    dtype: type in which the model computed; None for a baseline.
    encoding: how the question was asked (`Encoding`).
    task: name of the task.
    category: what kind of task it is.
    instance: number of the instance in the task, from 0.
    prompt_hash: 48 bits of the SHA-256 of the prompt and its references.
    text: what was generated.
    answer: what was scored: the text, or the end of a chain of thought.
    references: the right answers.
    exact: whether the answer matches a reference exactly, normalised.
    rouge_l: the largest ROUGE-L F-measure over the references, 0 to 1.
    examples: number of examples that the model saw.
    examples_asked: number of examples before the prompt was shortened to fit.
    lost_definition: whether the definition had to go, too.
    config_hash: hash of settings and data.
    symtune_version: version of symtune.
    git_commit: commit of symtune, or None.
  """

  schema_version: int
  model: str
  step: int
  identity: str
  parameters: int | None
  dtype: str | None
  encoding: str
  task: str
  category: str
  instance: int
  prompt_hash: int
  text: str
  answer: str
  references: tuple[str, ...]
  exact: bool
  rouge_l: float
  examples: int
  examples_asked: int
  lost_definition: bool
  config_hash: str
  symtune_version: str
  git_commit: str | None

  def __post_init__(self):
    check_types(self)

  @property
  def key(self) -> tuple[str, str, int]:
    """The same for the same question to two models."""
    return (self.encoding, self.task, self.instance)

  @property
  def is_shortened(self) -> bool:
    """Whether the model did not see all of the prompt."""
    return self.examples < self.examples_asked or self.lost_definition


def to_json(row: Any) -> str:
  """A row as one line of JSON without a newline: sorted keys, then the checksum."""
  return add_checksum(json.dumps(vars(row), sort_keys=True, ensure_ascii=False))


def read_rows(path: pathlib.Path) -> list[AnswerRow]:
  """Reads and checks answers.jsonl (`read_lines`)."""
  return read_lines(path, AnswerRow)


def read_lines(path: pathlib.Path, kind: type[_Row]) -> list[_Row]:
  """Reads and checks a file of rows; a missing file has none.

  Args:
    path: the file.
    kind: dataclass of its rows, with a field `schema_version`.

  Raises:
    SymtuneError: a line is damaged or has another schema; names file and line.
  """
  if not path.exists():
    return []
  *lines, last = split_lines(read_bytes(path, _MAX_BYTES))
  if last:
    lines.append(last)
  places = [f"{path}, line {i}" for i in range(1, len(lines) + 1)]
  return [_parse(line, at, kind) for line, at in zip(lines, places, strict=True)]


def drop_torn_line(path: pathlib.Path) -> None:
  """Removes a last line without its end, which a killed write left.

  Raises:
    SymtuneError: it is no regular file.
  """
  if path.exists():
    data = read_bytes(path, _MAX_BYTES)
    whole = data.rfind(b"\n") + 1
    if data[whole:].startswith(b"{"):  # anything else is no row, and is named
      os.truncate(path, whole)


def _parse(line: bytes, where: str, kind: type[_Row]) -> _Row:
  values = parse_json(line, where)
  if not isinstance(values, dict) or CHECKSUM not in values:
    raise SymtuneError(f"{where}: got no row with a checksum. {_ADVICE}")
  body = {name: value for name, value in values.items() if name != CHECKSUM}
  whole = add_checksum(json.dumps(body, sort_keys=True, ensure_ascii=False))
  if whole.encode() != line:
    raise SymtuneError(
      f"{where}: the checksum is not the line's: it was changed after it was written. "
      f"{_ADVICE}"
    )
  names = {field.name for field in dataclasses.fields(kind)}  # pyright: ignore
  if body.get("schema_version") != SCHEMA_VERSION or set(body) != names:
    raise SymtuneError(
      f"{where}: got schema_version {body.get('schema_version')!r} and {len(body)} "
      f"keys, expected {SCHEMA_VERSION} and {len(names)}. Read the file with the "
      f"release of symtune that wrote it."
    )
  lists = {name: tuple(v) for name, v in body.items() if isinstance(v, list)}
  return kind(**body | lists)


_ADVICE = "Restore the line, or start again in another folder (--out)."
