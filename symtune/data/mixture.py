"""Stages 2 to 4 in a row: position in the tuning stream -> Prompt.

Prompt number `i` of a mixture is a pure function of (seed, i): which ingredient, task
and query, which exemplars, format and symbols. Nothing is remembered between prompts,
so any host can build any prompt at any time.
"""

import dataclasses
import enum
import functools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from symtune.cards.card import Example, Task
from symtune.data.episodes import TUNING_SHOTS, Episode, EpisodeSource, Shots
from symtune.data.instruction_prompts import (
  InstructionMaker,
  Instructions,
  mixing_weights,
)
from symtune.data.limits import MAX_EXAMPLES_PER_TASK
from symtune.data.prompts import ALL_FORMATS, Prompt, PromptFormat, render_prompt
from symtune.data.remap import LabelMap, flip_labels, remap_labels, scramble_labels
from symtune.data.rng import keyed_generator
from symtune.data.skills import Skill, SkillMaker
from symtune.data.text.instructions import InstructionTask
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  draw_symbols,
)
from symtune.errors import SymtuneError

_AnyTask = TypeVar("_AnyTask", Task, InstructionTask)


class LabelStyle(enum.StrEnum):
  """What stands for the classes in a prompt."""

  NATURAL = "natural"
  SYMBOLS = "symbols"
  BORROWED = "borrowed"  # label words of the ingredient's other tasks, as symbols
  FLIPPED = "flipped"
  SCRAMBLED = "scrambled"  # symbols whose assignment changes from exemplar to exemplar


class Mixing(enum.StrEnum):
  """How often each task of an ingredient is drawn."""

  PROPORTIONAL = "proportional"  # by its rows, at most 25,000; the paper's choice
  UNIFORM = "uniform"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingredient:
  """Tasks that a mixture draws with the same settings.

  Attributes:
    tasks: cards with their rows.
    labels: natural label words, a fresh symbol map per prompt, or flipped words.
    instruction: whether prompts carry the task's instruction; off in the paper.
    shots: exemplars per class; 2 to 10 in the paper.
    rate: share of the mixture, relative to the other ingredients' rates.
    num_tasks: how many of the tasks are used, drawn at random with the mixture's seed;
      all unless given. Ablation B.4 of the paper varies this.
    temperature: tasks weigh (capped rows) ** (1 / temperature); 1 is the paper's.
  """

  tasks: tuple[Task, ...]
  labels: LabelStyle = LabelStyle.SYMBOLS
  instruction: bool = False
  shots: Shots = TUNING_SHOTS
  rate: float = 1.0
  num_tasks: int | None = None
  temperature: float = 1.0


class PromptMaker:
  """Renders a task's episodes; each example's text is rendered once."""

  def __init__(self, task: Task, shots: Shots):
    """Indexes the task; raises SymtuneError if it is too small for `shots`."""
    self.source = EpisodeSource(task, shots)
    self._texts: dict[int, str] = {}

  @property
  def queries(self) -> tuple[Example, ...]:
    """Examples that may be asked about."""
    return self.source.queries

  def prompt(
    self,
    query: Example,
    *,
    seed: int,
    variant: int,
    labels: LabelStyle,
    instruction: bool,
    pool: SymbolPool,
    formats: Sequence[PromptFormat] = ALL_FORMATS,
  ) -> Prompt:
    """The prompt of (seed, task, query, variant) in one setting.

    Exemplars, format and symbols have generators of their own, so that two settings of
    the same (seed, query, variant) share exemplars and, but for an instruction, whose
    format is fixed, the format: comparisons are paired.

    Args:
      query: one of `queries`.
      seed: the root seed.
      variant: tells apart several prompts of one query.
      labels: what stands for the classes.
      instruction: whether turns carry the instruction.
      pool: where symbols come from.
      formats: the format is drawn from these.

    Returns:
      The prompt.
    """
    episode = self.source.episode(query, seed=seed, variant=variant)
    key = (seed, self.source.task.fingerprint, query.row, variant)
    relabelled = _relabel(episode, labels, pool, key)
    format_rng = keyed_generator(*key, "format")
    return render_prompt(
      relabelled,
      formats[int(format_rng.integers(len(formats)))],
      instruction=instruction,
      input_text=self._text,
    )

  def _text(self, example: Example) -> str:
    text = self._texts.get(example.row)
    if text is None:
      text = self.source.task.card.input_text(example)
      self._texts[example.row] = text
    return text


def _relabel(
  episode: Episode, labels: LabelStyle, pool: SymbolPool, key: tuple[int | str, ...]
) -> Episode:
  if labels is LabelStyle.NATURAL:
    return episode
  if labels is LabelStyle.FLIPPED:
    return flip_labels(episode)
  words = episode.card.labels
  rng = keyed_generator(*key, "symbols", pool.split)
  symbols = draw_symbols(rng, pool, len(words), words)
  if labels is LabelStyle.SCRAMBLED:
    episode = scramble_labels(episode, rng)
  return remap_labels(episode, LabelMap(symbols=symbols))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskEntry:
  """One task of an ingredient: what a mixture draws when it does not draw a skill."""

  maker: PromptMaker
  ingredient: Ingredient
  pool: SymbolPool
  formats: tuple[PromptFormat, ...]

  @property
  def fingerprints(self) -> tuple[str, ...]:
    """SHA-256 of the task's card and rows."""
    return (self.maker.source.task.fingerprint,)

  def prompt(self, rng: np.random.Generator, *, seed: int, position: int) -> Prompt:
    """One prompt: `rng` draws the query, (seed, query, position) the rest."""
    queries = self.maker.queries
    return self.maker.prompt(
      queries[int(rng.integers(len(queries)))],
      seed=seed,
      variant=position,
      labels=self.ingredient.labels,
      instruction=self.ingredient.instruction,
      pool=self.pool,
      formats=self.formats,
    )


