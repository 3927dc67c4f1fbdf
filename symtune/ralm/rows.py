"""The rows of strides.jsonl: what was scored behind which passages."""

import dataclasses
import json
import pathlib
import typing
from collections.abc import Iterable
from typing import Any, NamedTuple

from symtune.bounded import parse_json
from symtune.checks import check_types, parse_choice
from symtune.errors import SymtuneError
from symtune.probe.run import CheckpointLabel
from symtune.ralm.settings import Cell, Rerank

FILE = "strides.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StrideRow:
  """One stride.

  Attributes:
    model: its name.
    identity: what identifies its weights and its vocabulary.
    parameters: how many it has.
    stride: tokens between two retrievals; the last stride of a document may be shorter.
    query_length: tokens of the query; 0 for the baseline.
    passages: passages before the text; 0 for the baseline.
    rerank: a value of `Rerank`.
    document: id of the text.
    start: place of the first token that is scored.
    tokens: how many are scored.
    of: tokens of the document.
    nats: minus the sum of their log-probabilities.
    read: tokens that the model read for this row, those for reranking included; what
      several strides share is counted with the first of them.
    found: numbers of the passages, the best one last.
    scores: their BM25 scores.
    corpus: hash of the index.
  """

  model: str
  identity: str
  parameters: int | None
  stride: int
  query_length: int
  passages: int
  rerank: str
  document: str
  start: int
  tokens: int
  of: int
  nats: float
  read: int
  found: list[int]
  scores: list[float]
  corpus: str

  def __post_init__(self):
    check_types(self)

  @property
  def cell(self) -> Cell:
    """How it was scored."""
    return Cell(
      stride=self.stride,
      query_length=self.query_length,
      passages=self.passages,
      rerank=parse_choice(Rerank, self.rerank, "rerank"),
    )

  @property
  def group(self) -> "Group":
    """The strides that are written together."""
    return Group(self.model, self.cell, self.document)


class Group(NamedTuple):
  """The strides of one document in one cell, by one model."""

  model: str
  cell: Cell
  document: str


def to_lines(rows: Iterable[StrideRow]) -> str:
  """The rows as lines of JSON."""
  return "".join(
    json.dumps(dataclasses.asdict(row), ensure_ascii=False) + "\n" for row in rows
  )


def read_rows(path: pathlib.Path) -> list[StrideRow]:
  """The rows of a file; none if there is no file.

  Raises:
    SymtuneError: a line is no row; names file and line.
  """
  if not path.exists():
    return []
  return [
    _parse(line, f"{path}, line {number}")
    for number, line in enumerate(path.read_bytes().splitlines(), 1)
  ]


def check_identity(label: CheckpointLabel, identity: str, path: pathlib.Path) -> None:
  """Refuses a row of a model that has this one's name and other weights.

  Args:
    label: of the model that is measured.
    identity: what the row says.
    path: the file of the row.

  Raises:
    SymtuneError: the identities differ.
  """
  if identity != label.identity:
    raise SymtuneError(
      f"{path}: got rows of another model named {label.name} (identity "
      f"{identity[:16]}), expected {label.identity[:16]}. Measure this one into "
      "another folder (--out)."
    )


def _parse(line: bytes, where: str) -> StrideRow:
  values: Any = parse_json(line, where)
  expected = set(typing.get_type_hints(StrideRow))
  found = set(values) if isinstance(values, dict) else set()
  if found != expected:
    wrong = ", ".join(sorted(expected ^ found))
    raise SymtuneError(
      f"{where}: expected a row with the keys of StrideRow; missing or unknown: "
      f"{wrong}. Restore the file, or measure again into another folder."
    )
  try:
    row = StrideRow(**values)
    _ = row.cell
  except SymtuneError as error:
    raise SymtuneError(f"{where}: {error}") from error
  return row
