"""(tasks, probes, settings) -> Inquiry: what is asked where no recipe says it."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence

from symtune.cards.card import Task
from symtune.data.draw.index import Shots
from symtune.data.draw.words import DRAWS_VERSION
from symtune.data.text.symbols import (
  ALL_CATEGORIES,
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  make_pool,
)
from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError
from symtune.experiment.tokens import Tokenizer
from symtune.probe.answer.calibrate import Calibration
from symtune.probe.answer.model_scorer import tokenize_item
from symtune.probe.catalog import make_probes
from symtune.probe.probe import (
  MANY_SHOTS,
  AnswerKind,
  ExemplarSets,
  Probe,
  ProbeSettings,
)
from symtune.probe.questions import Inquiry, Questions

# Evaluation symbols of each category: more than any probe of a few tasks draws, and few
# enough to be checked against a vocabulary at once.
POOL_SIZE = 5000


@dataclasses.dataclass(frozen=True, kw_only=True)
class AskSettings:
  """Settings of questions that no recipe describes.

  Attributes:
    shots: k, the exemplars per class.
    many_shots: the same for the probes of arXiv 2303.03846.
    max_queries: most queries per task, drawn at random.
    seeds: each draws its own exemplars, formats and symbols.
    answers: whether choices are ranked or answers generated.
    also_generate: see `ProbeSettings`.
    calibration: calibration prompts to ask.
    exemplars: whether each query or each seed has exemplars of its own, or whether they
      are looked up.
    balanced: whether exemplars that are looked up are as many of every class.
    categories: kinds of symbols; None takes all that the vocabularies know.
  """

  shots: int = 4
  many_shots: int = MANY_SHOTS
  max_queries: int = 100
  seeds: tuple[int, ...] = (0, 1, 2)
  answers: AnswerKind = AnswerKind.RANK
  also_generate: bool = True
  calibration: tuple[Calibration, ...] = ()
  exemplars: ExemplarSets = ExemplarSets.PER_QUERY
  balanced: bool = True
  categories: tuple[SymbolCategory, ...] | None = None


def make_inquiry(
  tasks: Sequence[Task],
  probes: Sequence[str | Probe],
  settings: AskSettings,
  vocabs: Sequence[Vocab],
  data_dir: pathlib.Path | None = None,
) -> Inquiry:
  """Makes the questions of some probes about some tasks, and nothing of tuning.

  Args:
    tasks: what to ask about.
    probes: names of `probe.catalog.PROBES`, or probes of one's own.
    settings: exemplars, queries, seeds, symbols.
    vocabs: vocabularies that symbols must suit, as far as they are known.
    data_dir: a local folder, for probes with data files of their own.

  Returns:
    The questions.

  Raises:
    SymtuneError: an unknown probe, two tasks of one name, no symbols that the
      vocabularies know, or a setting out of range.
  """
  names = [task.card.name for task in tasks]
  if len(set(names)) < len(names):
    raise SymtuneError(
      f"got the tasks {', '.join(names)}, two of which have one name. Give each a name "
      f"of its own."
    )
  pool = symbol_pool(vocabs, settings.categories)
  asked = ProbeSettings(
    pool=pool,
    shots=Shots(minimum=settings.shots, maximum=settings.shots),
    many_shots=settings.many_shots,
    max_queries=settings.max_queries,
    seeds=settings.seeds,
    kind=settings.answers,
    also_generate=settings.also_generate,
    exemplars=settings.exemplars,
    balanced=settings.balanced,
  )
  return Inquiry(
    questions=Questions(make_probes(probes, data_dir), tasks, asked),
    calibration=settings.calibration,
    config_hash=_hash(tasks, settings, pool),
  )


def symbol_pool(
  vocabs: Sequence[Vocab], categories: Sequence[SymbolCategory] | None = None
) -> SymbolPool:
  """Evaluation symbols of the categories whose every piece the vocabularies know.

  Args:
    vocabs: of the models that are asked; without any, all categories are taken.
    categories: takes these alone, whatever the vocabularies know.

  Raises:
    SymtuneError: no category is left.
  """
  pool = make_pool(PoolSplit.EVALUATION, categories or ALL_CATEGORIES, POOL_SIZE)
  if categories is not None:
    return pool
  known = [
    category
    for category, symbols in pool.symbols.items()
    if all(_knows(vocab, symbols) for vocab in vocabs)
  ]
  if not known:
    raise SymtuneError(
      "symbols: the models' vocabularies have no category of symbols in common whose "
      "pieces all of them know. Name categories, or ask these models apart."
    )
  return make_pool(PoolSplit.EVALUATION, known, POOL_SIZE)


def _knows(vocab: Vocab, symbols: Sequence[str]) -> bool:
  return all(
    (ids := vocab.encode_label(s)).size and vocab.unk_id not in ids for s in symbols
  )


def check_questions(inquiry: Inquiry, tokenizer: Tokenizer) -> None:
  """Refuses what a tokenizer cannot read, before anything is answered.

  Raises:
    SymtuneError: a query does not fit, or two choices have the same ids; names probe,
      task and query.
  """
  for _, items in inquiry.questions:
    for item in items:
      tokenize_item(tokenizer, item)


def _hash(tasks: Sequence[Task], settings: AskSettings, pool: SymbolPool) -> str:
  """16 hexadecimal digits; the order of the tasks and the probes do not matter."""
  about = dataclasses.asdict(settings) | {"categories": [*map(str, pool.symbols)]}
  if settings.balanced:  # this setting came later
    del about["balanced"]
  data = sorted(f"{task.fingerprint} {task.group}" for task in tasks)
  text = json.dumps([DRAWS_VERSION, about, data], sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
