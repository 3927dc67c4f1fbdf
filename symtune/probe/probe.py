"""Stage 10: Task -> ProbeItems -> Scores. Questions asked of a checkpoint.

A probe turns tasks into items: prompts with their choices. A scorer turns items into
log-likelihoods, one per choice, or into generated text. Neither side knows the other,
so an oracle, a nearest-neighbour baseline and a model on a pod are probed in one way.

Every item carries two hypotheses: the choice that its exemplars imply (`context`) and
the choice that the meaning of its label words implies (`prior`). If they differ, the
answer shows which one was followed.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from symtune.cards.card import Example, Task
from symtune.data.draw.index import (
  EVALUATION_SHOTS,
  Shots,
  TaskIndex,
  index_task,
  without_groups,
)
from symtune.data.prompts import Prompt
from symtune.data.rng import keyed_generator
from symtune.data.text.symbols import SymbolPool
from symtune.errors import SymtuneError

_Query = TypeVar("_Query")

MANY_SHOTS = 16  # exemplars per class in Wei et al. 2023, arXiv 2303.03846


class AnswerKind(enum.StrEnum):
  """How a question is answered."""

  RANK = "rank"  # the likeliest choice
  GENERATE = "generate"  # greedily generated text, which has to equal a choice


class ExemplarSets(enum.StrEnum):
  """How exemplars are chosen; their order, format and symbols follow.

  "random" is another name of PER_QUERY.
  """

  PER_QUERY = "per_query"  # drawn anew for each prompt, as in the paper
  PER_SEED = "per_seed"  # all queries of a task follow one set, which is read once
  SIMILAR = "similar"  # looked up for each query: the most similar one last
  DISSIMILAR = "dissimilar"  # the least similar ones

  @classmethod
  def _missing_(cls, value: object) -> "ExemplarSets | None":
    return cls.PER_QUERY if value == "random" else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeItem:
  """One question.

  Attributes:
    probe: name of the probe.
    setting: name of the setting inside the probe.
    task: name of the task.
    seed: seed of exemplars, format and symbols.
    query: row of the query in the task's file, or number of the made question.
    prompt: what is asked; its `answer` is the right choice. An open question has its
      right answer as the only choice.
    context: choice that the exemplars imply; None if they imply none.
    prior: choice that the label words' meaning implies; None if they have no meaning.
    kind: how the question is answered.
    fingerprint: SHA-256 of what the question is made from (card and rows).
    references: for an open question, what rules without any insight would answer, one
      text for each of `made.FIXED_RULES`.
    natural: the task's own label words, where the prompt shows others and the answer
      is generated.
    shares: names of what the task has in common with other tasks (`TaskCard.shares`).
    group: name of the task's group in its suite, or None.
  """

  probe: str
  setting: str
  task: str
  seed: int
  query: int
  prompt: Prompt
  context: int | None
  prior: int | None
  kind: AnswerKind
  fingerprint: str
  references: tuple[str, ...] = ()
  natural: tuple[str, ...] = ()
  shares: tuple[str, ...] = ()
  group: str | None = None

  @property
  def key(self) -> tuple[str, str, str, int, int]:
    """The same for the same question to two checkpoints."""
    return (self.probe, self.setting, self.task, self.seed, self.query)

  @property
  def where(self) -> str:
    """The question's place, for messages."""
    return f"probe {self.probe}, task {self.task}, query row {self.query}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
  """A scorer's answer to one item.

  Attributes:
    log_likelihoods: log p(choice and EOS | prompt) in nats, one per choice; empty for
      generated text.
    tokens: number of tokens of each choice, with EOS; empty for generated text.
    text: the generated text, or None.
    exemplars: number of exemplars the scorer saw; a prompt that is too long loses some.
  """

  log_likelihoods: tuple[float, ...] = ()
  tokens: tuple[int, ...] = ()
  text: str | None = None
  exemplars: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
  """Two settings of a probe that its report compares, on the questions of both.

  Attributes:
    setting: accuracy in this setting ...
    minus: ... minus that in this one; None stands for every other setting in turn.
    reliance: the name of the difference where it says how much accuracy rests on label
      names, with which a report opens; None elsewhere.
  """

  setting: str
  minus: str | None = None
  reliance: str | None = None


ScoreFn = Callable[[Sequence[ProbeItem]], list[Score]]


@runtime_checkable
class TellsProgress(Protocol):
  """A scorer that says how far it is: one call may take an hour.

  Attributes:
    on_answered: called with the number of items that were answered since the last call.
  """

  on_answered: Callable[[int], Any]


