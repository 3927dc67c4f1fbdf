"""Stage 11: Measured -> a figure of perplexity by stride, one line per way."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from symtune.ralm.settings import Rerank
from symtune.ralm.summary import Measured
from symtune.report.canvas import draw_figure

# Okabe and Ito's colours (2008), which colour-blind people can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a929a")


def draw_grid(measured: Sequence[Measured], form: str) -> bytes:
  """A panel for each model: nats per token by stride, with intervals.

  Args:
    measured: the cells of one model or several; at least one.
    form: of the file, one of `canvas.FORMS`.
  """
  models = list(dict.fromkeys(one.model for one in measured))

  def draw(figure: Figure) -> None:
    axes = figure.subplots(1, len(models), squeeze=False)[0]
    for axis, model in zip(axes, models, strict=True):
      mine = [one for one in measured if one.model == model]
      ways = list(dict.fromkeys(_way(one) for one in mine))
      for number, way in enumerate(ways):
        line = sorted(
          (one for one in mine if _way(one) == way), key=lambda one: one.cell.stride
        )
        is_base = way == Rerank.NONE.value
        found = [one.per(one.tokens) for one in line]
        ends = [[n.value - n.low for n in found], [n.high - n.value for n in found]]
        axis.errorbar(
          [one.cell.stride for one in line],
          [number.value for number in found],
          ends,
          color="#000000" if is_base else _COLOURS[(number - 1) % len(_COLOURS)],
          linestyle="--" if is_base else "-",
          marker="o",
          capsize=3,
          label="no passage" if is_base else way,
        )
      axis.set_xscale("log", base=2)
      axis.set_title(model)
      axis.set_xlabel("stride, tokens")
      axis.set_ylabel("nats per token")
      axis.legend()

  size = (1.0 + 5.0 * len(models), 4.5)
  return draw_figure(draw, size=size, dpi=150, title_size=11, form=form)


def _way(one: Measured) -> str:
  cell = one.cell
  if cell.rerank is Rerank.NONE:
    return Rerank.NONE.value
  return f"l={cell.query_length}, {cell.passages} x {cell.rerank.value}"
