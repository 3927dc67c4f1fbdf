"""A folder of strides -> report.md, report.html and report.png.

The reports show passages and queries side by side, where passages helped most and where
they harmed most.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Mapping, Sequence

from symtune.bounded import read_json
from symtune.errors import SymtuneError
from symtune.ralm.figure import draw_grid
from symtune.ralm.rows import FILE, StrideRow, read_rows
from symtune.ralm.run import TEXTS
from symtune.ralm.spans import TokenModel
from symtune.ralm.summary import Measured, summarize
from symtune.report.lab.content import Content, Drawing, Section, of_table
from symtune.report.lab.page import write_content
from symtune.report.tables import Column, Table
from symtune.retrieve.index import PassageIndex
from symtune.stats.ratios import Ratio

_STEM = "report"
REPORT, PAGE, FIGURE = (f"{_STEM}.{ending}" for ending in ("md", "html", "png"))
_NOTES = (
  "A change below 0 means that passages make the text likelier. Both sides score the "
  "same tokens of the same documents, and the interval resamples documents.\n"
)
_FEWER = (
  "Fewer than {most} documents are scored in these cells, so that their perplexities "
  "are not to be compared with those of the others: {names}.\n"
)
_MAX_TEXTS = 1_000_000_000
_EACH = 3  # examples of either kind
_TITLES = ("gain, nats", "query", "passage", "text that is scored")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
  """A stride with the passage before it.

  Attributes:
    gain: nats by which the passage makes the stride likelier.
    document: id of the text.
    query: the last tokens before the stride.
    passage: title and text.
    target: what is scored.
  """

  gain: float
  document: str
  query: str
  passage: str
  target: str


def read_measured(out: pathlib.Path) -> tuple[list[StrideRow], list[Measured]]:
  """The rows of a folder, and their summary.

  Raises:
    SymtuneError: there are none, or they are damaged.
  """
  rows = read_rows(out / FILE)
  if not rows:
    raise SymtuneError(f"{out / FILE}: got no rows, expected some. Measure first.")
  return rows, summarize(rows, read_json(out / TEXTS, _MAX_TEXTS))


def perplexity_table(measured: Sequence[Measured]) -> Table:
  """Perplexities of every cell, and the change by retrieval."""
  columns = [
    Column(title="model", is_number=False),
    Column(title="cell", is_number=False),
    Column(title="documents", is_detail=True),
    Column(title="tokens", is_detail=True),
    Column(title="nats per token"),
    Column(title="ppl per token"),
    Column(title="per word"),
    Column(title="per byte", is_detail=True),
    Column(title="change, nats per token"),
    Column(title="tokens read per token scored", is_detail=True),
  ]
  rows = [
    (
      one.model,
      one.cell.title,
      str(len(one.documents)),
      f"{one.tokens.sum():,.0f}",
      f"{one.per(one.tokens).value:.4f}",
      show_perplexity(one.per(one.tokens)),
      f"{perplexity(one.per(one.words).value):.1f}",
      f"{perplexity(one.per(one.bytes).value):.3f}",
      "" if one.change is None else show_change(one.change),
      f"{one.cost:.1f}",
    )
    for one in measured
  ]
  title = "Perplexity [95% interval over documents]"
  return Table(title=title, columns=tuple(columns), rows=tuple(rows))


def perplexity(nats: float) -> float:
  """Exp of nats per unit; infinite where that is too large."""
  return math.exp(nats) if nats < 700 else math.inf


def show_perplexity(per_token: Ratio) -> str:
  """A perplexity with its interval."""
  value = f"{perplexity(per_token.value):.2f}"
  if math.isnan(per_token.low):
    return value
  return f"{value} [{perplexity(per_token.low):.2f}, {perplexity(per_token.high):.2f}]"


def show_change(change: Ratio) -> str:
  """A change of nats per token with its interval; below 0 is better."""
  if math.isnan(change.low):
    return f"{change.value:+.4f}"
  return f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"


def find_examples(
  rows: Sequence[StrideRow],
  texts: Mapping[str, str],
  index: PassageIndex,
  model: TokenModel,
) -> list[Example]:
  """The strides of a model that a passage helped most, and those it harmed most.

  Args:
    rows: of all cells; those of the first cell with passages are looked at.
    texts: documents by id.
    index: where the passages are from.
    model: whose tokens the rows count.
  """
  mine = [row for row in rows if row.model == model.label.name]
  with_passage = [row for row in mine if row.found]
  if not with_passage:
    return []
  cell = with_passage[0].cell
  base = {
    (row.document, row.start): row.nats
    for row in mine
    if not row.passages and row.stride == cell.stride
  }
  ranked = sorted(
    (r for r in with_passage if r.cell == cell and (r.document, r.start) in base),
    key=lambda row: row.nats - base[row.document, row.start],
  )
  chosen = [*ranked[:_EACH], *ranked[_EACH:][-_EACH:]]
  examples = []
  for row in chosen:
    tokens = model.ids(texts[row.document]).tolist()
    examples.append(
      Example(
        gain=base[row.document, row.start] - row.nats,
        document=row.document,
        query=model.text(tokens[max(0, row.start - row.query_length) : row.start]),
        passage=index.passage(row.found[-1]).shown,
        target=model.text(tokens[row.start : row.start + row.tokens]),
      )
    )
  return examples


def write_report(out: pathlib.Path, examples: Sequence[Example] = ()) -> list[Table]:
  """Writes the report of a folder, and returns its tables.

  Args:
    out: holds the rows; gets report.md, report.html and report.png.
    examples: passages and queries to show side by side.

  Raises:
    SymtuneError: there are no rows, or they are damaged.
  """
  _, measured = read_measured(out)
  table = perplexity_table(measured)
  most = max(len(one.documents) for one in measured)
  fewer = [one for one in measured if len(one.documents) < most]
  names = "; ".join(f"{one.model} {one.cell.title}" for one in fewer)
  figure = Drawing(
    file=FIGURE,
    alt="Nats per token by stride, with and without passages",
    draw=functools.partial(draw_grid, measured),
  )
  content = Content(
    title="Perplexity with and without passages",
    remarks=(_NOTES, *([_FEWER.format(names=names, most=most)] if fewer else [])),
    sections=(
      of_table(table),
      Section(parts=(figure,)),
      *([of_table(example_table(examples))] if examples else []),
    ),
    results=None,
    headlines=(table,),
  )
  write_content(out / _STEM, content)
  return [table]


def write_answers(out: pathlib.Path, table: Table) -> None:
  """Writes the report of a folder of answers: report.md and report.html."""
  content = Content(
    title="Answers with and without passages",
    remarks=(),
    sections=(of_table(table),),
    results=None,
    headlines=(table,),
  )
  write_content(out / _STEM, content)


def example_table(examples: Sequence[Example]) -> Table:
  """Examples, one per row."""
  columns = [Column(title=_TITLES[0])]
  columns += [Column(title=title, is_number=False) for title in _TITLES[1:]]
  rows = tuple(
    (f"{e.gain:+.2f}", _one_line(e.query), _one_line(e.passage), _one_line(e.target))
    for e in examples
  )
  return Table(
    title="Passages and queries side by side", columns=tuple(columns), rows=rows
  )


def _one_line(text: str) -> str:
  return " ".join(text.split())
