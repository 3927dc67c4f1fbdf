"""Stages -> a figure: first words, lengths, and novelty of the instructions."""

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from symtune.instruct.generate.statistics import Stages, first_words
from symtune.report.canvas import draw_figure

_COLOUR = "#0072b2"  # Okabe and Ito's blue (2008)
_BARS = 15


def draw_data(
  stages: Stages, new: Float64[np.ndarray, " instructions"], form: str
) -> bytes:
  """Three panels about the instructions of data.jsonl.

  Args:
    stages: the rows of all stages; some instruction has an instance.
    new: the novelty of each of them.
    form: of the file, one of `canvas.FORMS`.
  """
  texts = [row.instruction for row in stages.data]
  words = first_words(texts)[:_BARS][::-1]

  def draw(figure: Figure) -> None:
    verbs, lengths, news = figure.subplots(1, 3)
    verbs.barh([word for word, _ in words], [n for _, n in words], color=_COLOUR)
    verbs.set_title("first word")
    lengths.hist([len(text.split()) for text in texts], bins=20, color=_COLOUR)
    lengths.set_title("words of an instruction")
    news.hist(new, bins=np.linspace(0, 1, 21), color=_COLOUR)
    news.set_title("novelty: 1 - ROUGE-L to the nearest seed")
    for axis in (lengths, news):
      axis.set_ylabel("instructions")
    verbs.set_xlabel("instructions")

  return draw_figure(draw, size=(13.0, 4.0), dpi=120, title_size=11, form=form)
