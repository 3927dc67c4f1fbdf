"""What SeqIO tasks are made of: settings, rows, vocabulary and symbols.

SeqIO imports a module by name and asks it for tasks, so settings cannot be arguments.
They are environment variables, read when a dataset is built. SYMTUNE_VOCAB is the
exception: features hold their vocabulary, so set it before importing the tasks.

  SYMTUNE_DATA              folder of <rows>.jsonl, local or gs://; microworld: none
  SYMTUNE_VOCAB             SentencePiece model, local or gs://; T5's own unless set
  SYMTUNE_SEED              root seed of every prompt; 0
  SYMTUNE_PROMPTS           tuning prompts of a task before they repeat; 50000
  SYMTUNE_MAX_QUERIES       evaluation queries of a task; 100, as in the paper
  SYMTUNE_EVALUATION_SUITE  tuning leaves out rows with a text of this suite, or "none";
                            symbol_tuning_eval
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping

import seqio
import tensorflow as tf

from symtune.cards.card import Task
from symtune.cards.examples import read_task
from symtune.cards.load import load_card, load_suite, read_suite
from symtune.cards.resources import resource_dir
from symtune.convert.model_folder import list_added
from symtune.convert.tokenizer.read import read_t5_vocab
from symtune.data.limits import DEFAULT_OVERLAP
from symtune.data.text.leaks import (
  LeakPolicy,
  apply_policy,
  find_leaks,
)
from symtune.data.text.symbols import (
  ALL_CATEGORIES,
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  check_disjoint,
  make_pool,
)
from symtune.data.text.vocab import SentencePieceVocab
from symtune.errors import SymtuneError
from symtune.files import cache_folder

# T5X's own vocabulary (t5x/examples/t5/t5_1_1/base.gin).
T5_VOCAB = "gs://t5-data/vocabs/cc_all.32000.100extra/sentencepiece.model"
# Its 100 sentinels are pieces. Noted here so that importing the tasks reads no bucket.
_KNOWN_EXTRA_IDS = {T5_VOCAB: 0}
MICROWORLD_EVALUATION = "microworld_eval"
_MICROWORLD_VOCAB = "microworld/vocab.model"
# The microworld's vocabulary has no pieces for words outside the microworld.
_MICROWORLD_SYMBOLS = (SymbolCategory.NONCE,)
_NO_SUITE = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardKey:
  """Where a task's card and rows come from.

  Attributes:
    name: name of the card.
    suite: the microworld suite that generates it; None for a card of `tasks/`.
  """

  name: str
  suite: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeqioSettings:
  """The environment variables above, parsed.

  Attributes:
    data: folder of rows, or None.
    vocab: SentencePiece model, or None for the default.
    seed: root seed of every prompt.
    prompts: tuning prompts of a task before they repeat.
    max_queries: evaluation queries of a task.
    evaluation_suite: suite whose texts must not appear in tuning, or None.
  """

  data: str | None
  vocab: str | None
  seed: int
  prompts: int
  max_queries: int
  evaluation_suite: str | None


def read_settings(environment: Mapping[str, str] | None = None) -> SeqioSettings:
  """Settings from environment variables.

  Args:
    environment: `os.environ` when None.

  Returns:
    The settings.

  Raises:
    SymtuneError: a value is not a whole number, or is too small.
  """
  values = os.environ if environment is None else environment
  suite = values.get("SYMTUNE_EVALUATION_SUITE", "symbol_tuning_eval")
  return SeqioSettings(
    data=values.get("SYMTUNE_DATA") or None,
    vocab=values.get("SYMTUNE_VOCAB") or None,
    seed=_whole_number(values, "SYMTUNE_SEED", 0, minimum=0),
    prompts=_whole_number(values, "SYMTUNE_PROMPTS", 50_000, minimum=1),
    max_queries=_whole_number(values, "SYMTUNE_MAX_QUERIES", 100, minimum=1),
    evaluation_suite=None if suite == _NO_SUITE else suite,
  )


def _whole_number(
  values: Mapping[str, str], name: str, default: int, *, minimum: int
) -> int:
  text = values.get(name, str(default))
  if not text.isdecimal() or int(text) < minimum:
    raise SymtuneError(
      f"{name}: got {text!r}, expected a whole number of at least {minimum}."
    )
  return int(text)


def make_vocabulary(key: CardKey) -> seqio.SentencePieceVocabulary:
  """The SeqIO vocabulary of a task.

  Raises:
    SymtuneError: the file is missing or is not a SentencePiece model with T5's ids;
      T5's own is read on first use only.
  """
  path = _vocab_path(key, read_settings().vocab)
  return seqio.SentencePieceVocabulary(path, extra_ids=_extra_ids(path))


def load_vocab(key: CardKey, settings: SeqioSettings) -> SentencePieceVocab:
  """The same vocabulary, in the form that the pipeline uses.

  Raises:
    SymtuneError: the file is missing or is not a SentencePiece model with T5's ids.
  """
  return _read_vocab(_vocab_path(key, settings.vocab))


def load_task(key: CardKey, settings: SeqioSettings) -> Task:
  """A card with its rows.

  Raises:
    SymtuneError: rows are missing or damaged, or SYMTUNE_DATA is not set.
  """
  if key.suite is not None:
    return _load_microworld(key.suite)[key.name]
  return _read_task(key.name, _data_dir(key, settings))


def load_tuning_task(key: CardKey, settings: SeqioSettings) -> Task:
  """A card with its rows, except those whose text is also in an evaluation task.

  Raises:
    SymtuneError: the task is itself in the evaluation suite, or rows are missing.
  """
  suite = MICROWORLD_EVALUATION if key.suite else settings.evaluation_suite
  if suite is None:
    return load_task(key, settings)
  if key.name in _suite_names(suite):
    raise SymtuneError(
      f"task {key.name} is in the evaluation suite {suite}: tuning on it would make "
      f"every probe of it worthless. Read its split 'validation', or set "
      f"SYMTUNE_EVALUATION_SUITE to another suite or to 'none'."
    )
  return _without_leaks(key, suite, settings)


def load_pool(key: CardKey, split: PoolSplit, settings: SeqioSettings) -> SymbolPool:
  """The symbols of one side of the held-out split.

  Raises:
    SymtuneError: tuning and evaluation symbols tokenize alike in this vocabulary.
  """
  pools = _checked_pools(
    _MICROWORLD_SYMBOLS if key.suite else ALL_CATEGORIES,
    _vocab_path(key, settings.vocab),
  )
  return pools[split]


def _vocab_path(key: CardKey, path: str | None) -> str:
  if path is None and key.suite is not None:
    return str(resource_dir("tasks") / _MICROWORLD_VOCAB)
  return path or T5_VOCAB


def _extra_ids(path: str) -> int:
  """Number of sentinels to add above the pieces; some models have them already."""
  known = _KNOWN_EXTRA_IDS.get(path)
  return _read_vocab(path).extra_ids if known is None else known


def _data_dir(key: CardKey, settings: SeqioSettings) -> str:
  if settings.data is None:
    raise SymtuneError(
      f"task {key.name} needs rows, but no data folder was given: set SYMTUNE_DATA to "
      f"the folder of the <rows>.jsonl files (--data of `symtune t5x`)."
    )
  return settings.data


@functools.cache
def _read_vocab(path: str) -> SentencePieceVocab:
  vocab = read_t5_vocab(_local_copy(path))
  if vocab.added:
    raise SymtuneError(
      f"{path}: tokens were added to it ({list_added(vocab.added)}), which SeqIO's "
      "vocabularies do not know. Train with `symtune train`, or use a vocabulary "
      "without added tokens."
    )
  return vocab


@functools.cache
def _read_task(name: str, data_dir: str) -> Task:
  card = load_card(name)
  rows = _local_copy(f"{data_dir.rstrip('/')}/{card.rows}.jsonl")
  return read_task(card, rows.parent)


@functools.cache
def _load_microworld(suite: str) -> dict[str, Task]:
  return {task.card.name: task for task in load_suite(suite, None)}


@functools.cache
def _suite_names(suite: str) -> frozenset[str]:
  cards = read_suite(suite).tasks
  return frozenset(c.name for c in cards) or frozenset(_load_microworld(suite))


@functools.cache
def _without_leaks(key: CardKey, suite: str, settings: SeqioSettings) -> Task:
  task = load_task(key, settings)
  kind = None if key.suite is None else suite
  others = [
    load_task(CardKey(name=name, suite=kind), settings)
    for name in sorted(_suite_names(suite))
  ]
  # As in the recipes: the microworld's short texts differ by construction.
  overlap = DEFAULT_OVERLAP if key.suite is None else None
  leaks = find_leaks([task], others, overlap=overlap)
  return apply_policy([task], leaks, LeakPolicy.DROP)[0]


@functools.cache
def _checked_pools(
  categories: tuple[SymbolCategory, ...], vocab_path: str
) -> dict[PoolSplit, SymbolPool]:
  pools = {split: make_pool(split, categories) for split in PoolSplit}
  vocab = _read_vocab(vocab_path)
  check_disjoint(pools[PoolSplit.TUNING], pools[PoolSplit.EVALUATION], vocab)
  return pools


def _local_copy(path: str) -> pathlib.Path:
  """A local file itself; for one in a bucket, a copy made once per version."""
  if "://" not in path:
    return pathlib.Path(path)
  folder, name = path.rsplit("/", 1)
  try:
    found = tf.io.gfile.stat(path)
    version = f"{folder} {found.length} {found.mtime_nsec}"
    key = hashlib.sha256(version.encode()).hexdigest()[:16]
    target = cache_folder(key) / name
    if not target.exists():
      partial = target.with_name(f".{name}.{os.getpid()}")
      tf.io.gfile.copy(path, str(partial), overwrite=True)
      partial.replace(target)
  except tf.errors.OpError as error:
    raise SymtuneError(f"{path} cannot be read: {error.message}") from error
  return target
