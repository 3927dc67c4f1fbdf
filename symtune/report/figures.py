"""Stage 11: Summaries -> figures. Accuracy by setting, one bar per checkpoint.

Bars are in the order of Table 1 of Wei et al. 2023; flipped labels have their own
panel. The same summaries give the same bytes: no date and no user style.
"""

import textwrap
from collections.abc import Callable, Sequence

import matplotlib
import matplotlib.patheffects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symtune.probe.run import CheckpointLabel
from symtune.report.canvas import draw_figure
from symtune.report.results import checkpoint_title, setting_title
from symtune.report.summary import Summary

_PANEL_TITLES = {"settings": "In-context learning", "flipped_labels": "Flipped labels"}
_TWO_COLOURS = ("#b5bcc4", "#0072b2")  # grey and blue, also distinct in print
_GROUP_WIDTH = 0.76  # share of the distance between two settings
_SETTINGS_PER_ROW = 12
_TICK_WIDTH = 18  # letters
_MAX_NUMBERED = 3  # more bars in a group leave no room for their numbers


def draw_accuracy(
  summaries: Sequence[Summary],
  checkpoints: Sequence[CheckpointLabel],
  form: str = "png",
) -> bytes:
  """A figure of every probe's accuracies with 95% intervals and chance levels.

  Args:
    summaries: one per setting (`summary.summarize_settings`), at least one.
    checkpoints: in the order of the summaries' estimates.
    form: one of `canvas.FORMS`.
  """
  draw, size = accuracy_figure(summaries, checkpoints)
  return draw_figure(draw, size=size, dpi=150, font_size=11, title_size=12, form=form)


def accuracy_figure(
  summaries: Sequence[Summary], checkpoints: Sequence[CheckpointLabel]
) -> tuple[Callable[[Figure], None], tuple[float, float]]:
  """What draws that figure, and its width and height in inches."""
  panels: dict[str, list[Summary]] = {}
  for summary in summaries:
    panels.setdefault(summary.probe, []).append(summary)
  rows = _wrap(list(panels.items()))
  widest = max(sum(len(panel) for _, panel in row) for row in rows)

  def draw(figure: Figure) -> None:
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
      axes = part.subplots(
        1,
        len(row),
        sharey=True,
        squeeze=False,
        width_ratios=[len(panel) + 0.2 for _, panel in row],
      )[0]
      for panel_axes, (probe, panel) in zip(axes, row, strict=True):
        _draw_panel(panel_axes, panel, checkpoints)
        panel_axes.set_title(_PANEL_TITLES.get(probe, probe.replace("_", " ")))
      axes[0].set_ylabel("accuracy in %, mean over tasks")
    chance, *bars = axes[0].get_legend_handles_labels()[0]
    figure.legend(
      handles=[*bars, chance],
      loc="outside lower center",
      ncols=min(5, len(bars) + 1),
      frameon=False,
    )

  width = max(5.0, 1.2 + 0.6 * max(map(len, rows)) + 1.55 * widest)
  return draw, (width, 4.6 * len(rows))


def _wrap(panels: list[tuple[str, list[Summary]]]) -> list[list[tuple]]:
  """Rows of panels, with at most twelve settings unless one panel has more."""
  rows: list[list[tuple]] = [[]]
  for panel in panels:
    taken = sum(len(settings) for _, settings in rows[-1])
    if rows[-1] and taken + len(panel[1]) > _SETTINGS_PER_ROW:
      rows.append([])
    rows[-1].append(panel)
  return rows


def _draw_panel(
  axes: Axes, panel: Sequence[Summary], checkpoints: Sequence[CheckpointLabel]
) -> None:
  places = np.arange(len(panel), dtype=np.float64)
  width = _GROUP_WIDTH / len(checkpoints)
  colours = _colours(len(checkpoints))
  for i, label in enumerate(checkpoints):
    means, lows, highs = (
      100 * np.array([getattr(s.accuracy[i], end) for s in panel])
      for end in ("mean", "low", "high")
    )
    centres = places + (i - (len(checkpoints) - 1) / 2) * width
    axes.bar(
      centres, means, width * 0.94, color=colours[i], label=checkpoint_title(label)
    )
    errors = np.clip([means - lows, highs - means], 0, None)
    axes.errorbar(
      centres, means, errors, fmt="none", ecolor="#222222", elinewidth=1.2, capsize=3
    )
    if len(checkpoints) <= _MAX_NUMBERED:
      for x, mean, high in zip(centres, means, highs, strict=True):
        _write_number(axes, x, high + 1.5, mean)
  half = _GROUP_WIDTH / 2 + 0.05
  axes.hlines(
    [100 * s.chance for s in panel],
    places - half,
    places + half,
    colors="#d55e00",
    linestyles="--",
    linewidth=1.6,
    label="chance",
    zorder=3,
  )
  axes.set_xticks(places, [_tick(s) for s in panel])
  axes.set_xlim(-0.6, len(panel) - 0.4)
  axes.set_ylim(0, 109)
  axes.set_yticks(range(0, 101, 20))
  axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
  axes.set_axisbelow(True)
  axes.tick_params(length=0)
  axes.spines[["top", "right", "left"]].set_visible(False)


def _write_number(axes: Axes, x: float, y: float, percent: float) -> None:
  text = axes.text(x, y, f"{percent:.0f}", ha="center", va="bottom", fontsize=10)
  halo = matplotlib.patheffects.withStroke(linewidth=3, foreground="white")
  text.set_path_effects([halo])
  text.set_zorder(4)  # above the chance line


def _tick(summary: Summary) -> str:
  title = setting_title(summary.probe, summary.setting)
  if summary.probe not in _PANEL_TITLES:
    title = textwrap.fill(summary.setting, _TICK_WIDTH)  # the panel names the probe
  title = title.replace(" + ", "\n+ ").replace(", ", ",\n")
  tasks = f"{len(summary.tasks)} task{'s' if len(summary.tasks) > 1 else ''}"
  return f"{title}\n({tasks})"


def _colours(count: int) -> Sequence[str | tuple[float, ...]]:
  if count <= len(_TWO_COLOURS):
    return _TWO_COLOURS[-count:]
  colours = matplotlib.colormaps["Blues"](np.linspace(0.25, 0.8, count))
  return [tuple(colour) for colour in colours.tolist()]
