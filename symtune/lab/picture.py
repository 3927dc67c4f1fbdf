"""A figure that shows itself in notebooks and can be saved."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from symtune.errors import SymtuneError
from symtune.files import write_whole
from symtune.report.canvas import FORMS, draw_figure

_COLOURS = ("#0072b2", "#b5bcc4", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


class Picture:
  """A drawing, as SVG in notebooks and as SVG, PNG or PDF in files."""

  def __init__(
    self, draw: Callable[[Figure], None], size: tuple[float, float] = (6.0, 3.6)
  ):
    """Keeps what draws the figure.

    Args:
      draw: draws everything into an empty figure.
      size: width and height in inches.
    """
    self._draw = draw
    self._size = size

  def save(self, path: str | pathlib.Path) -> pathlib.Path:
    """Writes the figure; the ending of the name, .svg, .png or .pdf, says as what.

    Raises:
      SymtuneError: another ending, or the disk is full.
    """
    path = pathlib.Path(path)
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMS:
      raise SymtuneError(f"{path}: expected a name that ends in .{', .'.join(FORMS)}.")
    write_whole(path, self._bytes(form))
    return path

  def _bytes(self, form: str) -> bytes:
    return draw_figure(self._draw, size=self._size, dpi=150, form=form)

  def _repr_svg_(self) -> str:
    return self._bytes("svg").decode("utf-8")


def draw_bars(
  groups: Sequence[str],
  labels: Sequence[str],
  shares: Float[np.ndarray, "groups labels"],
) -> Picture:
  """One group of bars per row: the share of each label, in per cent.

  Args:
    groups: title of each group.
    labels: title of each bar of a group.
    shares: heights, 0 to 1.
  """

  def draw(figure: Figure) -> None:
    axes = figure.subplots()
    width = 0.8 / len(labels)
    places = np.arange(len(groups), dtype=np.float64)
    for i, label in enumerate(labels):
      centres = places + (i - (len(labels) - 1) / 2) * width
      colour = _COLOURS[i % len(_COLOURS)]
      axes.bar(centres, 100 * shares[:, i], width * 0.92, color=colour, label=label)
    axes.set_xticks(places, list(groups))
    axes.set_ylim(0, 100)
    axes.set_ylabel("share among the labels, in %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=min(6, len(labels)), frameon=False)

  width = max(4.0, 1.5 + len(groups) * (0.5 + 0.35 * len(labels)))
  return Picture(draw, (min(width, 14.0), 3.6))
