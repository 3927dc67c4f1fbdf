"""Stage 11: curves -> figures of gold and proxy reward against the square root of KL.

Every figure is a file of the wanted form, one of `canvas.FORMS`.
"""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symtune.align.curves import Curve, common_points, over_seeds
from symtune.report.canvas import draw_figure

# Okabe and Ito's colours (2008), which colour-blind people can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a929a")
_LINES = {"gold": "-", "proxy": "--"}


def draw_curves(
  panels: Mapping[str, Mapping[str, Sequence[Curve]]], form: str
) -> bytes:
  """Gold reward on the left axis, proxy on the right, against sqrt(KL).

  Args:
    panels: by title and by name of a line, one curve per seed. A line is the mean over
      seeds at equal places, with Student's 95% interval of the gold reward.
    form: of the file.
  """
  names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
  columns = min(3, len(panels))
  rows = -(-len(panels) // columns)

  def draw(figure: Figure) -> None:
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
      axis.remove()
    for axis, (title, lines) in zip(axes, panels.items(), strict=False):
      right = axis.twinx() if _has_proxy(lines) else None
      for name, curves in lines.items():
        _draw_line(axis, right, name, curves, _COLOURS[names.index(name) % 7])
      axis.set_title(title)
      axis.set_xlabel("square root of KL (nats)")
      axis.set_ylabel("gold reward (solid)")
      if right is not None:
        right.set_ylabel("proxy reward (dashed)")
      axis.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    handles, labels = [], []
    for axis in axes[: len(panels)]:
      for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
        if label not in labels:
          handles, labels = [*handles, handle], [*labels, label]
    figure.legend(
      handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )

  size = (1.0 + 4.4 * columns, 0.6 + 3.6 * rows)
  return draw_figure(draw, size=size, dpi=120, title_size=11, form=form)


def _has_proxy(lines: Mapping[str, Sequence[Curve]]) -> bool:
  """Whether any curve was measured by reward models."""
  points = (p for curves in lines.values() for curve in curves for p in curve)
  return any(point.values["proxy"].any() for point in points)


def _draw_line(
  axis: Axes, right: Axes | None, name: str, curves: Sequence[Curve], colour: str
) -> None:
  points = common_points(curves)
  roots = [
    over_seeds([math.sqrt(max(p.mean("kl"), 0.0)) for p in seeds]).value
    for seeds in points
  ]
  for measure, target in (("gold", axis), ("proxy", right)):
    if target is None:
      continue
    found = [over_seeds([p.mean(measure) for p in seeds]) for seeds in points]
    means = [number.value for number in found]
    target.plot(
      roots,
      means,
      _LINES[measure],
      color=colour,
      label=name if measure == "gold" else None,
      marker="." if measure == "gold" else None,
    )
    if measure == "gold" and len(curves) > 1:
      lows, highs = [n.low for n in found], [n.high for n in found]
      target.fill_between(roots, lows, highs, color=colour, alpha=0.12, linewidth=0)


def draw_calibration(bins: Sequence[tuple[float, float, int]], form: str) -> bytes:
  """How often a reward model is right, by how sure it is.

  Args:
    bins: mean predicted probability, share that was right, and number of pairs.
    form: of the file.
  """

  def draw(figure: Figure) -> None:
    axis = figure.subplots()
    axis.plot([0.5, 1.0], [0.5, 1.0], color="#cccccc", linewidth=1.0)
    axis.plot([b[0] for b in bins], [b[1] for b in bins], "o-", color=_COLOURS[0])
    axis.set_xlabel("predicted probability of the preferred answer")
    axis.set_ylabel("share that is right")
    axis.set_title("calibration on test pairs")
    axis.grid(axis="y", color="#e4e4e4", linewidth=0.8)

  return draw_figure(draw, size=(5.0, 3.8), dpi=120, title_size=11, form=form)
