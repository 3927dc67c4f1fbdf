"""Stage 7: rows -> Batch. Whole batches, or one host's share of them.

The stream is cut into windows of a fixed number of prompts. Each window is packed by
itself, its rows are shuffled by a generator keyed with the window's number, and batches
take rows in order, across window borders. So a position is two integers (window, row),
the same on any number of hosts, and resuming there rebuilds one window.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Int32

from symtune.data.packing import PackedRow, assign_rows, pack_row
from symtune.data.rng import keyed_generator
from symtune.data.tokens import PromptTooLongError, TokenizedPrompt, TokenPair
from symtune.errors import SymtuneError


class Batch(TypedDict):
  """Rows of every model feature, named as in SeqIO (see data/packing.py)."""

  encoder_input_tokens: Int32[np.ndarray, "batch enc_length"]
  encoder_segment_ids: Int32[np.ndarray, "batch enc_length"]
  encoder_positions: Int32[np.ndarray, "batch enc_length"]
  decoder_target_tokens: Int32[np.ndarray, "batch dec_length"]
  decoder_input_tokens: Int32[np.ndarray, "batch dec_length"]
  decoder_loss_weights: Int32[np.ndarray, "batch dec_length"]
  decoder_segment_ids: Int32[np.ndarray, "batch dec_length"]
  decoder_positions: Int32[np.ndarray, "batch dec_length"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchShape:
  """How prompts become batches.

  Attributes:
    batch_size: rows of the global batch.
    input_length: input slots of a row; 2048 in the paper.
    target_length: target slots of a row; 512 in the paper.
    pack: whether prompts share rows; if not, each has a row to itself.
    window: prompts that are packed together.
  """

  batch_size: int
  input_length: int
  target_length: int
  pack: bool = True
  window: int = 1024

  def __post_init__(self):
    for field in ("batch_size", "input_length", "target_length", "window"):
      if getattr(self, field) < 1:
        raise SymtuneError(
          f"batches: got {field} {getattr(self, field)}, expected at least 1."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostShard:
  """This host's share of every global batch: block `index` of `count` equal blocks.

  Blocks keep the order of rows: host by host they are the batch of a single host.
  """

  index: int = 0
  count: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamCounts:
  """What became of the prompts so far.

  Attributes:
    prompts: built.
    shortened: lost at least one exemplar to fit.
    demos_dropped: exemplars lost in all.
    skipped: left out because they did not fit even so.
  """

  prompts: int = 0
  shortened: int = 0
  demos_dropped: int = 0
  skipped: int = 0

  def plus(self, prompt: TokenizedPrompt | None) -> "StreamCounts":
    """The counts after one more prompt; None is one that did not fit."""
    dropped = prompt.demos_dropped if prompt else 0
    return StreamCounts(
      prompts=self.prompts + 1,
      shortened=self.shortened + (dropped > 0),
      demos_dropped=self.demos_dropped + dropped,
      skipped=self.skipped + (prompt is None),
    )


class BatchStream:
  """An endless iterator of batches whose position can be saved and restored."""

  def __init__(
    self,
    prompt_at: Callable[[int], TokenizedPrompt],
    shape: BatchShape,
    *,
    seed: int,
    shard: HostShard | None = None,
  ):
    """Starts at the beginning of the stream.

    Args:
      prompt_at: the tokenized prompt at a position; a pure function.
      shape: sizes and packing.
      seed: shuffles the rows of each window.
      shard: this host's share of every batch; all of it unless given.

    Raises:
      SymtuneError: the batch does not divide among the hosts.
    """
    self._prompt_at = prompt_at
    self._shape = shape
    self._seed = seed
    self._shard = shard or HostShard()
    if shape.batch_size % self._shard.count:
      raise SymtuneError(
        f"batches: got {shape.batch_size} rows for {self._shard.count} hosts, expected "
        f"a multiple. Change batch_size."
      )
    self._window = 0
    self._row = 0
    self._counts_before = StreamCounts()  # of the windows before this one
    self._rows, self._counts = self._build_window()

  def __iter__(self) -> "BatchStream":
    return self

  def __next__(self) -> Batch:
    rows: list[PackedRow] = []
    for i in range(self._shape.batch_size):
      pairs = self._next_pairs()
      if i * self._shard.count // self._shape.batch_size == self._shard.index:
        rows.append(
          pack_row(pairs, self._shape.input_length, self._shape.target_length)
        )
    return _stack(rows)

  @property
  def counts(self) -> StreamCounts:
    """What became of the prompts up to and including the current window."""
    return self._counts

  def get_state(self) -> dict[str, Any]:
    """The position as plain numbers, for a checkpoint."""
    return {
      "window": self._window,
      "row": self._row,
      "counts": dataclasses.asdict(self._counts_before),
    }

  def set_state(self, state: dict[str, Any]) -> None:
    """Goes to a position that `get_state` returned, on any number of hosts."""
    self._window = state["window"]
    self._row = state["row"]
    self._counts_before = StreamCounts(**state["counts"])
    self._rows, self._counts = self._build_window()

  def _next_pairs(self) -> list[TokenPair]:
    while self._row == len(self._rows):
      self._window += 1
      self._row = 0
      self._counts_before = self._counts
      self._rows, self._counts = self._build_window()
    self._row += 1
    return self._rows[self._row - 1]

  def _build_window(self) -> tuple[list[list[TokenPair]], StreamCounts]:
    pairs, counts = [], self._counts_before
    start = self._window * self._shape.window
    error: PromptTooLongError | None = None
    for position in range(start, start + self._shape.window):
      try:
        prompt = self._prompt_at(position)
        pairs.append(prompt.pair)
        counts = counts.plus(prompt)
      except PromptTooLongError as caught:
        error = caught
        counts = counts.plus(None)
    if not pairs and error is not None:
      raise SymtuneError(f"batches: no prompt of a window fits; {error}") from error
    if self._shape.pack:
      rows = assign_rows(pairs, self._shape.input_length, self._shape.target_length)
    else:
      rows = [[i] for i in range(len(pairs))]
    order = keyed_generator(self._seed, "rows", self._window).permutation(len(rows))
    return [[pairs[i] for i in rows[r]] for r in order], counts


def _stack(rows: list[PackedRow]) -> Batch:
  return Batch(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})
