"""Stage 7: PackedRows -> Batch. Whole batches, or one host's share of them.

The stream is cut into windows of a fixed number of prompts. Each window is packed by
itself, a generator keyed with the window's number shuffles its packed rows, and batches
take rows in order, across window borders. So a stream's state is two integers, window
and row, on any number of hosts, and resuming rebuilds one window.

Feature names and their meaning are SeqIO's for encoder-decoder models
(seqio/feature_converters.py, EncDecFeatureConverter). Two pairs, inputs [7 8 1] and
[9 1], targets [4 1] and [5 6 1], in a row of 7 input and 6 target slots:

    encoder_input_tokens    7 8 1 9 1 0 0
    encoder_segment_ids     1 1 1 2 2 0 0
    encoder_positions       0 1 2 0 1 0 0
    decoder_target_tokens   4 1 5 6 1 0
    decoder_input_tokens    0 4 0 5 6 0
    decoder_loss_weights    1 1 1 1 1 0
    decoder_segment_ids     1 1 2 2 2 0
    decoder_positions       0 1 0 1 2 0

Segment 0 is padding. Decoder inputs are the targets shifted right inside each segment;
each segment starts with 0.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Int32

from symtune.data.batches.packing import PackedRow
from symtune.data.batches.windows import (
  BatchShape,
  PromptsAt,
  StreamCounts,
  Window,
  windows_in_process,
)
from symtune.errors import SymtuneError


class Batch(TypedDict):
  """Rows of every model feature, named as in SeqIO."""

  encoder_input_tokens: Int32[np.ndarray, "batch enc_length"]
  encoder_segment_ids: Int32[np.ndarray, "batch enc_length"]
  encoder_positions: Int32[np.ndarray, "batch enc_length"]
  decoder_target_tokens: Int32[np.ndarray, "batch dec_length"]
  decoder_input_tokens: Int32[np.ndarray, "batch dec_length"]
  decoder_loss_weights: Int32[np.ndarray, "batch dec_length"]
  decoder_segment_ids: Int32[np.ndarray, "batch dec_length"]
  decoder_positions: Int32[np.ndarray, "batch dec_length"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostShard:
  """This host's share of every global batch: block `index` of `count` equal blocks.

  Blocks keep the order of rows: concatenated, they are the batch of a single host.
  """

  index: int = 0
  count: int = 1

  def __post_init__(self):
    if not 0 <= self.index < self.count:
      raise SymtuneError(
        f"batches: got host {self.index} of {self.count}, expected at least 1 host and "
        f"an index below their number."
      )

  def check(self, rows: int) -> None:
    """Refuses batches that the hosts cannot share.

    Raises:
      SymtuneError: the rows are not a multiple of the hosts.
    """
    if rows % self.count:
      raise SymtuneError(
        f"batches: got {rows} rows for {self.count} hosts, expected a multiple. Change "
        f"batch_size."
      )


def lay_out(rows: Sequence[PackedRow], input_length: int, target_length: int) -> Batch:
  """Lays out several rows at once, each as drawn above.

  Args:
    rows: the tokens of each row; they must fit.
    input_length: input slots of a row.
    target_length: target slots of a row.

  Returns:
    The rows of every feature, int32, padded with zeros.
  """
  inputs, input_segments, input_positions = fill_rows(
    [row.inputs for row in rows], [row.input_lengths for row in rows], input_length
  )
  targets, target_segments, target_positions = fill_rows(
    [row.targets for row in rows], [row.target_lengths for row in rows], target_length
  )
  shifted = np.zeros_like(targets)
  shifted[:, 1:] = targets[:, :-1]
  shifted[target_positions == 0] = 0
  return Batch(
    encoder_input_tokens=inputs,
    encoder_segment_ids=input_segments,
    encoder_positions=input_positions,
    decoder_target_tokens=targets,
    decoder_input_tokens=shifted,
    decoder_loss_weights=(target_segments > 0).astype(np.int32),
    decoder_segment_ids=target_segments,
    decoder_positions=target_positions,
  )


def fill_rows(
  tokens: Sequence[np.ndarray], lengths: Sequence[np.ndarray], slots: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Lays rows of several sequences out, one after another.

  Args:
    tokens: the numbers of each row, concatenated; they must fit.
    lengths: how many of them each sequence of the row has.
    slots: numbers that a row can hold.

  Returns:
    The numbers; the sequence of each, from 1; and its place in that, from 0. All are
    int32 of shape (rows, slots), padded with zeros.
  """
  per_row = np.asarray([len(row) for row in lengths])
  flat = np.concatenate(lengths)
  first = np.repeat(np.cumsum(per_row) - per_row, per_row)
  numbers = np.arange(1, len(flat) + 1) - first
  starts = np.cumsum(flat) - flat
  out = np.zeros((3, len(tokens), slots), np.int32)
  segments = np.repeat(numbers.astype(np.int32), flat)
  positions = np.arange(len(segments), dtype=np.int32)
  positions -= np.repeat(starts.astype(np.int32), flat)
  stop = 0
  for row, ids in enumerate(tokens):  # copying slices beats a mask of the whole batch
    start, stop = stop, stop + len(ids)
    out[0, row, : len(ids)] = ids
    out[1, row, : len(ids)] = segments[start:stop]
    out[2, row, : len(ids)] = positions[start:stop]
  return out[0], out[1], out[2]