class Mixture:
  """An endless stream of tuning prompts, addressed by position.

  Attributes:
    seed: the root seed of the stream.
    entries: what a prompt may come from.
    cumulative: running sums of the entries' shares, up to 1.
  """

  def __init__(
    self,
    ingredients: Sequence[Ingredient | Skill | Instructions],
    pool: SymbolPool,
    *,
    seed: int,
    mixing: Mixing = Mixing.PROPORTIONAL,
    formats: Sequence[PromptFormat] = ALL_FORMATS,
  ):
    """Indexes every task.

    Args:
      ingredients: what is mixed, at which rates.
      pool: tuning symbols.
      seed: the root seed of the stream.
      mixing: weights of the tasks inside an ingredient.
      formats: input-label formats to draw from.

    Raises:
      SymtuneError: nothing to mix, a rate below zero, no formats, a task too small, or
        labels to flip of a task with more than two.
    """
    if not ingredients or any(i.rate < 0 or not i.tasks for i in ingredients):
      raise SymtuneError(
        f"mixture: got {len(ingredients)} ingredients with rates "
        f"{[i.rate for i in ingredients]}, expected at least one, each with tasks and "
        f"a rate of 0 or more."
      )
    if not formats:
      raise SymtuneError("mixture: got no formats, expected at least one to draw from.")
    self.seed = seed
    self.entries: list[TaskEntry | SkillMaker | InstructionMaker] = []
    weights: list[float] = []
    for ingredient in ingredients:
      if isinstance(ingredient, Instructions):
        files = _chosen(ingredient.tasks, ingredient.num_tasks, seed)
        self.entries += [InstructionMaker(task) for task in files]
        shares = mixing_weights(
          [len(task.rows) for task in files],
          cap=ingredient.cap,
          temperature=ingredient.temperature,
        )
        weights += [ingredient.rate * share for share in shares]
        continue
      if isinstance(ingredient, Skill):
        self.entries.append(SkillMaker(ingredient, pool, formats))
        weights.append(ingredient.rate)
        continue
      _check_flipped(ingredient)
      borrowed = ingredient.labels is LabelStyle.BORROWED
      label_pool = _label_pool(ingredient.tasks) if borrowed else pool
      tasks = _chosen(ingredient.tasks, ingredient.num_tasks, seed)
      self.entries += [
        TaskEntry(
          maker=PromptMaker(task, ingredient.shots),
          ingredient=ingredient,
          pool=label_pool,
          formats=tuple(formats),
        )
        for task in tasks
      ]
      weights += _task_weights(ingredient, tasks, mixing).tolist()
    if not sum(weights) > 0:
      raise SymtuneError("mixture: got rates that sum to 0, expected more.")
    self.cumulative = np.cumsum(weights) / np.sum(weights)

  def prompt(self, position: int) -> Prompt:
    """Prompt number `position` (0-based) of the stream."""
    rng = keyed_generator(self.seed, "mixture", position)
    entry = self.entries[int(entry_at(self.cumulative, rng.random()))]
    return entry.prompt(rng, seed=self.seed, position=position)

  @functools.cached_property
  def fingerprints(self) -> tuple[str, ...]:
    """SHA-256 of every task's card and rows, in the order of the mixture."""
    return tuple(f for entry in self.entries for f in entry.fingerprints)


def entry_at(cumulative: np.ndarray, uniform: float | np.ndarray) -> np.ndarray:
  """Numbers of the entries that uniform numbers fall on; see `Mixture.cumulative`."""
  drawn = np.searchsorted(cumulative, uniform, side="right")
  return np.asarray(np.minimum(drawn, len(cumulative) - 1))


def _check_flipped(ingredient: Ingredient) -> None:
  """Refuses tasks whose labels cannot be flipped before any prompt is drawn."""
  for task in ingredient.tasks:
    if ingredient.labels is LabelStyle.FLIPPED and len(task.card.labels) != 2:
      raise SymtuneError(
        f"mixture: got task {task.card.name} with {len(task.card.labels)} classes to "
        f"flip, expected 2. Leave it out of the ingredient with flipped labels."
      )


def _label_pool(tasks: Sequence[Task]) -> SymbolPool:
  """Every label word of the tasks; `draw_symbols` leaves out a task's own."""
  words = dict.fromkeys(label for task in tasks for label in task.card.labels)
  return SymbolPool(
    split=PoolSplit.TUNING, symbols={SymbolCategory.WORDS: tuple(words)}
  )


def _chosen(
  tasks: tuple[_AnyTask, ...], count: int | None, seed: int
) -> tuple[_AnyTask, ...]:
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


def _task_weights(
  ingredient: Ingredient, tasks: Sequence[Task], mixing: Mixing
) -> np.ndarray:
  if ingredient.temperature <= 0:
    raise SymtuneError(
      f"mixture: got temperature {ingredient.temperature}, expected above 0."
    )
  sizes = np.asarray(
    [sum(e.split in task.card.query_splits for e in task.examples) for task in tasks],
    np.float64,
  )
  if mixing is Mixing.UNIFORM:
    sizes = np.ones_like(sizes)
  capped = np.minimum(sizes, MAX_EXAMPLES_PER_TASK) ** (1 / ingredient.temperature)
  return ingredient.rate * capped / capped.sum()
