"""Stages 2 to 4 in a row: position in the tuning stream -> Prompt.

Prompt number `i` of a mixture is a pure function of (seed, i): which ingredient, task
and query, which exemplars, format and symbols. Nothing is remembered between prompts,
so any host can build any prompt at any time.
"""

import functools
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from symtune.cards.card import Task, TaskCard
from symtune.data.draw.draw import (
  Draws,
  draw,
  pick_entries,
  pick_queries,
  read_draw,
)
from symtune.data.draw.index import TaskIndex, check_shots, index_task
from symtune.data.draw.lookup import ExemplarIndex
from symtune.data.draw.tables import DrawTables, Entry
from symtune.data.draw.words import position_generator
from symtune.data.ingredients import (
  Ingredient,
  Instructions,
  LabelStyle,
  Mixing,
  Skill,
)
from symtune.data.instruction_prompts import InstructionMaker, check_encodings
from symtune.data.limits import MAX_EXAMPLES_PER_TASK
from symtune.data.prompts import ALL_FORMATS, Prompt, PromptFormat, render_prompt
from symtune.data.remap import LabelMap, remap_labels, with_words
from symtune.data.rng import keyed_generator, stream_key
from symtune.data.skills import SkillMaker
from symtune.data.text.symbols import PoolSplit, SymbolCategory, SymbolPool
from symtune.errors import SymtuneError

Settings = Ingredient | Skill | Instructions

# What counts as a word of a text that may stand for a class.
_TEXT_WORD = re.compile(r"(?<!\w)[A-Za-z]{3,20}(?!\w)")


class MixtureDraws:
  """Draws the prompts of a mixture by position; can be sent to other processes.

  Attributes:
    entries: what a prompt may come from.
  """

  def __init__(
    self,
    entries: Sequence[Entry | SkillMaker | InstructionMaker],
    weights: Sequence[float],
    seed: int,
  ):
    """Takes entries with their weights, and the root seed of the stream."""
    self.entries = tuple(entries)
    self._stream = stream_key(seed, "tuning")
    self._cumulative = np.cumsum(weights) / np.sum(weights)
    is_task = np.asarray([isinstance(entry, Entry) for entry in entries])
    self._numbers = np.where(is_task, np.cumsum(is_task) - 1, -1)

  @functools.cached_property
  def tables(self) -> DrawTables:
    """What prompts of tasks are drawn from; entries that are not tasks are left out."""
    return DrawTables([entry for entry in self.entries if isinstance(entry, Entry)])

  def __getstate__(self):
    """Without the tables, which another process makes for itself."""
    return {name: value for name, value in vars(self).items() if name != "tables"}

  def draw(self, positions: Int64[np.ndarray, "positions"]) -> Draws:
    """The draws of those of the positions at which a task stands.

    Raises:
      SymtuneError: a pool has too few symbols for a task.
    """
    numbers = self._numbers[pick_entries(self._cumulative, self._stream, positions)]
    positions, numbers = positions[numbers >= 0], numbers[numbers >= 0]
    asked = pick_queries(self.tables, self._stream, positions, numbers)
    return draw(self.tables, self._stream, asked)

  def entries_at(
    self, positions: Int64[np.ndarray, "positions"]
  ) -> list[Entry | SkillMaker | InstructionMaker]:
    """What the prompt at each position comes from; positions ascend."""
    picked = pick_entries(self._cumulative, self._stream, positions)
    return [self.entries[number] for number in picked.tolist()]

  def make_others(self, positions: Int64[np.ndarray, "positions"]) -> dict[int, Prompt]:
    """The prompts of those of the positions at which something else stands."""
    picked = pick_entries(self._cumulative, self._stream, positions)
    prompts: dict[int, Prompt] = {}
    for position, number in zip(positions.tolist(), picked.tolist(), strict=True):
      entry = self.entries[number]
      if not isinstance(entry, Entry):
        prompts[position] = entry.prompt(position_generator(self._stream, position))
    return prompts


