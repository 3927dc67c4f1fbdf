"""Scores: how likely a model finds each label after a prompt, in nats."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import rich.console
import rich.table
import rich.text
from jaxtyping import Float, Int

from symtune.errors import SymtuneError
from symtune.lab.picture import Picture, draw_bars
from symtune.report.lab.show import table_to_html
from symtune.report.outcomes import Outcome

if TYPE_CHECKING:
  import pandas

_PROMPT_SHOWN = 60  # last characters of a prompt in a table


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreRow:
  """One prompt, scored by one model.

  Attributes:
    model: name of the model.
    prompt: the prompt as text.
    log_likelihoods: log p(label and its end | prompt) in nats, one per label.
    tokens: number of tokens of each label, with its end; 0 if a baseline answered.
    unknown: words with pieces that the model's vocabulary does not have; the model
      cannot tell them apart.
    outcome: which hypothesis the likeliest label follows; None where that is not known.
  """

  model: str
  prompt: str
  log_likelihoods: tuple[float, ...]
  tokens: tuple[int, ...]
  unknown: tuple[str, ...] = ()
  outcome: Outcome | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
  """The scores of some labels, one row per prompt and model; shows itself in notebooks.

  Two of them with the same labels can be added: `before + after`.

  Attributes:
    labels: the labels.
    rows: one per prompt and model.
  """

  labels: tuple[str, ...]
  rows: tuple[ScoreRow, ...]

  @property
  def log_likelihoods(self) -> Float[np.ndarray, "rows labels"]:
    """In nats."""
    return np.asarray([row.log_likelihoods for row in self.rows], np.float64)

  @property
  def probabilities(self) -> Float[np.ndarray, "rows labels"]:
    """The share of each label among these labels; the shares of a row add up to 1."""
    values = self.log_likelihoods
    shares = np.exp(values - values.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)

  @property
  def tokens(self) -> Int[np.ndarray, "rows labels"]:
    """Number of tokens of each label, with its end."""
    return np.asarray([row.tokens for row in self.rows], np.int64)

  @property
  def best(self) -> tuple[str, ...]:
    """The likeliest label of each row."""
    return tuple(self.labels[i] for i in self.log_likelihoods.argmax(axis=1).tolist())

  @property
  def unknown(self) -> tuple[tuple[str, ...], ...]:
    """Words of each row with pieces that are not in the model's vocabulary."""
    return tuple(row.unknown for row in self.rows)

  @property
  def frame(self) -> "pandas.DataFrame":
    """One line per row and label: model, prompt, label, nats, share and tokens."""
    import pandas

    shares = self.probabilities
    return pandas.DataFrame(
      [
        {
          "model": row.model,
          "prompt": row.prompt,
          "label": label,
          "log_likelihood": row.log_likelihoods[i],
          "share": shares[number, i],
          "tokens": row.tokens[i],
        }
        for number, row in enumerate(self.rows)
        for i, label in enumerate(self.labels)
      ]
    )

  def __add__(self, other: "Scores") -> "Scores":
    """Both, one after the other; raises SymtuneError if their labels differ."""
    if self.labels != other.labels:
      raise SymtuneError(
        f"got scores of the labels {list(self.labels)} and {list(other.labels)}, "
        "expected the same labels in the same order."
      )
    return Scores(labels=self.labels, rows=(*self.rows, *other.rows))

  def plot(self, *others: "Scores") -> Picture:
    """Bars: the share of each label, one group per row.

    Args:
      *others: scores of the same labels that are drawn beside these.
    """
    scores = sum(others, self)
    return draw_bars(scores._titles(), scores.labels, scores.probabilities)

  def __str__(self) -> str:
    console = rich.console.Console(width=100, no_color=True, highlight=False)
    with console.capture() as capture:
      console.print(self.__rich__())
    return capture.get().rstrip()

  def __rich__(self) -> rich.table.Table:
    table = rich.table.Table(box=None, padding=(0, 2, 0, 0))
    titles, rows = self._cells()
    for title in titles:
      table.add_column(rich.text.Text(title))
    for row in rows:
      table.add_row(*map(rich.text.Text, row))
    return table

  def _repr_html_(self) -> str:
    return table_to_html(*self._cells())

  def _cells(self) -> tuple[list[str], list[list[str]]]:
    """Titles, and the cells of each row as text."""
    has_outcome = any(row.outcome for row in self.rows)
    has_unknown = any(row.unknown for row in self.rows)
    has_prompts = len({row.prompt for row in self.rows}) > 1
    titles = ["model", *(["prompt"] if has_prompts else [])]
    titles += [f"log p({label})" for label in self.labels]
    titles += ["likeliest", "share"]
    titles += ["follows"] if has_outcome else []
    titles += ["unknown to the vocabulary"] if has_unknown else []
    shares, rows = self.probabilities.max(axis=1), []
    for row, best, share in zip(self.rows, self.best, shares, strict=True):
      cells = [row.model, *([_shorten(row.prompt)] if has_prompts else [])]
      cells += [f"{value:.3f}" for value in row.log_likelihoods]
      cells += [best, f"{share:.0%}"]
      if has_outcome:
        cells.append(
          "" if row.outcome is None else row.outcome.removeprefix("follows ")
        )
      if has_unknown:
        cells.append(" ".join(row.unknown))
      rows.append(cells)
    return titles, rows

  def _titles(self) -> list[str]:
    prompts = {row.prompt for row in self.rows}
    if len(prompts) == 1:
      return [row.model for row in self.rows]
    return [f"{row.model}\n{_shorten(row.prompt)}" for row in self.rows]


def _shorten(prompt: str) -> str:
  """The end of a prompt in one line."""
  line = " ".join(prompt.split())
  return line if len(line) <= _PROMPT_SHOWN else f"… {line[-_PROMPT_SHOWN:]}"


def as_tuple(values: str | Sequence[str], what: str) -> tuple[str, ...]:
  """One text or several, as a tuple; raises SymtuneError for anything else."""
  found = (values,) if isinstance(values, str) else tuple(values)
  if not found or not all(isinstance(v, str) and v.strip() for v in found):
    raise SymtuneError(f"{what}: got {list(found)!r:.80}, expected texts with words.")
  return found
