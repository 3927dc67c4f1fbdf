"""A suite in SeqIO for decoder-only models: prompts are inputs, labels are targets.

SeqIO's DecoderFeatureConverter joins both and scores the targets alone, which are the
last label with its space and the blank line behind it. SeqIO puts a 0 in the place of
BOS, so the inputs have none; `symtune.bridges.t5x_decoder` puts it back.

Settings are the environment variables of symtune/bridges/seqio_settings.py, except for
the vocabulary, which is an argument.
"""

import functools
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import seqio
import tensorflow as tf

from symtune.bridges.seqio_settings import (
  CardKey,
  SeqioSettings,
  load_tuning_task,
  read_settings,
)
from symtune.cards.load import load_suite, read_suite
from symtune.convert.tokenizer.causal import read_causal_vocab
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.text.symbols import (
  ALL_CATEGORIES,
  PoolSplit,
  SymbolCategory,
  check_disjoint,
  make_pool,
)
from symtune.data.tokens.causal import CausalStream, CausalTokenizer
from symtune.data.tokens.tokenizer import NO_LIMIT
from symtune.errors import SymtuneError

_FEATURES = ("inputs", "targets")


def register_causal_task(
  suite: str,
  *,
  vocab: str | os.PathLike[str],
  labels: LabelStyle | str = LabelStyle.SYMBOLS,
  instruction: bool = False,
) -> str:
  """The tuning prompts of a suite for a decoder-only model, as a SeqIO task.

  It has the split "train" only. The settings are those at the time of this call.

  Args:
    suite: a suite of cards, such as "symbol_tuning_train".
    vocab: the model's folder with its tokenizer.json, or that file.
    labels: what stands for the classes.
    instruction: whether prompts carry the task's instruction.

  Returns:
    The task's registered name.

  Raises:
    SymtuneError: suite, rows or vocabulary are missing, damaged or do not fit.
  """
  settings = read_settings()
  known = read_causal_vocab(pathlib.Path(vocab))
  style = LabelStyle(labels)
  mixture = _mixture(
    suite, known, Ingredient(labels=style, instruction=instruction), settings
  )
  feature = seqio.Feature(
    seqio.PassThroughVocabulary(known.size, known.eos_id), add_eos=False
  )
  setting = f"{style}{'_instruction' if instruction else ''}"
  name = f"symtune_{suite}_{setting}_causal_{known.fingerprint[:8]}"
  task = seqio.Task(
    name,
    source=_Positions(settings.prompts),
    preprocessors=[functools.partial(_tokenize, mixture=mixture, vocab=known)],
    output_features=dict.fromkeys(_FEATURES, feature),
    metric_fns=[],
  )
  seqio.TaskRegistry.remove(name)  # one made with other settings, if there is any
  seqio.TaskRegistry.add_provider(name, task)
  return name


def vocabulary_of(name: str) -> seqio.Vocabulary:
  """The vocabulary that T5X's model needs: that of a registered task."""
  return seqio.get_mixture_or_task(name).output_features["targets"].vocabulary


def bos_of(vocab: str | os.PathLike[str]) -> int | None:
  """The id that begins each sequence, which `T5XDecoder` puts back.

  Args:
    vocab: as `register_causal_task` takes it.

  Raises:
    SymtuneError: the vocabulary is missing, damaged or not supported.
  """
  return read_causal_vocab(pathlib.Path(vocab)).bos_id


class _Positions(seqio.DataSource):
  """The places of prompts in a mixture."""

  def __init__(self, count: int):
    super().__init__(splits=("train",), caching_permitted=False)
    self._count = count

  @property
  def supports_arbitrary_sharding(self) -> bool:
    return True

  def list_shards(self, split: str) -> list[str]:
    return [split]

  def num_input_examples(self, split: str) -> int:
    del split
    return self._count

  def get_dataset(
    self,
    split: str = "train",
    shuffle: bool = True,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
    **_: object,
  ) -> tf.data.Dataset:
    del split
    dataset = tf.data.Dataset.range(self._count)
    if shard_info is not None:
      dataset = dataset.shard(shard_info.num_shards, shard_info.index)
    if shuffle:
      dataset = dataset.shuffle(self._count, seed=seed)
    return dataset.map(lambda position: {"position": position})


def _tokenize(
  dataset: tf.data.Dataset,
  sequence_length: Mapping[str, int] | None,
  *,
  mixture: Mixture,
  vocab: CausalVocab,
) -> tf.data.Dataset:
  """Positions to ids; prompts that cannot be made to fit are left out."""
  lengths = sequence_length or {}
  tokenizer = CausalTokenizer(
    vocab,
    max_inputs=lengths.get("inputs") or NO_LIMIT,
    max_targets=lengths.get("targets") or NO_LIMIT,
    min_exemplars_per_class=1,
  )
  stream = CausalStream(mixture, tokenizer)

  def make(position: np.integer) -> tuple[np.ndarray, np.ndarray]:
    return _parts(stream, vocab, int(position))

  @tf.autograph.experimental.do_not_convert
  def make_one(example):
    parts = tf.numpy_function(make, [example["position"]], [tf.int32, tf.int32])
    for part in parts:
      part.set_shape((None,))
    return dict(zip(_FEATURES, parts, strict=True))

  made = dataset.map(make_one, num_parallel_calls=tf.data.AUTOTUNE)
  return made.filter(lambda example: tf.size(example["targets"]) > 0)


def _parts(
  stream: CausalStream, vocab: CausalVocab, position: int
) -> tuple[np.ndarray, np.ndarray]:
  """Prompt without BOS, and label; both are empty if the prompt does not fit."""
  (pair,) = stream(range(position, position + 1)).pairs
  if pair is None:
    return np.zeros(0, np.int32), np.zeros(0, np.int32)
  start, first = int(vocab.bos_id is not None), int(pair.targets[0])
  inputs, targets = pair.inputs[start:first], pair.inputs[first:]
  if (inputs == 0).any() or (targets == 0).any():
    raise SymtuneError(
      f"prompt {position} contains token 0, {vocab.pieces([0])[0]!r}, expected none: "
      "SeqIO takes it for padding. Tune such a model with `symtune train`."
    )
  return inputs, targets


def _mixture(
  suite: str, vocab: CausalVocab, ingredient: Ingredient, settings: SeqioSettings
) -> Mixture:
  card = read_suite(suite)
  world = suite if card.plan is not None else None
  names = [c.name for c in card.tasks] or [
    task.card.name for task in load_suite(suite, None)
  ]
  tasks = [load_tuning_task(CardKey(name=n, suite=world), settings) for n in names]
  categories = (SymbolCategory.NONCE,) if world else ALL_CATEGORIES
  tuning, evaluation = (make_pool(split, categories) for split in PoolSplit)
  check_disjoint(tuning, evaluation, vocab)
  return Mixture([(ingredient, tasks)], tuning, seed=settings.seed)
