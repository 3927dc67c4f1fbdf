"""SeqIO's source and preprocessors: index -> whole prompt -> model features.

  PromptSource     {split, index, choice}: cheap, and split among hosts in any way
  render_prompts   stages 2 to 5 up to ids; what `seqio_cache_tasks` stores
  fit_prompts      drops whole exemplars until the prompt fits `sequence_length`

SeqIO would truncate a long prompt at its end, where the query stands, and keep the
label. fit_prompts runs before that and drops exemplars instead.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
from absl import logging

from symtune.bridges.seqio_prompts import MIN_EXEMPLARS, SPLITS, TRAIN, TaskPrompts
from symtune.data.text.vocab import Vocab
from symtune.data.tokens.tokenizer import (
  EncodedPrompt,
  PromptTokenizer,
  PromptTooLongError,
)

# Files of a cached split, hence the most workers that can build it at once.
NUM_SHARDS = 16
ANSWER = -1  # stands for the right choice
_RENDERED = {
  "inputs_pretokenized": tf.TensorSpec((), tf.string),
  "targets_pretokenized": tf.TensorSpec((), tf.string),
  "turn_ids": tf.TensorSpec((None,), tf.int32),
  "turn_lengths": tf.TensorSpec((None,), tf.int32),
  "exemplar_labels": tf.TensorSpec((None,), tf.int32),
  "choice_ids": tf.TensorSpec((None,), tf.int32),
  "choice_lengths": tf.TensorSpec((None,), tf.int32),
  "answer": tf.TensorSpec((), tf.int32),
  "choice": tf.TensorSpec((), tf.int32),
  "query": tf.TensorSpec((), tf.int32),
  "split": tf.TensorSpec((), tf.int32),
}


class PromptSource(seqio.DataSource):
  """The indices of a task's prompts; the rows behind them are read on first use."""

  def __init__(
    self,
    prompts: TaskPrompts,
    splits: Sequence[str] = SPLITS,
    every_choice: bool = False,
  ):
    """Names the splits.

    Args:
      prompts: what the indices stand for.
      splits: "train", "validation" or both.
      every_choice: makes one element for each choice of a prompt, for rank
        classification, instead of one for the right answer.
    """
    super().__init__(splits=splits)
    self.prompts = prompts
    self._every_choice = every_choice

  @property
  def supports_arbitrary_sharding(self) -> bool:
    """True, since a host takes every n-th element."""
    return True

  def list_shards(self, split: str) -> list[str]:
    """Names of the parts that offline caching processes in parallel."""
    return [f"{split}-{i:02d}-of-{NUM_SHARDS}" for i in range(NUM_SHARDS)]

  def num_input_examples(self, split: str) -> int:
    """The number of elements in a split."""
    choices = self.prompts.num_choices() if self._every_choice else 1
    return self.prompts.count(split) * choices

  def get_dataset(
    self,
    split: str = TRAIN,
    shuffle: bool = True,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
    *,
    sequence_length: Mapping[str, int] | None = None,
    use_cached: bool = False,
    num_epochs: int | None = 1,
  ) -> tf.data.Dataset:
    """Elements {split, index, choice} of this host's share.

    Args:
      split: "train" or "validation".
      shuffle: whether to shuffle the whole share.
      seed: seed of the shuffling; None draws one.
      shard_info: this host's share; None takes everything.
      sequence_length: not used.
      use_cached: not used.
      num_epochs: not used; SeqIO repeats the result.

    Returns:
      The dataset.
    """
    del sequence_length, use_cached, num_epochs
    # Done here, not in a thread of the dataset, so that errors keep their message.
    self.prompts.prepare(split)
    total = self.num_input_examples(split)
    choices = self.prompts.num_choices() if self._every_choice else 1
    dataset = tf.data.Dataset.range(total)
    if shard_info is not None:
      dataset = dataset.shard(shard_info.num_shards, shard_info.index)
    if shuffle:
      dataset = dataset.shuffle(total, seed=seed)
    split_id = SPLITS.index(split)
    return dataset.map(
      lambda i: {
        "split": tf.constant(split_id, tf.int32),
        "index": i // choices,
        "choice": tf.cast(i % choices, tf.int32) if self._every_choice else ANSWER,
      }
    )


