"""Stage 11: PairedResults -> a figure of accuracy against model size, with slopes.

The slope is that of a least-squares line of accuracy over log10(parameters): points per
tenfold size. It is a weighted sum of the accuracies of models that answered the same
questions, and has the interval of such a sum (`stats.weighted_interval`). The interval
does not cover the choice of sizes or of one model per size; "new tasks" is the one for
other tasks of this kind. There is no slope over sizes that differ by less than a factor
of two, as it would be a small difference times a large number, nor over models of
different families, which differ in more than their size. Models before and after
tuning are separate lines; a baseline has no size and is drawn as a horizontal line.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symtune.probe.run import CheckpointLabel
from symtune.report.canvas import draw_figure
from symtune.report.results import (
  PairedResults,
  SettingRows,
  checkpoint_title,
  setting_title,
)
from symtune.report.summary import mean_chance, right_answers
from symtune.report.tables import Column, Table, show_change, show_interval
from symtune.stats.means import (
  Estimate,
  interval_over_tasks,
  macro_mean,
  weighted_interval,
)

_LEAST_RATIO = 2
_COLUMNS = 4
_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9")
_DASHES = (":", "-.", (0, (5, 1)), (0, (1, 3)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slope:
  """The change of accuracy per tenfold size.

  Attributes:
    probe: name of the probe.
    setting: name of the setting.
    line: indices of the checkpoints that the slope is fitted to.
    per_decade: change of accuracy per tenfold number of parameters.
    low: lower end of its 95% interval.
    high: upper end of its 95% interval.
    new_tasks: its interval for other tasks of this kind; None for a single task.
    accuracy: one estimate per checkpoint of the results.
    chance: accuracy of a uniform guesser, 0 to 1.
  """

  probe: str
  setting: str
  line: tuple[int, ...]
  per_decade: float
  low: float
  high: float
  new_tasks: tuple[float, float] | None
  accuracy: tuple[Estimate, ...]
  chance: float


def has_sizes(results: PairedResults) -> bool:
  """Whether there are models of one family in sizes far enough apart for a slope."""
  return bool(size_lines(results.checkpoints))


def size_lines(checkpoints: Sequence[CheckpointLabel]) -> tuple[tuple[int, ...], ...]:
  """Groups checkpoints into lines: the first of every size, the second, and so on.

  Models before and after tuning, given in the same order for each size, are two lines.

  Args:
    checkpoints: in any order of sizes.

  Returns:
    Indices of the checkpoints of each line, small to large: of one family, and of sizes
    of which the largest is at least twice the smallest.
  """
  found = []
  for by_size in _families(checkpoints).values():
    longest = max(map(len, by_size.values()))
    for k in range(longest):
      sizes = [size for size in sorted(by_size) if k < len(by_size[size])]
      if sizes[-1] >= _LEAST_RATIO * sizes[0]:
        found.append(tuple(by_size[size][k] for size in sizes))
  return tuple(found)


def why_no_slope(checkpoints: Sequence[CheckpointLabel]) -> tuple[str, ...]:
  """Sentences that say which models of several sizes have no slope, and why."""
  families = _families(checkpoints)
  reasons = []
  for family, by_size in families.items():
    sizes = sorted(by_size)
    if len(sizes) > 1 and sizes[-1] < _LEAST_RATIO * sizes[0]:
      reasons.append(
        f"No slope for {family or 'these models'}: {sizes[0]:,} and {sizes[-1]:,} "
        f"parameters differ by less than a factor of {_LEAST_RATIO}."
      )
  all_sizes = {size for by_size in families.values() for size in by_size}
  if len(families) > 1 and len(all_sizes) > 1:
    names = "; ".join(family or "unknown" for family in families)
    reasons.append(
      f"No slope across families, whose models differ in more than size: {names}."
    )
  return tuple(reasons)


def _families(
  checkpoints: Sequence[CheckpointLabel],
) -> dict[str | None, dict[int, list[int]]]:
  """The places of each family's checkpoints by size; baselines have no size."""
  found: dict[str | None, dict[int, list[int]]] = {}
  for place, label in enumerate(checkpoints):
    if label.parameters is not None:
      of_size = found.setdefault(label.family, {})
      of_size.setdefault(label.parameters, []).append(place)
  return found


def fit_slopes(results: PairedResults) -> tuple[Slope, ...]:
  """One slope per setting and line.

  Args:
    results: results of models of at least two sizes (`has_sizes`).
  """
  lines = size_lines(results.checkpoints)
  assert lines, "no sizes to compare"
  return tuple(
    _fit(setting, line, results.checkpoints)
    for setting in results.settings
    for line in lines
  )


def slope_table(
  slopes: Sequence[Slope], checkpoints: Sequence[CheckpointLabel]
) -> Table:
  """One row per setting and line."""
  return Table(
    title="Change of accuracy per tenfold model size, in points [95% interval]",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="checkpoints", is_number=False),
      Column(title="slope"),
      Column(title="new tasks", is_detail=True),
    ),
    rows=tuple(
      (
        setting_title(s.probe, s.setting),
        ", ".join(checkpoint_title(checkpoints[i]) for i in s.line),
        _show(s),
        show_interval(s.new_tasks),
      )
      for s in slopes
    ),
  )


