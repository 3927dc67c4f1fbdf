"""What a mixture draws from, all tasks and pools in one list each, by number.

Drawing a block of prompts at once (data/draw/blocks.py) asks arrays, not objects: rows,
classes, exemplars, groups of rows with the same text, and label words are numbered
through all tasks. `first_...` says where the numbers of a task, a class, a group or a
category start.
"""

import dataclasses
from collections.abc import Sequence, Sized

import numpy as np
from jaxtyping import Int64

from symtune.data.draw.draws import RowIndex, Shots
from symtune.data.draw.ragged import places_of, starts_of
from symtune.data.mixture import LabelStyle
from symtune.data.prompts import PromptFormat
from symtune.data.text.symbols import SymbolPool
from symtune.data.tokens.cache import TokenTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenEntry:
  """A task of a mixture's ingredient, as ids; see `TaskEntry` and `Ingredient`."""

  task: TokenTask
  labels: LabelStyle
  instruction: bool
  shots: Shots
  pool: SymbolPool
  formats: tuple[PromptFormat, ...]

  @property
  def draws_symbols(self) -> bool:
    """Whether the words of the classes are drawn from the pool."""
    return self.labels not in (LabelStyle.NATURAL, LabelStyle.FLIPPED)

  @property
  def fixed_words(self) -> tuple[str, ...]:
    """The words of the classes where they are not drawn."""
    words = self.task.card.labels
    return words[::-1] if self.labels is LabelStyle.FLIPPED else words


class RowTables:
  """The row indices of several tasks as one.

  Attributes:
    first_row: of each task.
    numbers: of each row, in its file.
    labels: class id of each row.
    groups: group of each row.
    classes: how many each task has.
    first_class: of each task.
    sizes: exemplars of each class.
    first_exemplar: of each class.
    exemplars: row of each exemplar.
    members: how many exemplars each group has.
    first_member: of each group.
    member_class: class id of each member.
    member_number: of each member, in its class.
    num_queries: of each task.
    first_query: of each task.
    queries: row of each query.
  """

  def __init__(self, tasks: Sequence[RowIndex]):
    """Numbers the rows of the tasks one after another."""
    self.first_row = starts_of(_sizes([task.rows for task in tasks]))
    groups = [int(task.groups.max(initial=-1)) + 1 for task in tasks]
    self.numbers = _join([task.rows for task in tasks])
    self.labels = _join([task.labels for task in tasks])
    self.groups = _join(
      [task.groups for task in tasks], starts_of(np.asarray(groups, np.int64))
    )
    exemplars = [np.concatenate(task.exemplars) for task in tasks]
    self.exemplars = _join(exemplars, self.first_row)
    self.classes = _sizes([task.exemplars for task in tasks])
    self.first_class = starts_of(self.classes)
    self.sizes = _sizes([some for task in tasks for some in task.exemplars])
    self.first_exemplar = starts_of(self.sizes)
    shown = self.groups[self.exemplars]
    order = np.argsort(shown, kind="stable")
    self.members = np.bincount(shown, minlength=sum(groups))
    self.first_member = starts_of(self.members)
    self.member_class = self.labels[self.exemplars[order]]
    self.member_number = places_of(self.sizes)[order]
    self.num_queries = _sizes([task.queries for task in tasks])
    self.first_query = starts_of(self.num_queries)
    self.queries = _join([task.queries for task in tasks], self.first_row)


class NameTables:
  """The label words that the prompts of some entries may hold.

  Attributes:
    names: the words; those of a category of a pool, or of a task, side by side.
    numbers: of the words.
    folded: number of each word, whatever its case.
    sizes: words of each category of each pool.
    first_name: of each category of each pool.
    categories: how many each entry draws from; 0 where its words are fixed.
    first_category: of each entry.
    first_fixed: of each entry, its fixed words in order of class.
    refused: entry x len(names) + folded, of words that must not stand for a class.
  """

  def __init__(self, entries: Sequence[TokenEntry]):
    """Numbers the words of the entries' pools and tasks."""
    groups: list[Sequence[str]] = []
    drawn: list[tuple[int, int]] = []
    found: dict[int, int] = {}  # where the categories of a pool start, by its id()
    for entry in entries:
      if entry.draws_symbols and id(entry.pool) not in found:
        found[id(entry.pool)] = len(groups)
        groups += entry.pool.symbols.values()
      first = found[id(entry.pool)] if entry.draws_symbols else 0
      drawn.append((first, len(entry.pool.symbols) * entry.draws_symbols))
    self.first_category, self.categories = np.asarray(drawn, np.int64).reshape(-1, 2).T
    self.sizes = _sizes(groups)
    groups += [entry.fixed_words for entry in entries]
    firsts = starts_of(_sizes(groups))
    self.first_name, self.first_fixed = np.split(firsts, [len(self.sizes)])
    self.names = [name for group in groups for name in group]
    self.numbers = {name: number for number, name in enumerate(self.names)}
    folds: dict[str, int] = {}
    folded = [folds.setdefault(name.casefold(), len(folds)) for name in self.names]
    self.folded = np.asarray(folded, np.int64)
    refused = [
      number * len(self.names) + folds[word]
      for number, entry in enumerate(entries)
      if entry.draws_symbols
      for word in entry.pool.relevant_words(entry.task.card.labels)
      if word in folds
    ]
    self.refused = np.asarray(refused, np.int64)


class DrawTables:
  """All that the prompts of some entries are drawn from.

  Attributes:
    entries: tasks and settings.
    tasks: the entries' tasks, each once.
    task_of: of each entry, among `tasks`.
    rows: rows of all tasks.
    names: label words of all entries.
  """

  def __init__(self, entries: Sequence[TokenEntry]):
    """Numbers everything."""
    self.entries = tuple(entries)
    tasks = {id(entry.task): entry.task for entry in entries}
    numbers = {key: number for number, key in enumerate(tasks)}
    self.tasks = tuple(tasks.values())
    task_of = [numbers[id(entry.task)] for entry in entries]
    self.task_of = np.asarray(task_of, np.int64)
    self.rows = RowTables([task.index for task in self.tasks])
    self.names = NameTables(entries)


def _join(
  parts: Sequence[np.ndarray], firsts: np.ndarray | None = None
) -> Int64[np.ndarray, "_all"]:
  """The numbers of several lists one after another, each plus its own first."""
  whole = np.concatenate([np.zeros(0, np.int64), *parts])
  return whole if firsts is None else whole + np.repeat(firsts, _sizes(parts))


def _sizes(parts: Sequence[Sized]) -> Int64[np.ndarray, "_parts"]:
  return np.asarray([len(part) for part in parts], np.int64)
