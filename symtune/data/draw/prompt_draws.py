"""Stages 2 to 4 as numbers: (task entry, position) -> Draws, one prompt at a time."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from symtune.data.draw.draws import ExemplarDrawer
from symtune.data.draw.tables import DrawTables
from symtune.data.mixture import LabelStyle
from symtune.data.rng import KeyedGenerator
from symtune.data.text.symbols import draw_symbols


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
  """What stands in some prompts; a *turn* is an exemplar or, the last one, the query.

  Attributes:
    positions: of the prompts in the stream.
    entries: of the prompts.
    formats: of the prompts, among those of their entry.
    turns: how many each prompt has.
    rows: row of each turn.
    classes: class id of each turn; the query's is the answer.
    choices: how many classes each prompt has.
    names: label word of each class of each prompt.
  """

  positions: Int64[np.ndarray, "prompts"]
  entries: Int64[np.ndarray, "prompts"]
  formats: Int64[np.ndarray, "prompts"]
  turns: Int64[np.ndarray, "prompts"]
  rows: Int64[np.ndarray, "turns"]
  classes: Int64[np.ndarray, "turns"]
  choices: Int64[np.ndarray, "prompts"]
  names: Int64[np.ndarray, "_names"]

  def only(self, prompts: Bool[np.ndarray, "prompts"]) -> "Draws":
    """The draws of some of the prompts."""
    turns = np.repeat(prompts, self.turns)
    return Draws(
      positions=self.positions[prompts],
      entries=self.entries[prompts],
      formats=self.formats[prompts],
      turns=self.turns[prompts],
      rows=self.rows[turns],
      classes=self.classes[turns],
      choices=self.choices[prompts],
      names=self.names[np.repeat(prompts, self.choices)],
    )


class PromptDrawer:
  """Draws prompts of task entries as a mixture does, with generators."""

  def __init__(self, tables: DrawTables, seed: int):
    """Takes what is drawn from, and the root seed of the stream."""
    self._tables, self._seed = tables, seed
    self._keyed = KeyedGenerator()
    self._drawers: dict[int, ExemplarDrawer] = {}

  def draw(self, rng: np.random.Generator, *, entry: int, position: int) -> Draws:
    """The draws of one prompt, as `TaskEntry.prompt` makes them.

    Args:
      rng: draws the query.
      entry: number of the entry.
      position: of the prompt in the stream.
    """
    tables = self._tables
    settings = tables.entries[entry]
    task, index = settings.task, settings.task.index
    query = int(index.queries[int(rng.integers(len(index.queries)))])
    shown = self._drawer(entry).draw(query, seed=self._seed, variant=position)
    rows = np.asarray([*shown, query], np.int64)
    classes = index.labels[rows].astype(np.int64)
    key = (self._seed, task.fingerprint, int(index.rows[query]), position)
    names = tables.names.first_fixed[entry] + np.arange(len(task.card.labels))
    if settings.draws_symbols:
      labels = task.card.labels
      symbol_rng = self._keyed.at(*key, "symbols", settings.pool.split)
      symbols = draw_symbols(symbol_rng, settings.pool, len(labels), labels)
      names = np.asarray([tables.names.numbers[symbol] for symbol in symbols], np.int64)
      if settings.labels is LabelStyle.SCRAMBLED:
        drawn = [int(symbol_rng.integers(len(labels))) for _ in rows]
        classes = np.asarray(drawn, np.int64)
    format_rng = self._keyed.at(*key, "format")
    return Draws(
      positions=np.asarray([position], np.int64),
      entries=np.asarray([entry], np.int64),
      formats=np.asarray([format_rng.integers(len(settings.formats))], np.int64),
      turns=np.asarray([len(rows)], np.int64),
      rows=tables.rows.first_row[tables.task_of[entry]] + rows,
      classes=classes,
      choices=np.asarray([len(names)], np.int64),
      names=names,
    )

  def _drawer(self, entry: int) -> ExemplarDrawer:
    found = self._drawers.get(entry)
    if found is None:
      settings = self._tables.entries[entry]
      task = settings.task
      found = ExemplarDrawer(task.index, task.fingerprint, settings.shots)
      self._drawers[entry] = found
    return found


def join_draws(draws: Sequence[Draws]) -> Draws:
  """The draws of several, one after another."""
  return Draws(
    **{
      field.name: np.concatenate([getattr(some, field.name) for some in draws])
      for field in dataclasses.fields(Draws)
    }
  )
