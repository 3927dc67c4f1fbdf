"""Stage 11: Summaries -> tables. Markdown for the report, Rich for the terminal.

Accuracies are in per cent. The headline is the mean over tasks, equally weighted, as in
Table 1 of Wei et al. 2023. Its 95% interval is Wilson's for the clustered variance: it
shows the uncertainty for these tasks, not for other tasks. The difference of two
checkpoints has a paired bootstrap interval, or Newcombe's, since both answer the same
questions; with several tasks, a second interval is for other tasks of this kind.
"detectable" is the smallest true difference that such an experiment is likely to find.
The p-value is that of McNemar's exact test over all queries, or of Student's clustered
test if there are several exemplar seeds. "p (Holm)" is corrected for the whole table.
"""

import dataclasses
from collections.abc import Sequence

import rich.box
import rich.table
import rich.text

from symtune.probe.run import CheckpointLabel
from symtune.report.results import checkpoint_title, setting_title
from symtune.report.summary import Summary
from symtune.stats.means import Estimate, PairedDifference


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
  """A column.

  Attributes:
    title: title above the column.
    is_number: whether the column holds numbers.
    is_detail: whether the terminal, 80 characters wide, leaves the column out.
  """

  title: str
  is_number: bool = True
  is_detail: bool = False


CHANGE_COLUMNS = (
  Column(title="new tasks", is_detail=True),
  Column(title="detectable", is_detail=True),
  Column(title="p", is_detail=True),
  Column(title="p (Holm)"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """The content of a table, independent of how it is shown.

  Attributes:
    title: title above the table.
    columns: the columns, from left to right.
    rows: the cells of each row, one per column.
  """

  title: str
  columns: tuple[Column, ...]
  rows: tuple[tuple[str, ...], ...]

  def __post_init__(self):
    assert all(len(row) == len(self.columns) for row in self.rows), "ragged table"


def headline_table(
  summaries: Sequence[Summary],
  checkpoints: Sequence[CheckpointLabel],
  title: str = "Accuracy in %, mean over tasks [95% interval]",
) -> Table:
  """One row per setting.

  Args:
    summaries: summaries of settings (`summary.summarize_settings`).
    checkpoints: checkpoints in the order of the summaries' estimates.
    title: title above the table.
  """
  return Table(
    title=title,
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


def group_table(
  summaries: Sequence[Summary], checkpoints: Sequence[CheckpointLabel]
) -> Table:
  """One row per setting and group of tasks.

  Args:
    summaries: summaries of groups (`summary.summarize_groups`).
    checkpoints: checkpoints in the order of the summaries' estimates.
  """
  return Table(
    title="Accuracy in % by group of tasks [95% interval]",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="group", is_number=False),
      Column(title="tasks", is_detail=True),
      Column(title="n"),
      *_number_columns(checkpoints, shows_p=False),  # the group takes its place
    ),
    rows=tuple(
      (
        setting_title(s.probe, s.setting),
        _group_title(s),
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
    summaries: summaries of single tasks (`summary.summarize_tasks`).
    checkpoints: checkpoints in the order of the summaries' estimates.
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


def change_table(
  summaries: Sequence[Summary],
  checkpoints: Sequence[CheckpointLabel],
  *,
  by_group: bool = False,
) -> Table:
  """One row per summary and later checkpoint, which is compared with the first.

  Args:
    summaries: summaries of settings (`summary.summarize_settings`) or of groups.
    checkpoints: checkpoints in the order of the summaries' estimates.
    by_group: whether the summaries are of groups, which then have a column.
  """
  where = " by group of tasks" if by_group else ""
  return Table(
    title=f"Difference in points{where}, on the same questions [95% interval]",
    columns=(
      Column(title="setting", is_number=False),
      *([Column(title="group", is_number=False)] if by_group else []),
      Column(title="compared", is_number=False),
      Column(title="difference"),
      *CHANGE_COLUMNS,
    ),
    rows=tuple(
      (
        setting_title(s.probe, s.setting),
        *([_group_title(s)] if by_group else []),
        pair_title(checkpoints[0], later),
        *change_cells(change, corrected),
      )
      for s in summaries
      for later, change, corrected in zip(
        checkpoints[1:], s.changes, s.holm_p_values, strict=True
      )
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


def to_terminal(table: Table, text_width: int = 12) -> rich.table.Table:
  """A table for a Rich console, 80 characters wide, with intervals on a second line.

  Args:
    table: the table.
    text_width: characters after which a text goes on in the next line.
  """
  shown = rich.table.Table(
    title=table.title,
    box=rich.box.SIMPLE_HEAD,
    padding=0,
    leading=1,
    show_edge=False,
  )
  kept = [i for i, column in enumerate(table.columns) if not column.is_detail]
  for column in (table.columns[i] for i in kept):
    shown.add_column(
      _in_lines(column.title),
      justify="right" if column.is_number else "left",
      max_width=None if column.is_number else text_width,
      overflow="fold",
    )
  for row in table.rows:
    shown.add_row(*(_in_lines(row[i]) for i in kept))
  return shown


def _in_lines(cell: str) -> rich.text.Text:
  """Plain text, never markup, with line breaks before brackets and plus signs."""
  for start in ("[", "(", "+ "):
    cell = cell.replace(f" {start}", f"\n{start}")
  return rich.text.Text(cell)


def _group_title(summary: Summary) -> str:
  return "(no group)" if summary.group is None else summary.group


def _number_columns(
  checkpoints: Sequence[CheckpointLabel], *, shows_p: bool = True
) -> list[Column]:
  """Chance, accuracies and a difference; whether the terminal shows its p-value."""
  columns = [Column(title=t) for t in ("chance", *map(checkpoint_title, checkpoints))]
  if len(checkpoints) == 2:  # more have a table of their own
    *details, corrected = CHANGE_COLUMNS
    corrected = dataclasses.replace(corrected, is_detail=not shows_p)
    columns += [Column(title=pair_title(*checkpoints)), *details, corrected]
  return columns


def _number_cells(summary: Summary) -> list[str]:
  cells = [show_percent(summary.chance), *map(show_estimate, summary.accuracy)]
  if len(summary.changes) == 1:
    cells += change_cells(summary.changes[0], summary.holm_p_values[0])
  return cells


def pair_title(first: CheckpointLabel, later: CheckpointLabel) -> str:
  """The title of a difference: "after (minus before)"."""
  names = [first.name, later.name]
  if names[0] == names[1]:
    names = [checkpoint_title(first), checkpoint_title(later)]
  return f"{names[1]} (minus {names[0]})"


def change_cells(change: PairedDifference, corrected: float) -> list[str]:
  """A difference, its intervals and p-values; `corrected` is Holm's."""
  return [
    show_change(change.difference, change.low, change.high),
    show_interval(change.new_tasks),
    show_percent(change.detectable) if change.detectable <= 1.0 else "none",
    show_p_value(change.p_value),
    show_p_value(corrected),
  ]


def show_percent(share: float, sign: str = "") -> str:
  """A share in per cent with one decimal; `sign` is the sign of a format spec."""
  return f"{round(100 * share, 1) + 0.0:{sign}.1f}"  # adding 0.0 turns -0.0 into 0.0


def show_estimate(value: Estimate) -> str:
  """A mean and its interval, in per cent."""
  return f"{show_percent(value.mean)} {show_interval((value.low, value.high))}"


def show_change(mean: float, low: float, high: float) -> str:
  """A difference or slope and its interval, in points."""
  return f"{show_percent(mean, '+')} {show_interval((low, high))}"


def show_interval(ends: tuple[float, float] | None) -> str:
  """Both ends in per cent; nothing if there is no interval."""
  return "" if ends is None else f"[{show_percent(ends[0])}, {show_percent(ends[1])}]"


def show_p_value(value: float) -> str:
  """A p-value with three decimals."""
  return "<0.001" if value < 0.001 else f"{value:.3f}"