class Mixture:
  """An endless stream of tuning prompts, addressed by position.

  Attributes:
    draws: draws the prompts.
    tasks: the tasks of the entries of `draws.tables`.
    fingerprints: SHA-256 of every task's card and rows, in the order of the mixture.
  """

  def __init__(
    self,
    ingredients: Sequence[tuple[Settings, Sequence[Any]]],
    pool: SymbolPool,
    *,
    seed: int,
    mixing: Mixing = Mixing.PROPORTIONAL,
    formats: Sequence[PromptFormat] = ALL_FORMATS,
    reserved: Collection[str] = (),
  ):
    """Indexes every task.

    Args:
      ingredients: what is mixed: settings, each with its tasks (of classification, or
        of instruction data).
      pool: tuning symbols.
      seed: the root seed of the stream.
      mixing: weights of the tasks inside an ingredient.
      formats: input-label formats to draw from.
      reserved: words that no prompt borrows, the label words of evaluation tasks:
        otherwise tuning would show them on texts that they do not describe.

    Raises:
      SymtuneError: nothing to mix, a rate below zero, no formats, a task too small, or
        labels to flip of a task with more than two, or
        encodings that instruction data cannot fill.
    """
    rates = [settings.rate for settings, _ in ingredients]
    if not rates or min(rates) < 0 or not all(tasks for _, tasks in ingredients):
      raise SymtuneError(
        f"mixture: got {len(ingredients)} ingredients with rates {rates}, expected at "
        f"least one, each with tasks and a rate of 0 or more."
      )
    if not sum(rates) > 0:
      raise SymtuneError("mixture: got rates that sum to 0, expected more.")
    if not formats:
      raise SymtuneError("mixture: got no formats, expected at least one to draw from.")
    entries: list[Entry | SkillMaker | InstructionMaker] = []
    weights: list[float] = []
    self.tasks: list[Task] = []
    fingerprints: list[str] = []
    indices: dict[int, TaskIndex] = {}  # by id(): several ingredients may share a task
    for settings, tasks in ingredients:
      shares = [1.0]
      if isinstance(settings, Skill):
        entries.append(SkillMaker(settings, tasks, pool, formats))
      else:
        tasks = _choose_tasks(tasks, settings.num_tasks, seed)
        shares = _share_out(settings, tasks, mixing)
        if isinstance(settings, Instructions):
          check_encodings(tasks, settings.encodings, "Instructions.encodings")
          entries += [InstructionMaker(task, settings.encodings) for task in tasks]
        else:
          own = _choose_pool(settings.labels, tasks, pool, reserved)
          entries += _make_entries(settings, tasks, indices, own, tuple(formats))
          self.tasks += tasks
      weights += [settings.rate * share for share in shares]
      fingerprints += [task.fingerprint for task in tasks]
    self.draws = MixtureDraws(entries, weights, seed)
    self.fingerprints = tuple(fingerprints)

  def prompt(self, position: int) -> Prompt:
    """Prompt number `position` (0-based) of the stream."""
    return self.prompts(range(position, position + 1))[0]

  def prompts(self, positions: range) -> list[Prompt]:
    """The prompts at some positions, which are one after another."""
    asked = np.asarray(positions, np.int64)
    draws, found = self.draws.draw(asked), self.draws.make_others(asked)
    for number, position in enumerate(draws.positions.tolist()):
      found[position] = self._render(draws, number)
    return [found[position] for position in positions]

  def _render(self, draws: Draws, number: int) -> Prompt:
    entry = int(draws.entries[number])
    settings = self.draws.tables.entries[entry].settings
    drawn = read_draw(self.draws.tables, draws, number, self.tasks[entry])
    if settings.labels.draws_symbols:
      episode = remap_labels(drawn.episode, LabelMap(symbols=drawn.label_words))
    else:
      episode = with_words(drawn.episode, drawn.label_words)
    return render_prompt(episode, drawn.prompt_format, instruction=settings.instruction)


def _make_entries(
  settings: Ingredient,
  tasks: Sequence[Task],
  indices: dict[int, TaskIndex],
  pool: SymbolPool,
  formats: tuple[PromptFormat, ...],
) -> list[Entry]:
  """The tasks with their settings, once it is sure that prompts can be drawn."""
  entries: list[Entry] = []
  for task in tasks:
    if settings.labels is LabelStyle.FLIPPED and len(task.card.labels) != 2:
      raise SymtuneError(
        f"mixture: got task {task.card.name} with {len(task.card.labels)} classes to "
        f"flip, expected 2. Leave it out of the ingredient with flipped labels."
      )
    if id(task) not in indices:
      indices[id(task)] = index_task(task)
    index = indices[id(task)]
    check_shots(index, task.card, settings.shots)
    entries.append(
      Entry(
        card=task.card,
        index=index,
        settings=settings,
        pool=pool,
        formats=formats,
        lookup=ExemplarIndex(task, index) if settings.retrieved else None,
      )
    )
  return entries


