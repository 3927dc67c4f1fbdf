"""Stage 11: Comparison -> a figure of accuracy after tuning, one panel per row."""

import itertools
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symtune.report.arms.compare import Comparison
from symtune.report.arms.tables import row_title
from symtune.report.canvas import draw_png

# Okabe and Ito's colours (2008), which colour-blind people can tell apart; each has a
# marker of its own as well.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_BEFORE = "#8a929a"
_COLUMNS = 5
_TITLE_WIDTH = 24  # letters


def draw_arms(arms: Comparison) -> bytes:
  """A PNG: each arm's accuracy with its interval, that before tuning, and chance."""
  lines = _lay_out(arms)
  columns = max(map(len, lines))

  def draw(figure: Figure) -> None:
    axes = figure.subplots(len(lines), columns, sharex=True, sharey=True, squeeze=False)
    for line, panels in zip(lines, axes, strict=True):
      for row, panel in itertools.zip_longest(line, panels):
        if row is None:
          panel.set_visible(False)
        else:
          _draw_panel(panel, arms, row)
    figure.supylabel("accuracy in %, mean over tasks")
    shown = axes.flat[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper center", ncols=5, frameon=False)

  width = 0.8 + max(1.9, 0.7 + 0.4 * len(arms.arms)) * columns
  return draw_png(
    draw, size=(max(5.0, width), 1.2 + 2.4 * len(lines)), dpi=150, title_size=10
  )


def _lay_out(arms: Comparison) -> list[list[int]]:
  """The rows whose panels stand side by side: the groups of a setting, if there are."""
  settings = [(row.probe, row.setting) for row in arms.rows]
  if len(set(settings)) < len(settings):
    by_setting: dict[tuple[str, str], list[int]] = {}
    for row, setting in enumerate(settings):
      by_setting.setdefault(setting, []).append(row)
    return list(by_setting.values())
  return [
    list(range(start, min(start + _COLUMNS, len(settings))))
    for start in range(0, len(settings), _COLUMNS)
  ]


def _draw_panel(axes: Axes, arms: Comparison, row: int) -> None:
  for place, (name, summaries) in enumerate(zip(arms.arms, arms.by_arm, strict=True)):
    before, after = summaries[row].accuracy
    axes.hlines(
      100 * before.mean,
      place - 0.5,
      place + 0.5,
      colors=_BEFORE,
      linewidth=2.0,
      label="before" if place == 0 else "",
    )
    axes.errorbar(
      [place],
      [100 * after.mean],
      [[100 * (after.mean - after.low)], [100 * (after.high - after.mean)]],
      fmt=_MARKERS[place % len(_MARKERS)],
      color=_COLOURS[place % len(_COLOURS)],
      capsize=4,
      label=name,
    )
  summary = arms.rows[row]
  axes.axhline(100 * summary.chance, color="#222222", linestyle=":", label="chance")
  title = row_title(summary).replace(" (", "\n(").split("\n")
  axes.set_title("\n".join(textwrap.fill(part, _TITLE_WIDTH) for part in title))
  axes.set_xticks([])
  axes.set_xlim(-0.7, len(arms.arms) - 0.3)
  axes.set_ylim(-3, 103)
  axes.set_yticks(range(0, 101, 20))
  axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
  axes.set_axisbelow(True)
  axes.spines[["top", "right"]].set_visible(False)
