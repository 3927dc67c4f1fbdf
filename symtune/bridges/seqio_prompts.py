"""The prompts of one SeqIO task, by split and index, from the native stages 2 to 5.

  split       index i is                                    symbols     exemplars
  train       prompt i of a native mixture of this one task tuning      2 to 10
  validation  question i that the native probes ask         evaluation  4

Both are pure functions of the index, so any host can build any share, and a second
pass or run reads the same prompts.
"""

import dataclasses
import functools

from symtune.bridges.seqio_settings import (
  CardKey,
  SeqioSettings,
  load_pool,
  load_task,
  load_tuning_task,
  load_vocab,
  read_settings,
)
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.prompts import Prompt
from symtune.data.remap import with_words
from symtune.data.text.symbols import PoolSplit
from symtune.data.tokens.tokenizer import EncodedPrompt, PromptTokenizer
from symtune.probe.ask import Asker, Question
from symtune.probe.probe import ProbeSettings

TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)
# Exemplars per class that a tuning prompt keeps even if it is too long; a question may
# lose all its exemplars, as in the native probes.
MIN_EXEMPLARS = {TRAIN: 1, VALIDATION: 0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexedPrompt:
  """A prompt of a split.

  Attributes:
    prompt: as text.
    encoded: as ids, before exemplars are dropped to fit.
    query: row of the query in the task's file; -1 in the train split.
  """

  prompt: Prompt
  encoded: EncodedPrompt
  query: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskPrompts:
  """One card in one setting; rows and vocabulary are read on first use.

  Attributes:
    key: the card.
    labels: natural words, symbols or flipped words.
    instruction: whether prompts carry the task's instruction.
  """

  key: CardKey
  labels: LabelStyle
  instruction: bool

  def count(self, split: str) -> int:
    """The number of prompts in a split.

    Raises:
      SymtuneError: rows are missing or damaged.
    """
    settings = read_settings()
    if split == TRAIN:
      return settings.prompts
    return len(_asker(self.key, settings).queries)

  def prepare(self, split: str) -> None:
    """Reads everything that the prompts of a split need.

    Raises:
      SymtuneError: rows, vocabulary or symbols are missing, damaged or do not fit.
    """
    settings = read_settings()
    if split == TRAIN:
      _mixture(self, settings)
    else:
      _asker(self.key, settings)
    _tokenizer(self.key, settings)

  def prompt(self, split: str, index: int) -> IndexedPrompt:
    """Prompt number `index` (0-based) of a split.

    Raises:
      SymtuneError: rows, vocabulary or symbols are missing, damaged or do not fit.
    """
    settings = read_settings()
    query = -1
    if split == TRAIN:
      prompt = _mixture(self, settings).prompt(index)
    else:
      query, prompt = self._question(settings, index)
    encoded = _tokenizer(self.key, settings).encode(prompt)
    return IndexedPrompt(prompt=prompt, encoded=encoded, query=query)

  def num_choices(self) -> int:
    """The number of classes of the task."""
    return len(load_task(self.key, read_settings()).card.labels)

  def _question(self, settings: SeqioSettings, index: int) -> tuple[int, Prompt]:
    asker = _asker(self.key, settings)
    query = asker.queries[index]
    episode = asker.episode(settings.seed, query)
    if self.labels is LabelStyle.SYMBOLS:
      episode = asker.with_symbols(episode, settings.seed)
    elif self.labels is LabelStyle.FLIPPED:
      episode = with_words(episode, episode.label_words[::-1])
    question = Question(
      setting=str(self.labels),
      episode=episode,
      context=None,
      prior=None,
      instruction=self.instruction,
    )
    return query.row, asker.item(settings.seed, question).prompt


@functools.cache
def _mixture(prompts: TaskPrompts, settings: SeqioSettings) -> Mixture:
  ingredient = Ingredient(labels=prompts.labels, instruction=prompts.instruction)
  task = load_tuning_task(prompts.key, settings)
  pool = load_pool(prompts.key, PoolSplit.TUNING, settings)
  return Mixture([(ingredient, (task,))], pool, seed=settings.seed)


@functools.cache
def _asker(key: CardKey, settings: SeqioSettings) -> Asker:
  """Asks the questions of the native probes."""
  task = load_task(key, settings)
  asked = ProbeSettings(
    pool=load_pool(key, PoolSplit.EVALUATION, settings),
    max_queries=settings.max_queries,
    seeds=(settings.seed,),
  )
  return Asker("seqio", task, asked)


@functools.cache
def _tokenizer(key: CardKey, settings: SeqioSettings) -> PromptTokenizer:
  return PromptTokenizer(load_vocab(key, settings))