def _choose_pool(
  style: LabelStyle,
  tasks: Sequence[Task],
  symbols: SymbolPool,
  reserved: Collection[str],
) -> SymbolPool:
  """What the label words of an ingredient's prompts are drawn from."""
  if style is LabelStyle.BORROWED:
    return label_pool([task.card for task in tasks], reserved)
  if style is LabelStyle.TEXT_WORDS:
    return text_pool(tasks, reserved)
  return symbols


def label_pool(cards: Sequence[TaskCard], reserved: Collection[str] = ()) -> SymbolPool:
  """Every label word of the cards; a prompt never draws those of its own task.

  Args:
    cards: whose label words are lent.
    reserved: words that are left out, whatever their case.

  Raises:
    SymtuneError: all label words are left out.
  """
  words = [label for card in cards for label in card.labels]
  return _make_word_pool(words, reserved, "borrowed")


def text_pool(tasks: Sequence[Task], reserved: Collection[str] = ()) -> SymbolPool:
  """Every word of the tasks' texts that is no label word, in order of appearance.

  Args:
    tasks: whose texts lend their words, of 3 to 20 ASCII letters.
    reserved: words that are left out, whatever their case.

  Raises:
    SymtuneError: the texts have no other words.
  """
  labels = [label for task in tasks for label in task.card.labels]
  words = [
    word
    for task in tasks
    for example in task.examples
    for word in _TEXT_WORD.findall(task.card.input_text(example))
  ]
  return _make_word_pool(words, [*reserved, *labels], "text_words")


def _make_word_pool(
  words: Iterable[str], reserved: Collection[str], style: str
) -> SymbolPool:
  refused = {word.casefold() for word in reserved}
  kept = tuple(w for w in dict.fromkeys(words) if w.casefold() not in refused)
  if not kept:
    raise SymtuneError(
      f"mixture: got no words for the label style {style}: all are label words of "
      f"evaluation tasks or of the tasks themselves. Use other tasks, or symbols."
    )
  return SymbolPool(split=PoolSplit.TUNING, symbols={SymbolCategory.WORDS: kept})


def _choose_tasks(tasks: Sequence[Any], count: int | None, seed: int) -> Sequence[Any]:
  """The tasks of an ingredient that are used, in their order."""
  if count is None:
    return tasks
  if not 1 <= count <= len(tasks):
    raise SymtuneError(
      f"mixture: got num_tasks {count}, expected 1 to {len(tasks)}, the tasks there "
      f"are."
    )
  chosen = keyed_generator(seed, "tasks").permutation(len(tasks))[:count]
  return tuple(tasks[i] for i in sorted(chosen))


def _share_out(
  settings: Ingredient | Instructions, tasks: Sequence[Any], mixing: Mixing
) -> list[float]:
  """The share of each task in its ingredient."""
  if isinstance(settings, Instructions):
    sizes, cap = [len(task.rows) for task in tasks], settings.cap
  else:
    sizes, cap = [len(task.queries) for task in tasks], MAX_EXAMPLES_PER_TASK
    if mixing is Mixing.UNIFORM:
      sizes = [1] * len(tasks)
  return mixing_weights(sizes, cap=cap, temperature=settings.temperature)


def mixing_weights(
  sizes: Sequence[int], *, cap: int, temperature: float
) -> list[float]:
  """Shares of tasks: rows up to a cap, flattened by a temperature; they sum to 1.

  Args:
    sizes: rows of each task.
    cap: most rows of a task that count.
    temperature: 1 is proportional; without end all tasks weigh the same.

  Raises:
    SymtuneError: a cap or a temperature that is not above 0.
  """
  if cap < 1 or temperature <= 0:
    raise SymtuneError(
      f"mixture: got cap {cap} and temperature {temperature}, expected a cap of at "
      f"least 1 and a temperature above 0."
    )
  weights = np.minimum(np.asarray(sizes, np.float64), cap) ** (1 / temperature)
  return (weights / weights.sum()).tolist()
