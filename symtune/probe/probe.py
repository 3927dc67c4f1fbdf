"""Stage 10: Task -> ProbeItems -> Scores. Questions asked of a checkpoint.

A probe turns tasks into items: prompts with their choices. A scorer turns items into
log-likelihoods, one per choice. Both sides know nothing of each other, so an oracle, a
random guesser and a model on a pod are all probed alike.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from symtune.cards.card import Example, Task
from symtune.data.episodes import EVALUATION_SHOTS, Shots
from symtune.data.mixture import LabelStyle, PromptMaker
from symtune.data.prompts import Prompt
from symtune.data.rng import keyed_generator
from symtune.data.symbols import SymbolPool
from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeItem:
  """One question.

  Attributes:
    probe: name of the probe.
    setting: name of the setting inside the probe.
    task: name of the task.
    seed: seed of exemplars, format and symbols.
    query: row of the query in the task's file.
    labels: what stands for the classes.
    prompt: what is asked; its `answer` is what the exemplars demand.
    fingerprint: SHA-256 of the task's card and rows.
  """

  probe: str
  setting: str
  task: str
  seed: int
  query: int
  labels: LabelStyle
  prompt: Prompt
  fingerprint: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
  """What a scorer says of one item.

  Attributes:
    log_likelihoods: log p(choice and EOS | prompt) in nats, one per choice.
    demos: exemplars that the scorer saw; fewer than the prompt has if it was too long.
  """

  log_likelihoods: tuple[float, ...]
  demos: int


ScoreFn = Callable[[Sequence[ProbeItem]], list[Score]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeSettings:
  """What every probe needs to know.

  Attributes:
    pool: evaluation symbols, never seen in tuning.
    shots: exemplars per class; 4 in the paper.
    max_queries: queries per task, drawn at random; 100 in the paper.
    seeds: one set of exemplars, formats and symbols for each.
  """

  pool: SymbolPool
  shots: Shots = EVALUATION_SHOTS
  max_queries: int = 100
  seeds: tuple[int, ...] = (0,)

  def __post_init__(self):
    if self.max_queries < 1 or not self.seeds:
      raise SymtuneError(
        f"probe: got max_queries {self.max_queries} and seeds {self.seeds}, expected "
        f"at least one of each."
      )
    if len(set(self.seeds)) != len(self.seeds):
      raise SymtuneError(f"probe: got seeds {self.seeds}, expected each once.")


@runtime_checkable
class Probe(Protocol):
  """One question asked of a model, over one task."""

  name: str

  def accepts(self, task: Task) -> bool:
    """Whether the probe is defined for the task."""
    ...

  def items(self, task: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """Every item, in a fixed order."""
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
  """One way to ask about a query: a setting of a probe."""

  setting: str
  labels: LabelStyle
  instruction: bool


def make_items(
  probe: str, task: Task, settings: ProbeSettings, variants: Sequence[Variant]
) -> Iterator[ProbeItem]:
  """Asks about every query in every variant, seed by seed.

  Items of one seed and query share exemplars, their order and, but for the fixed one of
  instructions, the format: variants are compared in pairs. Every seed asks about the
  same queries.

  Args:
    probe: name of the probe.
    task: what is asked about.
    settings: symbols, shots and seeds.
    variants: the settings of the probe.

  Yields:
    One item per seed, query and variant, in this order.
  """
  maker = PromptMaker(task, settings.shots)
  queries = draw_queries(maker, settings.max_queries)
  for seed, query, variant in itertools.product(settings.seeds, queries, variants):
    prompt = maker.prompt(
      query,
      seed=seed,
      variant=0,
      labels=variant.labels,
      instruction=variant.instruction,
      pool=settings.pool,
    )
    yield ProbeItem(
      probe=probe,
      setting=variant.setting,
      task=task.card.name,
      seed=seed,
      query=query.row,
      labels=variant.labels,
      prompt=prompt,
      fingerprint=task.fingerprint,
    )


def draw_queries(maker: PromptMaker, max_queries: int) -> tuple[Example, ...]:
  """At most `max_queries` queries of a task, drawn at random by its fingerprint."""
  rng = keyed_generator(maker.source.task.fingerprint, "queries")
  order = rng.permutation(len(maker.queries))[:max_queries]
  return tuple(maker.queries[int(i)] for i in order)
