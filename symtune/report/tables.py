"""Stage 11: Summaries -> tables. Markdown for the report, Rich for the terminal.

Accuracies are in per cent. The headline is the mean over tasks, each weighing the same,
as in Table 1 of Wei et al. 2023; its 95% interval is a bootstrap that draws queries
again inside each task. So it tells how sure the accuracy is on these tasks, not on
other tasks. A single task has Wilson's interval, which is right at 0 and 100 too. The
difference of two checkpoints has a paired bootstrap interval, since both answer the
same questions, and the p-value of McNemar's exact test over all queries. P-values are
not corrected for the number of rows.
"""

import dataclasses
from collections.abc import Sequence

import rich.box
import rich.table
import rich.text

from symtune.probe.run import CheckpointLabel
from symtune.probe.stats import Estimate, PairedDifference
from symtune.report.results import checkpoint_title, setting_title
from symtune.report.summary import Summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
  """A column's title, and whether it holds numbers."""

  title: str
  is_number: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """What a table says, however it is shown.

  Attributes:
    title: above the table.
    columns: from left to right.
    rows: of cells, one per column.
  """

  title: str
  columns: tuple[Column, ...]
  rows: tuple[tuple[str, ...], ...]

  def __post_init__(self):
    assert all(len(row) == len(self.columns) for row in self.rows), "ragged table"


def headline_table(
  summaries: Sequence[Summary], checkpoints: Sequence[CheckpointLabel]
) -> Table:
  """One row per setting.

  Args:
    summaries: of settings (`summary.summarize_settings`).
    checkpoints: in the order of the summaries' estimates.
  """
  return Table(
    title="Accuracy in %, mean over tasks [95% interval]",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="tasks"),
      Column(title="n"),
      *_number_columns(checkpoints),
    ),
    rows=tuple(
      (
        setting_title(s.probe, s.setting),
        str(len(s.tasks)),
        str(s.n),
        *_number_cells(s),
      )
      for s in summaries
    ),
  )


def task_table(
  summaries: Sequence[Summary], checkpoints: Sequence[CheckpointLabel]
) -> Table:
  """One row per setting and task.

  Args:
    summaries: of single tasks (`summary.summarize_tasks`).
    checkpoints: in the order of the summaries' estimates.
  """
  return Table(
    title="Accuracy in % by task [95% interval]",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="task", is_number=False),
      Column(title="n"),
      *_number_columns(checkpoints),
    ),
    rows=tuple(
      (setting_title(s.probe, s.setting), *s.tasks, str(s.n), *_number_cells(s))
      for s in summaries
    ),
  )


def to_markdown(table: Table) -> str:
  """A pipe table without its title; ends with a newline."""
  lines = [
    [column.title for column in table.columns],
    ["---:" if column.is_number else "---" for column in table.columns],
    *table.rows,
  ]
  return "".join(
    "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n"
    for line in lines
  )


def to_terminal(table: Table) -> rich.table.Table:
  """The same cells for a Rich console, intervals on a second line: fits 80 columns."""
  shown = rich.table.Table(
    title=table.title,
    box=rich.box.SIMPLE_HEAD,
    padding=0,
    leading=1,
    show_edge=False,
  )
  for column in table.columns:
    shown.add_column(
      _in_lines(column.title),
      justify="right" if column.is_number else "left",
      max_width=None if column.is_number else 12,
      overflow="fold",
    )
  for row in table.rows:
    shown.add_row(*map(_in_lines, row))
  return shown


def _in_lines(cell: str) -> rich.text.Text:
  """Plain text, never markup, with line breaks before brackets and plus signs."""
  for start in ("[", "(", "+ "):
    cell = cell.replace(f" {start}", f"\n{start}")
  return rich.text.Text(cell)


def _number_columns(checkpoints: Sequence[CheckpointLabel]) -> list[Column]:
  titles = ["chance", *map(checkpoint_title, checkpoints)]
  if len(checkpoints) > 1:
    titles += ["difference", "p"]
  return [Column(title=title) for title in titles]


def _number_cells(summary: Summary) -> list[str]:
  cells = [_percent(summary.chance), *map(_estimate, summary.accuracy)]
  if summary.change is not None:
    cells += [_change(summary.change), _p_value(summary.change.p_value)]
  return cells


def _percent(share: float, sign: str = "") -> str:
  return f"{round(100 * share, 1) + 0.0:{sign}.1f}"  # adding 0.0 turns -0.0 into 0.0


def _estimate(value: Estimate) -> str:
  return f"{_percent(value.mean)} [{_percent(value.low)}, {_percent(value.high)}]"


def _change(value: PairedDifference) -> str:
  mean = _percent(value.difference, "+")
  return f"{mean} [{_percent(value.low)}, {_percent(value.high)}]"


def _p_value(value: float) -> str:
  return "<0.001" if value < 0.001 else f"{value:.3f}"
