"""Stage 10: Task -> ProbeItems -> Scores. Questions asked of a checkpoint.

A probe turns tasks into items: prompts with their choices. A scorer turns items into
log-likelihoods, one per choice, or into generated text. Both sides know nothing of each
other, so an oracle, a nearest neighbour and a model on a pod are all probed alike.

Every item carries two hypotheses: what its exemplars demand (`context`) and what its
label words mean (`prior`). Where they differ, the answer tells which one was followed.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from symtune.cards.card import Task
from symtune.data.draw.index import EVALUATION_SHOTS, Shots
from symtune.data.prompts import Prompt
from symtune.data.text.symbols import SymbolPool
from symtune.errors import SymtuneError


class AnswerKind(enum.StrEnum):
  """How a question is answered."""

  RANK = "rank"  # the likeliest choice
  GENERATE = "generate"  # greedy text, which has to equal a choice


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeItem:
  """One question.

  Attributes:
    probe: name of the probe.
    setting: name of the setting inside the probe.
    task: name of the task.
    seed: seed of exemplars, format and symbols.
    query: row of the query in the task's file, or number of the made question.
    prompt: what is asked; its `answer` counts as right. Where only one text is known to
      be right, it is the only choice.
    context: choice that the exemplars demand; None if they demand none.
    prior: choice that the words' meaning demands; None if they mean nothing.
    kind: how it is answered.
    fingerprint: SHA-256 of what the question is made of (card and rows).
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

  @property
  def key(self) -> tuple[str, str, str, int, int]:
    """Equal for the same question asked of two checkpoints."""
    return (self.probe, self.setting, self.task, self.seed, self.query)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
  """What a scorer says of one item.

  Attributes:
    log_likelihoods: log p(choice and EOS | prompt) in nats, one per choice; empty for
      generated text.
    tokens: of each choice, with EOS; empty for generated text.
    text: what was generated, or None.
    exemplars: how many the scorer saw; fewer than the prompt has if it was too long.
  """

  log_likelihoods: tuple[float, ...] = ()
  tokens: tuple[int, ...] = ()
  text: str | None = None
  exemplars: int


ScoreFn = Callable[[Sequence[ProbeItem]], list[Score]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeSettings:
  """What every probe needs to know.

  Attributes:
    pool: evaluation symbols, never seen in tuning.
    shots: exemplars per class; 4 in the paper.
    max_queries: queries per task, drawn at random; 100 in the paper.
    seeds: one set of exemplars, formats and symbols for each; several tell how much
      these matter.
    kind: how questions with several choices are answered.
  """

  pool: SymbolPool
  shots: Shots = EVALUATION_SHOTS
  max_queries: int = 100
  seeds: tuple[int, ...] = (0, 1, 2)
  kind: AnswerKind = AnswerKind.RANK

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
  """One question asked of a model, over one subject after the other.

  Attributes:
    name: in tables and result rows.
  """

  name: str

  def subjects(self, tasks: Sequence[Task], settings: ProbeSettings) -> Sequence[Any]:
    """What it asks about: those of the tasks that it is defined for, or its own."""
    ...

  def items(self, subject: Any, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """Every item about one subject, in a fixed order: resuming relies on it."""
    ...


def parse_answer(text: str, choices: tuple[str, ...]) -> int | None:
  """The choice that a generated text is; None if it is none of them.

  Case and white space do not count: T5 turns line breaks into spaces. Anything before
  or after the choice does.

  Args:
    text: as it was generated.
    choices: what may be answered; if two differ in case alone, case counts.
  """
  given = " ".join(text.split())
  plain = [" ".join(choice.split()) for choice in choices]
  if given in plain:
    return plain.index(given)
  folded = [choice.casefold() for choice in plain]
  if folded.count(given.casefold()) == 1:
    return folded.index(given.casefold())
  return None