def draw_scaling(
  slopes: Sequence[Slope], checkpoints: Sequence[CheckpointLabel], form: str = "png"
) -> bytes:
  """A figure: one panel per setting, accuracies with intervals, lines and slopes.

  Args:
    slopes: from `fit_slopes`, at least one.
    checkpoints: in the order of their estimates; those without a size are drawn as
      horizontal lines.
    form: one of `canvas.FORMS`.
  """
  panels: dict[tuple[str, str], list[Slope]] = {}
  for slope in slopes:
    panels.setdefault((slope.probe, slope.setting), []).append(slope)
  columns = min(_COLUMNS, len(panels))
  rows = -(-len(panels) // columns)

  def draw(figure: Figure) -> None:
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, found in zip(axes.flat, panels.values(), strict=False):
      _draw_panel(panel, found, checkpoints)
    for panel in axes.flat[len(panels) :]:
      panel.set_visible(False)
    figure.supxlabel("parameters")
    figure.supylabel("accuracy in %, mean over tasks")
    shown = axes.flat[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper center", ncols=3, fontsize=8)

  return draw_figure(
    draw,
    size=(1.0 + 3.1 * columns, 1.0 + 2.7 * rows),
    dpi=130,
    font_size=10,
    title_size=10,
    form=form,
  )


def _fit(
  setting: SettingRows, line: tuple[int, ...], checkpoints: Sequence[CheckpointLabel]
) -> Slope:
  sizes = np.log10([float(checkpoints[i].parameters or 0) for i in line])
  centred = sizes - sizes.mean()
  weights = centred / (centred @ centred)
  answers = [
    [right_answers(task.by_checkpoint[i]) for task in setting.tasks]
    for i in range(len(checkpoints))
  ]
  accuracy = tuple(macro_mean(tasks) for tasks in answers)
  low, high = weighted_interval([answers[i] for i in line], weights.tolist())
  by_task = weights @ [[task.mean for task in answers[i]] for i in line]
  shares = [task.shares for task in answers[line[0]]]
  return Slope(
    probe=setting.probe,
    setting=setting.setting,
    line=line,
    per_decade=float(weights @ [accuracy[i].mean for i in line]),
    low=low,
    high=high,
    new_tasks=interval_over_tasks(by_task, shares, low, high),
    accuracy=accuracy,
    chance=mean_chance(setting.tasks),
  )


def _draw_panel(
  axes: Axes, slopes: Sequence[Slope], checkpoints: Sequence[CheckpointLabel]
) -> None:
  for number, slope in enumerate(slopes):
    _draw_line(axes, slope, checkpoints, number)
  slope = slopes[0]
  bare = [i for i, label in enumerate(checkpoints) if label.parameters is None]
  for number, i in enumerate(bare):
    axes.axhline(
      100 * slope.accuracy[i].mean,
      color="#777777",
      linestyle=_DASHES[number % len(_DASHES)],
      linewidth=1.2,
      label=checkpoint_title(checkpoints[i]),
    )
  axes.axhline(
    100 * slope.chance, color="#d55e00", linestyle="--", linewidth=1.2, label="chance"
  )
  shown = "\n".join(f"{_show(s)} per 10x" for s in slopes)
  axes.set_xscale("log")
  axes.margins(x=0.25)
  axes.set_ylim(0, 105)
  axes.set_title(f"{setting_title(slope.probe, slope.setting)}\n{shown}")
  axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
  axes.spines[["top", "right"]].set_visible(False)


def _draw_line(
  axes: Axes, slope: Slope, checkpoints: Sequence[CheckpointLabel], number: int
) -> None:
  colour = _COLOURS[number % len(_COLOURS)]
  labels = [checkpoints[i] for i in slope.line]
  sizes = np.array([float(label.parameters or 0) for label in labels])
  means, lows, highs = (
    100 * np.array([getattr(slope.accuracy[i], end) for i in slope.line])
    for end in ("mean", "low", "high")
  )
  errors = np.clip([means - lows, highs - means], 0, None)
  axes.errorbar(
    sizes, means, errors, fmt="o", color=colour, ecolor="#222222", capsize=3
  )
  ends = np.array([sizes.min(), sizes.max()])
  centre = np.log10(sizes).mean()
  line = means.mean() + 100 * slope.per_decade * (np.log10(ends) - centre)
  name = ", ".join(map(checkpoint_title, labels))
  axes.plot(ends, line, color=colour, linewidth=1.2, label=name)
  for label, size, low in zip(labels, sizes, lows, strict=True):
    axes.annotate(
      checkpoint_title(label), (size, low), (0, -4), textcoords="offset points",
      ha="center", va="top", fontsize=7, color="#555555",
    )  # fmt: skip


def _show(slope: Slope) -> str:
  return show_change(slope.per_decade, slope.low, slope.high)
