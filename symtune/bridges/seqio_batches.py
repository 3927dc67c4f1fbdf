"""SeqIO mixture -> Batch: the native engine can train on the data that T5X reads."""

import functools
from typing import Any

import numpy as np
import seqio

from symtune.data.batches.batch import Batch, HostShard
from symtune.data.batches.windows import BatchShape
from symtune.errors import SymtuneError


class SeqioBatches:
  """An endless iterator of batches whose position can be saved and restored.

  SeqIO shuffles, mixes and packs. It cannot seek, so restoring a position means reading
  everything before it.
  """

  def __init__(
    self,
    mixture: str | seqio.Task | seqio.Mixture,
    shape: BatchShape,
    *,
    seed: int,
    shard: HostShard | None = None,
    use_cached: bool = False,
  ):
    """Starts at the beginning of the stream.

    Args:
      mixture: a registered name, a task or a mixture; its split "train" is read.
      shape: sizes and packing; `window` is ignored, since SeqIO packs by itself.
      seed: of shuffling and mixing.
      shard: this host's share of every batch; None takes all of it. Hosts read
        different prompts, so the batches depend on the number of hosts.
      use_cached: whether to read what `seqio_cache_tasks` stored.

    Raises:
      SymtuneError: an unknown name, or a batch that does not divide among the hosts.
    """
    shard = shard or HostShard()
    if shape.batch_size % shard.count:
      raise SymtuneError(
        f"batches: got {shape.batch_size} rows for {shard.count} hosts, expected a "
        f"multiple. Change batch_size."
      )
    self._lengths = {"inputs": shape.input_length, "targets": shape.target_length}
    self._open = functools.partial(
      _find(mixture).get_dataset,
      self._lengths,
      split="train",
      shuffle=True,
      seed=seed,
      num_epochs=None,
      use_cached=use_cached,
      shard_info=seqio.ShardInfo(index=shard.index, num_shards=shard.count),
    )
    self._rows = shape.batch_size // shard.count
    self._is_packed = shape.pack
    self._restart()

  def __iter__(self) -> "SeqioBatches":
    return self

  def __next__(self) -> Batch:
    batch = next(self._iterator)
    self._position += 1
    if not self._is_packed:
      batch = {**batch, **_one_prompt_a_row(batch)}
    return Batch(**{name: np.asarray(value, np.int32) for name, value in batch.items()})

  def get_state(self) -> dict[str, Any]:
    """The number of batches read, for a checkpoint."""
    return {"batches": self._position}

  def set_state(self, state: dict[str, Any]) -> None:
    """Reads from the start up to a position that `get_state` returned.

    Raises:
      SymtuneError: it is no such position.
    """
    batches = state.get("batches")
    if type(batches) is not int or batches < 0:
      raise SymtuneError(
        f"data position: got {state!r:.200}, expected a whole number of batches. The "
        "checkpoint is damaged: remove it to resume from an older one."
      )
    self._restart()
    for _ in range(batches):
      next(self)

  def _restart(self) -> None:
    # A new dataset each time: TensorFlow reshuffles a dataset that is read again.
    convert = seqio.EncDecFeatureConverter(pack=self._is_packed)
    rows = convert(self._open(), self._lengths)
    batches = rows.batch(self._rows, drop_remainder=True)
    self._iterator = batches.as_numpy_iterator()
    self._position = 0


def _find(mixture: str | seqio.Task | seqio.Mixture) -> seqio.Task | seqio.Mixture:
  if not isinstance(mixture, str):
    return mixture
  try:
    return seqio.get_mixture_or_task(mixture)
  except ValueError as error:
    raise SymtuneError(
      f"no SeqIO task or mixture {mixture!r} is registered. Import its module; "
      f"symtune's own is symtune.bridges.seqio_tasks."
    ) from error


def _one_prompt_a_row(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The features that SeqIO leaves out when it does not pack."""
  extra = {}
  for side, tokens in (
    ("encoder", batch["encoder_input_tokens"]),
    ("decoder", batch["decoder_target_tokens"]),
  ):
    is_real = tokens > 0
    positions = np.arange(tokens.shape[1]) * is_real
    extra |= {f"{side}_segment_ids": is_real, f"{side}_positions": positions}
  return extra
