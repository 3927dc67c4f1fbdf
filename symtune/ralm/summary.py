"""Rows of strides -> perplexities, and their paired changes by retrieval."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from symtune.errors import SymtuneError
from symtune.ralm.rows import StrideRow
from symtune.ralm.run import check_same_tokens
from symtune.ralm.settings import Cell
from symtune.stats.ratios import Ratio, ratio


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
  """One cell of one model.

  Attributes:
    model: its name.
    parameters: how many it has.
    cell: how it was scored.
    documents: ids of the documents.
    nats: minus the log-probability of each document's scored tokens.
    tokens: scored tokens of each document.
    read: tokens that the model read for each document.
    change: nats per token, minus those without passages; None for the baseline.
    words: words of each document.
    bytes: bytes of each document in UTF-8.
  """

  model: str
  parameters: int | None
  cell: Cell
  documents: tuple[str, ...]
  nats: Float64[np.ndarray, "documents"]
  tokens: Float64[np.ndarray, "documents"]
  read: Float64[np.ndarray, "documents"]
  words: Float64[np.ndarray, "documents"]
  bytes: Float64[np.ndarray, "documents"]
  change: Ratio | None = None

  def per(self, unit: Float64[np.ndarray, "documents"]) -> Ratio:
    """Nats per token, word or byte."""
    return ratio(self.nats, unit)

  @property
  def cost(self) -> float:
    """Tokens that the model read for each token that it scored."""
    return float(self.read.sum() / self.tokens.sum())


def summarize(
  rows: Sequence[StrideRow], sizes: Mapping[str, Mapping[str, int]]
) -> list[Measured]:
  """The cells of every model, each compared with its baseline, document by document.

  Args:
    rows: of whole documents.
    sizes: words and bytes of each document.

  Raises:
    SymtuneError: two cells scored other tokens or other documents, or a document's size
      is not known.
  """
  check_same_tokens(rows)
  groups: dict[tuple[str, Cell], list[StrideRow]] = {}
  for row in rows:
    groups.setdefault((row.model, row.cell), []).append(row)
  found = {key: _measure(some, sizes) for key, some in groups.items()}
  return [_compare(one, found) for one in found.values()]


def _measure(
  rows: Sequence[StrideRow], sizes: Mapping[str, Mapping[str, int]]
) -> Measured:
  sums = {name: collections.Counter[str]() for name in ("nats", "tokens", "read")}
  for row in rows:
    for name, counter in sums.items():
      counter[row.document] += getattr(row, name)
  documents = tuple(sums["tokens"])
  missing = [d for d in documents if d not in sizes]
  if missing:
    raise SymtuneError(f"ralm: the size of document {missing[0]!r} is not known.")

  def column(values: Iterable[float]) -> Float64[np.ndarray, "_documents"]:
    return np.fromiter(values, np.float64)

  first = rows[0]
  return Measured(
    model=first.model,
    parameters=first.parameters,
    cell=first.cell,
    documents=documents,
    nats=column(sums["nats"][d] for d in documents),
    tokens=column(sums["tokens"][d] for d in documents),
    read=column(sums["read"][d] for d in documents),
    words=column(sizes[d]["words"] for d in documents),
    bytes=column(sizes[d]["bytes"] for d in documents),
  )


def _compare(one: Measured, found: Mapping[tuple[str, Cell], Measured]) -> Measured:
  cell = Cell(stride=one.cell.stride)
  if one.cell == cell:
    return one
  base = found.get((one.model, cell))
  if base is None or base.documents != one.documents:
    raise SymtuneError(
      f"{one.model}, {one.cell.title}: not all documents were scored without passages "
      "too. Let the command finish: the same call goes on where it stopped."
    )
  return dataclasses.replace(one, change=ratio(one.nats - base.nats, one.tokens))
