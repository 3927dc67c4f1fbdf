"""Stage 11: Comparison -> tables of arms: accuracy, differences, and each seed.

All tables have the same rows, one per setting and group of tasks, and a column per arm.
"""

import itertools
from collections.abc import Sequence

from symtune.report.arms.compare import ALL_TASKS, Comparison
from symtune.report.results import setting_title
from symtune.report.summary import Summary
from symtune.report.tables import (
  Column,
  Table,
  show_change,
  show_estimate,
  show_p_value,
  show_percent,
)
from symtune.stats.means import PairedDifference

_SETTING = Column(title="setting", is_number=False)


def arm_tables(arms: Comparison) -> tuple[Table, ...]:
  """All tables; that of differences from the first arm only if there are others."""
  between = [_difference_from_first(arms)] if len(arms.arms) > 1 else []
  return (_accuracy(arms), _difference_from_before(arms), *between, _each_seed(arms))


def describe_intervals(arms: Comparison) -> str:
  """What the intervals and p-values of the tables are over."""
  seeds = ", ".join(map(str, arms.seeds))
  if len(arms.seeds) == 1:
    over = (
      f"There is one seed ({seeds}), so intervals are over questions only: they do not "
      f"say how much another seed would change the result."
    )
  else:
    over = (
      f"Intervals are over questions and over the {len(arms.seeds)} seeds ({seeds}), "
      f"taken as a sample of seeds: a seed has its own exemplars, formats, symbols, "
      f"tuning prompts and dropout. Few seeds tell little about others, so the effect "
      f"of a seed enters with Student's quantile."
    )
  return (
    f"Accuracy is the mean over tasks, and n the number of answers of each arm. "
    f"Intervals are 95% and hold for these tasks. {over} Differences are between "
    f"answers to the same questions. p (Holm) is corrected for all comparisons of its "
    f"table.\n"
  )


def before_titles(arms: Comparison) -> dict[int, str]:
  """The title of each base, by the place of the first arm that starts from it."""
  first, *others = dict.fromkeys(arms.bases)
  return {first: "before"} | {p: f"before ({arms.arms[p]})" for p in others}


def row_title(summary: Summary) -> str:
  """The setting of a row, and the group of its tasks in brackets."""
  title = setting_title(summary.probe, summary.setting)
  if summary.group == ALL_TASKS:
    return title
  return f"{title} ({summary.group or 'no group'})"


def _accuracy(arms: Comparison) -> Table:
  bases = before_titles(arms)
  return Table(
    title="Accuracy in % after tuning [95% interval]",
    columns=(
      _SETTING,
      Column(title="tasks", is_detail=True),
      Column(title="n"),
      Column(title="chance"),
      *(Column(title=title) for title in (*bases.values(), *arms.arms)),
    ),
    rows=tuple(
      (
        row_title(row),
        str(len(row.tasks)),
        str(row.n),
        show_percent(row.chance),
        *(show_estimate(arms.by_arm[place][i].accuracy[0]) for place in bases),
        *(show_estimate(summaries[i].accuracy[1]) for summaries in arms.by_arm),
      )
      for i, row in enumerate(arms.rows)
    ),
  )


def _difference_from_before(arms: Comparison) -> Table:
  return _differences(
    arms,
    "Difference from before, in points [95% interval]",
    arms.arms,
    [
      [(s.changes[0], s.holm_p_values[0]) for s in summaries]
      for summaries in arms.by_arm
    ],
  )


def _difference_from_first(arms: Comparison) -> Table:
  return _differences(
    arms,
    f"Difference from the arm {arms.arms[0]}, in points [95% interval]",
    arms.arms[1:],
    [
      [(s.changes[place], s.holm_p_values[place]) for s in arms.between]
      for place in range(len(arms.arms) - 1)
    ],
  )


def _differences(
  arms: Comparison,
  title: str,
  names: Sequence[str],
  by_name: Sequence[Sequence[tuple[PairedDifference, float]]],
) -> Table:
  """A column of differences and one of p-values per name."""
  changes = (Column(title=name) for name in names)
  p_values = (Column(title="p (Holm)", is_detail=True) for _ in names)
  return Table(
    title=title,
    columns=(
      _SETTING,
      *itertools.chain(*zip(changes, p_values, strict=True)),
    ),
    rows=tuple(
      (
        row_title(row),
        *itertools.chain(*(_difference_cells(*column[i]) for column in by_name)),
      )
      for i, row in enumerate(arms.rows)
    ),
  )


def _difference_cells(change: PairedDifference, corrected: float) -> tuple[str, str]:
  return (
    show_change(change.difference, change.low, change.high),
    show_p_value(corrected),
  )


def _each_seed(arms: Comparison) -> Table:
  seeds = ", ".join(map(str, arms.seeds))
  name = "seeds" if len(arms.seeds) > 1 else "seed"
  return Table(
    title=f"Difference from before, in points, {name} {seeds}",
    columns=(_SETTING, *(Column(title=name) for name in arms.arms)),
    rows=tuple(
      (
        row_title(row),
        *(
          ", ".join(show_percent(seed[i], "+") for seed in by_seed)
          for by_seed in arms.by_seed
        ),
      )
      for i, row in enumerate(arms.rows)
    ),
  )
