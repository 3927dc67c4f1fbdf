"""Reliance -> the tables with which a report opens, and how to read them."""

from collections.abc import Sequence

from symtune.probe.run import CheckpointLabel
from symtune.report.labels.reliance import Level, Reliance
from symtune.report.results import checkpoint_title
from symtune.report.tables import (
  CHANGE_COLUMNS,
  Column,
  Table,
  change_cells,
  pair_title,
  show_change,
  show_interval,
  show_percent,
)

TITLE = "Label reliance: what rests on the names of labels [95% interval]"
READING = """\
- natural minus symbols, or minus nonce words, is what accuracy loses, in points, when
  the labels' names mean nothing. The override rate is the share of questions with
  flipped labels, in %, whose answer follows the exemplars against the names. A model
  that rests less on names has smaller differences and a larger override rate.
- A later checkpoint minus the first is a difference of differences on the same
  questions, in points. Below 0 for natural minus symbols says that names matter less.
"""


def reliance_table(
  found: Sequence[Reliance], checkpoints: Sequence[CheckpointLabel]
) -> Table:
  """One row per measure; two checkpoints have their difference beside them.

  Args:
    found: from `measure_reliance`.
    checkpoints: in the order of their levels.
  """
  shows_change = len(checkpoints) == 2
  changes = ()
  if shows_change:
    changes = (Column(title=pair_title(*checkpoints)), *CHANGE_COLUMNS)
  return Table(
    title=TITLE,
    columns=(
      Column(title="measure", is_number=False),
      Column(title="tasks", is_detail=True),
      Column(title="n"),
      *(Column(title=checkpoint_title(label)) for label in checkpoints),
      *changes,
    ),
    rows=tuple(
      (
        one.measure,
        str(len(one.tasks)),
        str(one.n),
        *(_show(level, one) for level in one.levels),
        *(change_cells(one.changes[0], one.holm_p_values[0]) if shows_change else ()),
      )
      for one in found
    ),
  )


def reliance_change_table(
  found: Sequence[Reliance], checkpoints: Sequence[CheckpointLabel]
) -> Table:
  """One row per measure and later checkpoint, for more than two checkpoints."""
  return Table(
    title="Change of label reliance in points, on the same questions [95% interval]",
    columns=(
      Column(title="measure", is_number=False),
      Column(title="compared", is_number=False),
      Column(title="difference"),
      *CHANGE_COLUMNS,
    ),
    rows=tuple(
      (one.measure, pair_title(checkpoints[0], later), *change_cells(change, p_value))
      for one in found
      for later, change, p_value in zip(
        checkpoints[1:], one.changes, one.holm_p_values, strict=True
      )
    ),
  )


def _show(level: Level, one: Reliance) -> str:
  if one.is_difference:
    return show_change(level.value, level.low, level.high)
  return f"{show_percent(level.value)} {show_interval((level.low, level.high))}"
