"""Stage 11: curves -> figures of errors and distances, by number of exemplars.

Every figure is a file of the wanted form, one of `canvas.FORMS`.
"""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from symtune.regression.evaluate import MODEL
from symtune.regression.metrics import Curve, Number
from symtune.report.canvas import draw_figure

# Okabe and Ito's colours (2008), which colour-blind people can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a929a")
_STYLES = ("-", "--", ":")
_MODEL_COLOUR = "#000000"
_LEAST = 1e-5  # where the logarithmic axis of a distance ends


def draw_curves(
  panels: Mapping[str, Mapping[str, Curve]], dim: int, form: str
) -> bytes:
  """A panel of curves for each measure, with their intervals.

  Args:
    panels: curves by predictor, by title of the panel.
    dim: coordinates of x; a line marks as many exemplars.
    form: of the file.
  """
  names = list(dict.fromkeys(name for curves in panels.values() for name in curves))

  def draw(figure: Figure) -> None:
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
      for name, curve in curves.items():
        _draw_curve(axis, names, name, curve)
      axis.axvline(dim, color="#cccccc", linewidth=1.0, zorder=0)
      _finish(axis, title, "exemplars")
    _legend(figure, axes)

  return _draw(draw, len(panels), 5.0, form)


def draw_grid(
  axis_name: str,
  values: Sequence[float],
  panels: Mapping[str, Mapping[str, Sequence[Number]]],
  form: str,
) -> bytes:
  """The distance of every predictor to the model, along a grid.

  Args:
    axis_name: what differs between the grid's members.
    values: the members' places.
    panels: by title of the panel and by predictor, one number per member.
    form: of the file.
  """
  names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
  is_wide = min(values) > 0 and max(values) / min(values) > 8

  def draw(figure: Figure) -> None:
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
      for name, numbers in lines.items():
        place = names.index(name)
        means = [number.value for number in numbers]
        ends = [
          [n.value - n.low for n in numbers],
          [n.high - n.value for n in numbers],
        ]
        colour, style = _look(names, place)
        axis.errorbar(
          values, means, ends, color=colour, linestyle=style, label=name, capsize=3
        )
      if is_wide:
        axis.set_xscale("log", base=2)
      _finish(axis, title, axis_name)
    _legend(figure, axes)

  return _draw(draw, len(panels), 5.0, form)


def draw_probes(
  axis_name: str, panels: Mapping[str, Mapping[str, Curve]], form: str
) -> bytes:
  """The errors of probes by layer, a panel for each target."""
  names = list(dict.fromkeys(name for curves in panels.values() for name in curves))

  def draw(figure: Figure) -> None:
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
      for name, curve in curves.items():
        _draw_curve(axis, names, name, curve)
      _finish(axis, title, axis_name)
      axis.set_yscale("linear")
      axis.set_ylim(0.0, 1.3)  # 1 is guessing the mean
      axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes)

  return _draw(draw, len(panels), 4.5, form)


def _draw(
  draw: Callable[[Figure], None], panels: int, height: float, form: str
) -> bytes:
  size = (1.0 + 4.2 * panels, height)
  return draw_figure(draw, size=size, dpi=150, title_size=11, form=form)


def _draw_curve(axis: Axes, names: Sequence[str], name: str, curve: Curve) -> None:
  colour, style = _look(names, names.index(name))
  places = range(len(curve.mean))
  axis.fill_between(
    places, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0
  )
  axis.plot(
    places,
    curve.mean,
    color=colour,
    linestyle=style,
    linewidth=2.4 if name == MODEL else 1.4,
    label=name,
  )


def _look(names: Sequence[str], place: int) -> tuple[str, str]:
  """The colour and the line style of a predictor; the model is black."""
  if names[place] == MODEL:
    return _MODEL_COLOUR, "-"
  return (
    _COLOURS[place % len(_COLOURS)],
    _STYLES[place // len(_COLOURS) % len(_STYLES)],
  )


def _finish(axis: Axes, title: str, axis_name: str) -> None:
  axis.set_title(title)
  axis.set_xlabel(axis_name)
  axis.set_yscale("log")
  low, _ = axis.get_ylim()
  axis.set_ylim(bottom=max(low, _LEAST))
  axis.grid(axis="y", color="#e4e4e4", linewidth=0.8)
  axis.set_axisbelow(True)
  axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
  shown = {}
  for axis in axes:
    handles, labels = axis.get_legend_handles_labels()
    shown.update(dict(zip(labels, handles, strict=True)))
  figure.legend(
    list(shown.values()),
    list(shown),
    loc="outside lower center",
    ncols=4,
    frameon=False,
    fontsize=9,
  )
