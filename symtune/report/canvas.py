"""A PNG of a matplotlib figure, without a date and without the user's own style."""

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
  """Makes an empty figure, lets `draw` fill it, and returns it as a PNG.

  The same drawing gives the same bytes, whatever the user's matplotlibrc, and
  matplotlib's settings are restored afterwards.

  Args:
    draw: draws everything into the figure.
    size: width and height in inches.
    dpi: pixels per inch.
    font_size: size of all text without its own size.
    title_size: size of panel titles: a number, or relative as in matplotlib.
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