# (rows, input slots, target slots) -> the arrays of a batch.
LayOut = Callable[[Sequence[PackedRow], int, int], Any]


class BatchStream:
  """An endless iterator of batches whose position can be saved and restored."""

  def __init__(
    self,
    prompts_at: PromptsAt,
    shape: BatchShape,
    *,
    seed: int,
    shard: HostShard | None = None,
    windows: Callable[[int], Iterator[Window]] | None = None,
    lay_out_rows: LayOut = lay_out,
  ):
    """Starts at the beginning of the stream.

    Args:
      prompts_at: the tokenized prompts at some positions; a pure function, such as a
        `TokenStream`.
      shape: sizes and packing.
      seed: seed that shuffles the rows of each window.
      shard: this host's share of every batch; None takes all of it.
      windows: yields the windows of the first three arguments from a given number on;
        None builds them in this process, one by one (see data/batches/feed.py).
      lay_out_rows: makes the batch; `lay_out`, or `lay_out_sequences` of
        data/batches/causal_batch.py.

    Raises:
      SymtuneError: the batch does not divide among the hosts.
    """
    self._shape = shape
    self._shard = shard or HostShard()
    self._shard.check(shape.batch_size)
    self._lay_out = lay_out_rows
    self._open = windows or windows_in_process(prompts_at, shape, seed=seed)
    self._go_to(0, 0, StreamCounts())

  def __iter__(self) -> "BatchStream":
    return self

  def __next__(self) -> Any:
    rows: list[PackedRow] = []
    for i in range(self._shape.batch_size):
      while self._row == self._window.num_rows:
        self._counts_before = self.counts
        self._window, self._row = next(self._windows), 0
        self._number += 1
      if i * self._shard.count // self._shape.batch_size == self._shard.index:
        rows.append(self._window.row(self._row))
      self._row += 1
    return self._lay_out(rows, self._shape.input_length, self._shape.target_length)

  @property
  def counts(self) -> StreamCounts:
    """What became of the prompts up to and including the current window."""
    return self._counts_before.plus(self._window.stream_counts)

  def get_state(self) -> dict[str, Any]:
    """The position as plain numbers, for a checkpoint."""
    return {
      "window": self._number,
      "row": self._row,
      "counts": dataclasses.asdict(self._counts_before),
    }

  def set_state(self, state: dict[str, Any]) -> None:
    """Goes to a position that `get_state` returned, on any number of hosts.

    Raises:
      SymtuneError: it is no such position.
    """
    window, row, counts = _read_position(state)
    self._go_to(window, row, counts)
    if row > self._window.num_rows:
      raise SymtuneError(
        f"data position: got row {row} of window {window}, which has "
        f"{self._window.num_rows} rows. The checkpoint is of other data, or damaged."
      )

  def _go_to(self, window: int, row: int, counts_before: StreamCounts) -> None:
    self._windows = self._open(window)
    self._window = next(self._windows)
    self._number, self._row = window, row
    self._counts_before = counts_before  # of the windows before this one


def _read_position(state: Any) -> tuple[int, int, StreamCounts]:
  """Window, row and counts of a saved position."""
  try:
    window, row, counts = state["window"], state["row"], StreamCounts(**state["counts"])
    numbers = [window, row, *dataclasses.asdict(counts).values()]
    if all(type(number) is int and number >= 0 for number in numbers):
      return window, row, counts
  except (KeyError, TypeError):
    pass
  raise SymtuneError(
    f"data position: got {state!r:.200}, expected window, row and counts as whole "
    "numbers. The checkpoint is damaged: remove it to resume from an older one."
  )
