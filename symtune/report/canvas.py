"""A PNG of a matplotlib figure: no date in it, and nothing of a user's own style."""

import io
from collections.abc import Callable

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_png(
  draw: Callable[[Figure], None],
  *,
  size: tuple[float, float],
  dpi: int,
  font_size: float = 10,
  title_size: float | str = "large",
) -> bytes:
  """Makes an empty figure, has it drawn on, and returns it as a PNG.

  The same drawing gives the same bytes, whatever matplotlibrc the user has, and the
  settings of matplotlib are afterwards what they were.

  Args:
    draw: puts everything into the figure.
    size: width and height in inches.
    dpi: pixels per inch.
    font_size: of all text that has no size of its own.
    title_size: of the titles of panels; a number, or relative as in matplotlib.
  """
  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({"font.size": font_size, "axes.titlesize": title_size})
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
  return buffer.getvalue()