def tell_nobody(answered: int) -> None:
  """What `TellsProgress.on_answered` is until somebody wants to know."""
  del answered


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeSettings:
  """Settings of all probes.

  Attributes:
    pool: evaluation symbols, never seen in tuning.
    shots: k, the number of exemplars per class; 4 in Wei et al. 2023 (arXiv
      2305.08298).
    many_shots: k of the probes of Wei et al. 2023 (arXiv 2303.03846), which shows 16.
      A task with fewer rows shows as many as it has.
    max_queries: largest number of queries per task, drawn at random; 100 in the paper.
    seeds: each seed gives one set of exemplars, formats and symbols; several show how
      much these matter.
    kind: how questions with several choices are answered.
    also_generate: whether probes of arXiv 2303.03846 that need it also have answers
      generated where `kind` ranks choices.
    exemplars: whether each query has its own exemplars or each seed one set of them, in
      which nothing shares a group with any query that is asked; or whether they are
      looked up (data/draw/lookup.py). Scores of one set vary together, so that PER_SEED
      needs more seeds for the same certainty.
    balanced: whether exemplars that are looked up are as many of every class.
  """

  pool: SymbolPool
  shots: Shots = EVALUATION_SHOTS
  many_shots: int = MANY_SHOTS
  max_queries: int = 100
  seeds: tuple[int, ...] = (0, 1, 2)
  kind: AnswerKind = AnswerKind.RANK
  also_generate: bool = True
  exemplars: ExemplarSets = ExemplarSets.PER_QUERY
  balanced: bool = True

  def __post_init__(self):
    if self.many_shots < 1:
      raise SymtuneError(
        f"probe: got many_shots {self.many_shots}, expected at least 1. Set "
        f"--gin.probe.many_shots."
      )
    if self.max_queries < 1 or not self.seeds:
      raise SymtuneError(
        f"probe: got max_queries {self.max_queries} and seeds {self.seeds}, expected "
        f"at least one query and one seed."
      )
    if len(set(self.seeds)) != len(self.seeds):
      raise SymtuneError(f"probe: got seeds {self.seeds}, expected each once.")

  @property
  def shares_exemplars(self) -> bool:
    """Whether all queries of a task and seed follow one set of exemplars."""
    return self.exemplars is ExemplarSets.PER_SEED

  @property
  def looks_up(self) -> bool:
    """Whether exemplars are looked up with their query."""
    return self.exemplars in (ExemplarSets.SIMILAR, ExemplarSets.DISSIMILAR)

  def queries_of(self, task: Task) -> tuple[Example, ...]:
    """At most `max_queries` queries; see `draw_queries`."""
    return draw_queries(task.queries, task.fingerprint, self.max_queries)

  def index_of(self, task: Task) -> TaskIndex:
    """The task's rows as numbers, made once however many probes ask about it."""
    if id(task) not in self._indices:
      self._indices[id(task)] = (task, self._make_index(task))
    return self._indices[id(task)][1]

  def _make_index(self, task: Task) -> TaskIndex:
    index = index_task(task)
    if not self.shares_exemplars:
      return index
    asked = {query.row for query in self.queries_of(task)}
    numbers = [n for n, example in enumerate(task.examples) if example.row in asked]
    return without_groups(index, np.asarray(numbers, np.int64))

  @functools.cached_property
  def _indices(self) -> dict[int, tuple[Task, TaskIndex]]:
    return {}  # with the task, so that no other one gets its id


@runtime_checkable
class Probe(Protocol):
  """A family of questions to a model, subject by subject.

  A probe may also declare `contrasts`, a tuple of `Compared`: the differences between
  its settings that a report shows.

  Attributes:
    name: name of the probe in tables and result rows.
  """

  name: str

  def subjects(self, tasks: Sequence[Task], settings: ProbeSettings) -> Sequence[Any]:
    """The subjects: the tasks for which the probe is defined, or its own subjects."""
    ...

  def items(self, subject: Any, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """All items about one subject, in a fixed order on which resuming relies."""
    ...


def draw_queries(
  queries: Sequence[_Query], fingerprint: str, max_queries: int
) -> tuple[_Query, ...]:
  """At most `max_queries` of a task's queries, drawn at random by its fingerprint."""
  order = keyed_generator(fingerprint, "queries").permutation(len(queries))
  return tuple(queries[int(i)] for i in order[:max_queries])


def parse_answer(text: str, choices: tuple[str, ...]) -> int | None:
  """Returns the choice that a generated text equals; None if it equals none.

  Case and white space are ignored, since T5 turns line breaks into spaces. Any other
  text before or after the choice makes it no match.

  Args:
    text: the generated text.
    choices: the possible answers; if two differ only in case, case counts.
  """
  given = " ".join(text.split())
  plain = [" ".join(choice.split()) for choice in choices]
  if given in plain:
    return plain.index(given)
  folded = [choice.casefold() for choice in plain]
  if folded.count(given.casefold()) == 1:
    return folded.index(given.casefold())
  return None