def render_prompts(
  prompts: TaskPrompts,
) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
  """The preprocessor that turns indices into the ids of whole prompts."""

  def render(split: np.integer, index: np.integer, choice: np.integer):
    found = prompts.prompt(SPLITS[int(split)], int(index))
    encoded, prompt = found.encoded, found.prompt
    shown = prompt.answer if choice == ANSWER else int(choice)
    return (
      np.asarray(prompt.inputs.encode("utf-8"), object),
      np.asarray(prompt.choices[shown].encode("utf-8"), object),
      np.concatenate(encoded.turns).astype(np.int32),
      np.asarray([len(turn) for turn in encoded.turns], np.int32),
      np.asarray(encoded.exemplar_labels, np.int32),
      np.concatenate(encoded.choices).astype(np.int32),
      np.asarray([len(ids) for ids in encoded.choices], np.int32),
      np.int32(encoded.answer),
      np.int32(shown),
      np.int32(found.query),
      np.int32(split),
    )

  @tf.autograph.experimental.do_not_convert
  def render_one(example):
    arguments = [example["split"], example["index"], example["choice"]]
    return _numpy_map(render, arguments, _RENDERED)

  def render_prompts_step(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset.map(render_one, num_parallel_calls=tf.data.AUTOTUNE)

  return render_prompts_step


def fit_prompts(
  load_vocab: Callable[[], Vocab],
) -> Callable[..., tf.data.Dataset]:
  """The preprocessor that shortens prompts to fit and makes their final features.

  A tuning prompt that does not fit with one exemplar per class is left out and logged;
  an evaluation prompt that does not fit even without exemplars is an error.

  Args:
    load_vocab: returns the vocabulary whose EOS ends every sequence.
  """

  def fit_prompts_step(
    dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
  ) -> tf.data.Dataset:
    most = np.iinfo(np.int32).max
    vocab = load_vocab()

    def fit(*arrays: Any):
      return _fit(vocab, *arrays)

    lengths = sequence_length or {}
    limits = [lengths.get("inputs") or most, lengths.get("targets") or most]

    @tf.autograph.experimental.do_not_convert
    def fit_one(example):
      arrays = [tf.constant(limits, tf.int32), *(example[name] for name in _RENDERED)]
      made = _numpy_map(
        fit,
        arrays,
        {name: tf.TensorSpec((None,), tf.int32) for name in ("inputs", "targets")},
      )
      kept = (
        "inputs_pretokenized",
        "targets_pretokenized",
        "answer",
        "choice",
        "query",
      )
      return {**made, **{name: example[name] for name in kept}}

    fitted = dataset.map(fit_one, num_parallel_calls=tf.data.AUTOTUNE)
    return fitted.filter(lambda example: tf.size(example["inputs"]) > 0)

  return fit_prompts_step


def _fit(
  vocab: Vocab, limits: np.ndarray, *arrays: Any
) -> tuple[np.ndarray, np.ndarray]:
  max_inputs, max_targets = (int(limit) for limit in limits)
  row = dict(zip(_RENDERED, arrays, strict=True))
  encoded = _encoded(row)
  split = SPLITS[int(row["split"])]
  tokenizer = PromptTokenizer(
    vocab,
    max_inputs=max_inputs,
    max_targets=max_targets,
    min_exemplars_per_class=MIN_EXEMPLARS[split],
  )
  try:
    fitted = tokenizer.fit(encoded)
  except PromptTooLongError as error:
    if split != TRAIN:
      raise
    logging.warning("left out of tuning: %s", error)
    return np.zeros(0, np.int32), np.zeros(0, np.int32)
  return fitted.inputs, fitted.choices[int(row["choice"])]


def _encoded(row: Mapping[str, Any]) -> EncodedPrompt:
  turns = np.split(row["turn_ids"], np.cumsum(row["turn_lengths"])[:-1])
  choices = np.split(row["choice_ids"], np.cumsum(row["choice_lengths"])[:-1])
  return EncodedPrompt(
    turns=tuple(turns),
    exemplar_labels=tuple(int(label) for label in row["exemplar_labels"]),
    choices=tuple(choices),
    answer=int(row["answer"]),
    start=bytes(row["inputs_pretokenized"])[:60].decode("utf-8", errors="replace"),
  )


@tf.autograph.experimental.do_not_convert
def _numpy_map(
  function: Callable, inputs: Sequence[tf.Tensor], specs: Mapping[str, tf.TensorSpec]
) -> dict[str, tf.Tensor]:
  """Runs a NumPy function inside a dataset; names the results and sets their ranks."""
  values = tf.numpy_function(function, inputs, [s.dtype for s in specs.values()])
  for value, spec in zip(values, specs.values(), strict=True):
    value.set_shape(spec.shape)
  return dict(zip(specs, values, strict=True))
