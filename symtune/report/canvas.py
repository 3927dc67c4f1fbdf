"""A PNG of a matplotlib figure: no date in it, and nothing of a user's own style."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_png(
  draw: Callable[[Figure], None],
  *,
  size: tuple[float, float],
  dpi: int,
  style: Mapping[str, Any] | None = None,
) -> bytes:
  """Makes an empty figure, has it drawn on, and returns it as a PNG.

  The same drawing gives the same bytes, whatever matplotlibrc the user has, and the
  settings of matplotlib are afterwards what they were.

  Args:
    draw: puts everything into the figure.
    size: width and height in inches.
    dpi: pixels per inch.
    style: settings of matplotlib that differ from its defaults.
  """
  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(style or {})
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
  return buffer.getvalue()
