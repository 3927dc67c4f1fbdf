"""What prompts are drawn from: tasks with their settings, all in arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from symtune.cards.card import TaskCard
from symtune.data.draw.exemplars import ExampleTables
from symtune.data.draw.index import TaskIndex
from symtune.data.draw.label_words import LabelWords, WordSource
from symtune.data.draw.lookup import ExemplarIndex, Likeness
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.prompts import PromptFormat
from symtune.data.text.symbols import SymbolPool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """A task with the settings that its prompts are drawn with.

  Attributes:
    card: of the task.
    index: the task's rows.
    settings: label style, shots and instruction.
    pool: symbols are drawn from it, where the style asks for any.
    formats: one of these is drawn for each prompt.
    lookup: where exemplars are looked up, if the settings ask for it.
  """

  card: TaskCard
  index: TaskIndex
  settings: Ingredient
  pool: SymbolPool
  formats: tuple[PromptFormat, ...]
  lookup: ExemplarIndex | None = None

  @property
  def word_source(self) -> WordSource:
    """Where the label words of its prompts come from."""
    labels = self.card.labels
    if self.settings.labels.draws_symbols:
      return WordSource(labels=labels, pool=self.pool)
    is_flipped = self.settings.labels is LabelStyle.FLIPPED
    return WordSource(labels=labels[::-1] if is_flipped else labels)


class DrawTables:
  """All that the prompts of some entries are drawn from.

  Attributes:
    entries: tasks and settings.
    task_of: number of the task of each entry, among the different tasks.
    examples: the examples of the different tasks.
    label_words: the words that may stand for a class; entry n has source n.
    shots: fewest and most exemplars per class of each entry.
    formats: how many each entry has.
    scrambles: whether classes are drawn anew for every turn, of each entry.
    lookup_shares: share of the prompts whose exemplars are looked up, of each entry.
    finds_similar: whether those that are looked up are the most similar ones.
  """

  def __init__(self, entries: Sequence[Entry]):
    """Numbers everything."""
    self.entries = tuple(entries)
    tasks = {id(entry.index): entry.index for entry in entries}
    numbers = {key: number for number, key in enumerate(tasks)}
    self.task_of = np.asarray([numbers[id(e.index)] for e in entries], np.int64)
    self.examples = ExampleTables(list(tasks.values()))
    self.label_words = LabelWords([entry.word_source for entry in entries])
    shots = [(e.settings.shots.minimum, e.settings.shots.maximum) for e in entries]
    self.shots = np.asarray(shots, np.int64).reshape(-1, 2)
    self.formats = np.asarray([len(e.formats) for e in entries], np.int64)
    scrambles = [e.settings.labels is LabelStyle.SCRAMBLED for e in entries]
    self.scrambles = np.asarray(scrambles, bool)
    shares = [0.0 if e.lookup is None else e.settings.lookup.share for e in entries]
    self.lookup_shares = np.asarray(shares, np.float64)
    similar = [e.settings.lookup.likeness is Likeness.SIMILAR for e in entries]
    self.finds_similar = np.asarray(similar, bool)
