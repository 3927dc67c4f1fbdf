"""A PNG, SVG or PDF of a matplotlib figure, without a date and the user's own style."""

import enum
import io
from collections.abc import Callable

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Form(enum.StrEnum):
  """The kind of a figure's file, and the ending of its name."""

  PNG = "png"
  SVG = "svg"
  PDF = "pdf"


# What is left out of a file: who made it, and when.
FORMS = {
  Form.PNG: {"Software": None},
  Form.SVG: {"Creator": None, "Date": None, "Format": None, "Type": None},
  Form.PDF: {"Creator": None, "Producer": None, "CreationDate": None},
}


def draw_png(
  draw: Callable[[Figure], None],
  *,
  size: tuple[float, float],
  dpi: int,
  font_size: float = 10,
  title_size: float | str = "large",
) -> bytes:
  """A figure as a PNG; see `draw_figure`."""
  return draw_figure(
    draw, size=size, dpi=dpi, font_size=font_size, title_size=title_size, form="png"
  )


def draw_figure(
  draw: Callable[[Figure], None],
  *,
  size: tuple[float, float],
  dpi: int,
  font_size: float = 10,
  title_size: float | str = "large",
  form: str,
) -> bytes:
  """Makes an empty figure, lets `draw` fill it, and returns it as a file.

  The same drawing gives the same bytes, whatever the user's matplotlibrc, and
  matplotlib's settings are restored afterwards. An SVG keeps its text as text.

  Args:
    draw: draws everything into the figure.
    size: width and height in inches.
    dpi: pixels per inch of a PNG.
    font_size: size of all text without its own size.
    title_size: size of panel titles: a number, or relative as in matplotlib.
    form: one of `FORMS`.
  """
  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(
      {
        "font.size": font_size,
        "axes.titlesize": title_size,
        "svg.fonttype": "none",
        "svg.hashsalt": "symtune",
      }
    )
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    buffer = io.BytesIO()
    figure.savefig(
      buffer, format=form, metadata=FORMS[Form(form)], transparent=form == "svg"
    )
  return buffer.getvalue()
