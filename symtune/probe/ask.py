"""(Task, ProbeSettings) -> ProbeItems: what probes of classification tasks share.

Exemplars, their order, format and symbols depend on (seed, task, query) alone, so the
settings of a probe differ only in what the probe varies: comparisons are paired.
"""

import abc
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np

from symtune.cards.card import Example, Task
from symtune.data.draw.draw import Asked, Drawn, draw, read_draw
from symtune.data.draw.index import Shots, TaskIndex, check_shots, most_shots
from symtune.data.draw.lookup import ExemplarIndex, Likeness
from symtune.data.draw.tables import DrawTables, Entry
from symtune.data.episodes import Episode
from symtune.data.ingredients import Ingredient
from symtune.data.prompts import ALL_FORMATS, PromptFormat, render_prompt
from symtune.data.remap import LabelMap, remap_labels
from symtune.data.rng import keyed_generator, stream_key
from symtune.data.text.symbols import SymbolCategory
from symtune.errors import SymtuneError
from symtune.probe.probe import (
  AnswerKind,
  Compared,
  ExemplarSets,
  ProbeItem,
  ProbeSettings,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
  """An episode and what it is meant to show.

  Attributes:
    setting: name of the setting inside the probe.
    episode: exemplars, query and label words.
    context: choice that the exemplars imply, or None.
    prior: choice that the meaning of the words implies, or None.
    instruction: whether turns carry the task's instruction.
    prompt_format: the format; None draws one.
    input_text: gives an example's text; None takes the card's template.
    kind: how it is answered; None takes that of the settings.
  """

  setting: str
  episode: Episode
  context: int | None
  prior: int | None
  instruction: bool = False
  prompt_format: PromptFormat | None = None
  input_text: Callable[[Example], str] | None = None
  kind: AnswerKind | None = None


# Stands for the row of a query in what is drawn for all queries of a seed.
EVERY_QUERY = 0


class Asker:
  """Draws a task's queries, episodes and symbols, and renders questions."""

  def __init__(
    self,
    probe: str,
    task: Task,
    settings: ProbeSettings,
    shots: Shots | None = None,
  ):
    """Indexes the task; raises SymtuneError if a class has too few exemplars."""
    self._probe = probe
    self.task = task
    self.settings = settings
    self._shots = shots or settings.shots
    self._index = settings.index_of(task)
    _check_shots(self._index, task, self._shots, settings)
    self._tables: dict[SymbolCategory | None, DrawTables] = {}
    self._drawn: dict[tuple[int, SymbolCategory | None, int], Drawn] = {}

  @functools.cached_property
  def queries(self) -> tuple[Example, ...]:
    """The queries that are asked."""
    return self.settings.queries_of(self.task)

  def episode(self, seed: int, query: Example) -> Episode:
    """The exemplars of (seed, query), with the task's own label words."""
    return self._draw(seed, query).episode

  def rng(self, seed: int, query: Example, use: str) -> np.random.Generator:
    """A generator keyed with (seed, task, query) and one use.

    The query does not count where all queries of a seed follow the same exemplars: what
    is drawn changes exemplars.
    """
    row = EVERY_QUERY if self.settings.shares_exemplars else query.row
    return question_generator(seed, self.task.fingerprint, row, use)

  def with_symbols(
    self, episode: Episode, seed: int, category: SymbolCategory | None = None
  ) -> Episode:
    """The episode with evaluation symbols for labels.

    Args:
      episode: an episode of this task.
      seed: seed of the symbols.
      category: draws from this category alone; None draws from all.
    """
    drawn = self._draw(seed, episode.query, category)
    return remap_labels(episode, LabelMap(symbols=drawn.label_words))

  def item(self, seed: int, question: Question) -> ProbeItem:
    """Renders a question; the right answer is the query's class."""
    query, own = question.episode.query, self.task.card.labels
    kind = question.kind or self.settings.kind
    prompt = render_prompt(
      question.episode,
      question.prompt_format or self._draw(seed, query).prompt_format,
      instruction=question.instruction,
      input_text=question.input_text,
    )
    shows_own = bool(set(own) & set(prompt.choices))
    return ProbeItem(
      probe=self._probe,
      setting=question.setting,
      task=self.task.card.name,
      seed=seed,
      query=query.row,
      prompt=prompt,
      context=question.context,
      prior=question.prior,
      kind=kind,
      fingerprint=self.task.fingerprint,
      natural=own if kind is AnswerKind.GENERATE and not shows_own else (),
      shares=self.task.card.shares,
      group=self.task.group,
    )

  def _draw(
    self, seed: int, query: Example, category: SymbolCategory | None = None
  ) -> Drawn:
    """The draw of (seed, query); all queries of a seed are drawn at once."""
    key = (seed, category, query.row)
    if key not in self._drawn:
      self._draw_queries(seed, category)
    return self._drawn[key]

  def _draw_queries(self, seed: int, category: SymbolCategory | None) -> None:
    if category not in self._tables:
      self._tables[category] = self._make_tables(category)
    tables = self._tables[category]
    numbers = {e.row: number for number, e in enumerate(self.task.examples)}
    rows = sorted(query.row for query in self.queries)
    # At one position everything is drawn alike, since no query's group has exemplars.
    positions = [EVERY_QUERY] * len(rows) if self.settings.shares_exemplars else rows
    asked = Asked(
      positions=np.asarray(positions, np.int64),
      entries=np.zeros(len(rows), np.int64),
      queries=np.asarray([numbers[row] for row in rows], np.int64),
    )
    draws = draw(tables, stream_key(seed, self.task.fingerprint), asked)
    for number, row in enumerate(rows):
      drawn = read_draw(tables, draws, number, self.task)
      self._drawn[seed, category, row] = drawn

  def _make_tables(self, category: SymbolCategory | None) -> DrawTables:
    settings, shots = self.settings, self._shots
    is_dissimilar = settings.exemplars is ExemplarSets.DISSIMILAR
    entry = Entry(
      card=self.task.card,
      index=self._index,
      settings=Ingredient(
        min_shots=shots.minimum,
        max_shots=shots.maximum,
        retrieved=float(settings.looks_up),
        likeness=Likeness.DISSIMILAR if is_dissimilar else Likeness.SIMILAR,
        balanced=settings.balanced,
      ),
      pool=settings.pool if category is None else settings.pool.only(category),
      formats=ALL_FORMATS,
      lookup=self._lookup,
    )
    return DrawTables([entry])

  @functools.cached_property
  def _lookup(self) -> ExemplarIndex | None:
    return ExemplarIndex(self.task, self._index) if self.settings.looks_up else None


def _check_shots(
  index: TaskIndex, task: Task, shots: Shots, settings: ProbeSettings
) -> None:
  try:
    check_shots(index, task.card, shots)
  except SymtuneError as error:
    if not settings.shares_exemplars:
      raise
    raise SymtuneError(
      f"{error} With probe.exemplars 'per_seed', rows that share a text with any of "
      f"the {len(settings.queries_of(task))} queries are left out of the exemplars: "
      "ask fewer (--gin.probe.max_queries), or draw exemplars for each query "
      "(--gin.probe.exemplars per_query)."
    ) from error


class TaskProbe(abc.ABC):
  """A probe that asks the same questions about every query of a task."""

  name: ClassVar[str]
  contrasts: ClassVar[tuple[Compared, ...]] = ()

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Every task."""
    del settings
    return tuple(tasks)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed, query and question, in this order."""
    asker = Asker(self.name, subject, settings, self.shots(subject, settings))
    return ask_each(asker, functools.partial(self.questions, asker))

  def shots(self, task: Task, settings: ProbeSettings) -> Shots:
    """The number of exemplars per class of a task."""
    del task
    return settings.shots

  @abc.abstractmethod
  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """What is asked about an episode's query, one question per setting."""
    ...


class ManyShotsProbe(TaskProbe):
  """A task probe of Wei et al. 2023 (arXiv 2303.03846): many exemplars, one format.

  Questions have to take `prompt_format`, the paper's template; its appendix B.4 finds
  little difference between templates.
  """

  prompt_format: ClassVar[PromptFormat] = PromptFormat.INPUT_OUTPUT

  def shots(self, task: Task, settings: ProbeSettings) -> Shots:
    """`settings.many_shots`, or as many as every query of the task can be shown."""
    most = most_shots(settings.index_of(task))
    # A task without any is refused later, by name.
    count = max(1, min(settings.many_shots, most))
    return Shots(minimum=count, maximum=count)


def with_generated(
  questions: Sequence[Question], settings: ProbeSettings
) -> list[Question]:
  """Questions, and then the same to be answered by generating.

  Ranking takes the likeliest choice, however unlikely it is. Only a generated answer
  shows a model that would not give any of the labels.

  Args:
    questions: to be answered as the settings say.
    settings: if they say that all answers are generated, nothing is added; nor if
      `also_generate` is off.
  """
  if settings.kind is AnswerKind.GENERATE or not settings.also_generate:
    return list(questions)
  again = [
    dataclasses.replace(
      question, setting=f"{question.setting}, generated", kind=AnswerKind.GENERATE
    )
    for question in questions
  ]
  return [*questions, *again]


def question_generator(
  seed: int, fingerprint: str, query: int, use: str
) -> np.random.Generator:
  """A generator for the question about a query, for draws that only one probe makes.

  Args:
    seed: seed of the question.
    fingerprint: fingerprint of the task.
    query: row of the query in the task's file, or `EVERY_QUERY`.
    use: what is drawn.
  """
  return keyed_generator(seed, fingerprint, query, use)


def ask_each(
  asker: Asker, questions: Callable[[int, Episode], Sequence[Question]]
) -> Iterator[ProbeItem]:
  """Asks about every query under every seed.

  Args:
    asker: asks about the task.
    questions: (seed, episode) -> one question per setting.

  Yields:
    One item per seed, query and setting, in this order.
  """
  for seed, query in itertools.product(asker.settings.seeds, asker.queries):
    for question in questions(seed, asker.episode(seed, query)):
      yield asker.item(seed, question)


def derange(rng: np.random.Generator, size: int) -> tuple[int, ...]:
  """A uniform permutation that leaves nothing in its place; (1, 0) for two.

  Args:
    rng: draws permutations until one qualifies, 2.7 times on average.
    size: at least 2.
  """
  assert size >= 2, "a single item cannot be moved"
  places = np.arange(size)
  while True:
    drawn = rng.permutation(size)
    if not (drawn == places).any():
      return tuple(int(i) for i in drawn)
