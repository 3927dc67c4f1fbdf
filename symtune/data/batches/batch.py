"""Stage 7: rows -> Batch. Whole batches, or one host's share of them.

The stream is cut into windows of a fixed number of prompts. Each window is packed by
itself, its rows are shuffled by a generator keyed with the window's number, and batches
take rows in order, across window borders. So a position is two integers (window, row),
the same on any number of hosts, and resuming there rebuilds one window.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from symtune.data.batches.packing import Batch, RowTokens, pack_batch
from symtune.data.batches.windows import (
  BatchShape,
  PromptsAt,
  StreamCounts,
  Window,
  windows_in_process,
)
from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostShard:
  """This host's share of every global batch: block `index` of `count` equal blocks.

  Blocks keep the order of rows: host by host they are the batch of a single host.
  """

  index: int = 0
  count: int = 1

  def __post_init__(self):
    if not 0 <= self.index < self.count:
      raise SymtuneError(
        f"batches: got host {self.index} of {self.count}, expected 0 to "
        f"{self.count - 1} of at least 1."
      )


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
  ):
    """Starts at the beginning of the stream.

    Args:
      prompts_at: the tokenized prompts at some positions; a pure function, such as a
        `TokenStream`, or `one_by_one` of a function that makes one prompt.
      shape: sizes and packing.
      seed: shuffles the rows of each window.
      shard: this host's share of every batch; all of it unless given.
      windows: from a start, the windows that `build_window` builds of the first three;
        built here, one by one, unless given (see data/batches/feed.py).

    Raises:
      SymtuneError: the batch does not divide among the hosts.
    """
    self._shape = shape
    self._shard = shard or HostShard()
    if shape.batch_size % self._shard.count:
      raise SymtuneError(
        f"batches: got {shape.batch_size} rows for {self._shard.count} hosts, expected "
        f"a multiple. Change batch_size."
      )
    self._open = windows or windows_in_process(prompts_at, shape, seed=seed)
    self._go_to(0, 0, StreamCounts())

  def __iter__(self) -> "BatchStream":
    return self

  def __next__(self) -> Batch:
    rows: list[RowTokens] = []
    for i in range(self._shape.batch_size):
      while self._row == self._window.num_rows:
        self._counts_before = self.counts
        self._window, self._row = next(self._windows), 0
        self._number += 1
      if i * self._shard.count // self._shape.batch_size == self._shard.index:
        rows.append(self._window.row(self._row))
      self._row += 1
    return pack_batch(rows, self._shape.input_length, self._shape.target_length)

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
    """Goes to a position that `get_state` returned, on any number of hosts."""
    self._go_to(state["window"], state["row"], StreamCounts(**state["counts"]))

  def _go_to(self, window: int, row: int, counts_before: StreamCounts) -> None:
    self._windows = self._open(window)
    self._window = next(self._windows)
    self._number, self._row = window, row
    self._counts_before = counts_before  # of the windows before this one
