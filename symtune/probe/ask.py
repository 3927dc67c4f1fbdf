"""(Task, ProbeSettings) -> ProbeItems: what probes of classification tasks share.

Exemplars, their order, format and symbols depend on (seed, task, query) alone, so two
settings of a probe differ in nothing but what the probe varies: comparisons are paired.
"""

import abc
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, TypeVar

import numpy as np

from symtune.cards.card import Example, Task
from symtune.data.episodes import Episode, EpisodeSource, Shots
from symtune.data.prompts import ALL_FORMATS, PromptFormat, render_prompt
from symtune.data.remap import LabelMap, remap_labels
from symtune.data.rng import keyed_generator
from symtune.data.text.symbols import SymbolCategory, draw_symbols
from symtune.errors import SymtuneError
from symtune.probe.probe import ProbeItem, ProbeSettings

_Query = TypeVar("_Query")
_VARIANT = 0  # one episode per (seed, query); tuning has one per position


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
  """An episode and what it is meant to show.

  Attributes:
    setting: name of the setting inside the probe.
    episode: exemplars, query and label words.
    context: choice that the exemplars demand, or None.
    prior: choice that the words' meaning demands, or None.
    instruction: whether turns carry the task's instruction.
    prompt_format: None draws one.
    input_text: an example's text; None takes the card's template.
  """

  setting: str
  episode: Episode
  context: int | None
  prior: int | None
  instruction: bool = False
  prompt_format: PromptFormat | None = None
  input_text: Callable[[Example], str] | None = None


class Asker:
  """Draws a task's queries, episodes and symbols, and renders questions."""

  def __init__(
    self,
    probe: str,
    task: Task,
    settings: ProbeSettings,
    shots: Shots | None = None,
  ):
    """Indexes the task; raises SymtuneError if it is too small for the exemplars."""
    self._probe = probe
    self.task = task
    self.settings = settings
    self._source = EpisodeSource(task, shots or settings.shots)
    self._texts: dict[int, str] = {}

  @property
  def queries(self) -> tuple[Example, ...]:
    """At most `max_queries` queries; see `draw_queries`."""
    source, count = self._source, self.settings.max_queries
    return draw_queries(source.queries, self.task.fingerprint, count)

  def episode(self, seed: int, query: Example) -> Episode:
    """The exemplars of (seed, query), with the task's own label words."""
    return self._source.episode(query, seed=seed, variant=_VARIANT)

  def rng(self, seed: int, query: Example, use: str) -> np.random.Generator:
    """A generator of (seed, task, query) for one use."""
    return keyed_generator(seed, self.task.fingerprint, query.row, _VARIANT, use)

  def with_symbols(
    self, episode: Episode, seed: int, category: SymbolCategory | None = None
  ) -> Episode:
    """The episode with evaluation symbols for labels.

    Args:
      episode: of this task.
      seed: of the symbols.
      category: draws from this category alone.
    """
    pool, use = self.settings.pool, "symbols"
    if category is not None:
      pool = dataclasses.replace(pool, symbols={category: pool.symbols[category]})
      use = f"symbols {category}"
    key = (seed, self.task.fingerprint, episode.query.row, _VARIANT)
    rng = keyed_generator(*key, use, pool.split)
    labels = self.task.card.labels
    drawn = draw_symbols(rng, pool, len(labels), labels)
    return remap_labels(episode, LabelMap(symbols=drawn))

  def item(self, seed: int, question: Question) -> ProbeItem:
    """Renders a question; what counts as right is the query's class."""
    query = question.episode.query
    chosen = question.prompt_format
    if chosen is None:
      index = self.rng(seed, query, "format").integers(len(ALL_FORMATS))
      chosen = ALL_FORMATS[int(index)]
    prompt = render_prompt(
      question.episode,
      chosen,
      instruction=question.instruction,
      input_text=question.input_text or self._text,
    )
    return ProbeItem(
      probe=self._probe,
      setting=question.setting,
      task=self.task.card.name,
      seed=seed,
      query=query.row,
      prompt=prompt,
      context=question.context,
      prior=question.prior,
      kind=self.settings.kind,
      fingerprint=self.task.fingerprint,
    )

  def _text(self, example: Example) -> str:
    text = self._texts.get(example.row)
    if text is None:
      text = self._texts[example.row] = self.task.card.input_text(example)
    return text


class TaskProbe(abc.ABC):
  """A probe that asks the same questions about every query of a task."""

  name: ClassVar[str]

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Every task."""
    del settings
    return tuple(tasks)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed, query and question, in this order."""
    asker = Asker(self.name, subject, settings)
    return ask_each(asker, functools.partial(self.questions, asker))

  @abc.abstractmethod
  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """What is asked about an episode's query, one question per setting."""
    ...


def draw_queries(
  queries: Sequence[_Query], fingerprint: str, max_queries: int
) -> tuple[_Query, ...]:
  """At most `max_queries` of a task's queries, drawn at random by its fingerprint."""
  order = keyed_generator(fingerprint, "queries").permutation(len(queries))
  return tuple(queries[int(i)] for i in order[:max_queries])


def ask_each(
  asker: Asker, questions: Callable[[int, Episode], Sequence[Question]]
) -> Iterator[ProbeItem]:
  """Asks about every query under every seed.

  Args:
    asker: of the task.
    questions: (seed, episode) -> one question per setting.

  Yields:
    One item per seed, query and setting, in this order.
  """
  for seed, query in itertools.product(asker.settings.seeds, asker.queries):
    for question in questions(seed, asker.episode(seed, query)):
      yield asker.item(seed, question)


def with_words(episode: Episode, words: tuple[str, ...]) -> Episode:
  """The episode with other label words, one per class; they may be the task's own."""
  assert len(set(words)) == len(words) == len(episode.label_words), "a word each"
  return dataclasses.replace(episode, label_words=words)


def has_shots(task: Task, shots: int) -> bool:
  """Whether every class has `shots` exemplars for any query."""
  try:
    EpisodeSource(task, Shots(minimum=shots, maximum=shots))
  except SymtuneError:
    return False
  return True


def derange(rng: np.random.Generator, size: int) -> tuple[int, ...]:
  """A uniform permutation that leaves nothing in its place; (1, 0) for two.

  Args:
    rng: draws until nothing is in place, 2.7 times on average.
    size: at least 2.
  """
  assert size >= 2, "one thing has no other place"
  places = np.arange(size)
  while True:
    drawn = rng.permutation(size)
    if not (drawn == places).any():
      return tuple(int(i) for i in drawn)
