"""A packed window of the tuning stream: a pure function of its number.

The stream is divided into windows of a fixed number of prompts. Each window is packed
separately, and its packed rows are shuffled by a generator keyed with its number. So
any process can build any window without the windows before it.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int32, Int64

from symtune.data.batches.packing import PackedRow, assign_rows
from symtune.data.rng import keyed_generator
from symtune.data.tokens.tokenizer import PromptBlock, TokenPair
from symtune.errors import SymtuneError

# Maps positions to their tokenized prompts; a pure function.
PromptsAt = Callable[[range], PromptBlock]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchShape:
  """How prompts become batches.

  Attributes:
    batch_size: number of packed rows in the global batch.
    input_length: input tokens that a packed row can hold; 2048 in the paper.
    target_length: target tokens that a packed row can hold; 512 in the paper.
    pack: whether several prompts share a packed row; if not, each has its own.
    window: number of prompts that are packed together.
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


@dataclasses.dataclass(frozen=True)
class StreamCounts:
  """How many prompts were built, shortened and skipped.

  Attributes:
    prompts: number of prompts built.
    shortened: number of prompts that lost at least one exemplar to fit.
    exemplars_dropped: total number of exemplars lost.
    skipped: number of prompts left out because they did not fit without exemplars.
  """

  prompts: int = 0
  shortened: int = 0
  exemplars_dropped: int = 0
  skipped: int = 0

  def plus(self, other: "StreamCounts") -> "StreamCounts":
    """The sums of both counts."""
    sums = {
      field.name: getattr(self, field.name) + getattr(other, field.name)
      for field in dataclasses.fields(self)
    }
    return StreamCounts(**sums)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
  """The packed pairs of one window, in the order of its shuffled packed rows.

  Attributes:
    inputs: token ids of all inputs, concatenated.
    input_lengths: number of tokens of each input.
    targets: token ids of all targets, concatenated.
    target_lengths: number of tokens of each target.
    ends: (pairs, input tokens, target tokens) up to and including each packed row.
    counts: the fields of the `StreamCounts` of this window.
  """

  inputs: Int32[np.ndarray, "_inputs"]
  input_lengths: Int32[np.ndarray, "pairs"]
  targets: Int32[np.ndarray, "_targets"]
  target_lengths: Int32[np.ndarray, "pairs"]
  ends: Int64[np.ndarray, "rows 3"]
  counts: Int64[np.ndarray, "4"]

  @property
  def num_rows(self) -> int:
    """Number of packed rows in the window."""
    return len(self.ends)

  @property
  def stream_counts(self) -> StreamCounts:
    """The counts of the window's prompts."""
    return StreamCounts(*self.counts.tolist())

  def row(self, number: int) -> PackedRow:
    """The pairs of one packed row, 0-based, as views."""
    pair, start, target = self.ends[number - 1] if number else (0, 0, 0)
    last_pair, stop, last_target = self.ends[number]
    return PackedRow(
      inputs=self.inputs[start:stop],
      input_lengths=self.input_lengths[pair:last_pair],
      targets=self.targets[target:last_target],
      target_lengths=self.target_lengths[pair:last_pair],
    )


def build_window(
  prompts_at: PromptsAt, shape: BatchShape, *, seed: int, number: int
) -> Window:
  """Tokenizes, packs and shuffles one window.

  Args:
    prompts_at: maps positions to their tokenized prompts; a pure function.
    shape: sizes and packing.
    seed: seed for shuffling the packed rows.
    number: number of the window, 0-based.

  Returns:
    The window; it has at least one packed row.

  Raises:
    SymtuneError: no prompt of the window fits.
  """
  start = number * shape.window
  block = prompts_at(range(start, start + shape.window))
  pairs = [pair for pair in block.pairs if pair is not None]
  if not pairs:
    raise SymtuneError(
      f"batches: no prompt of a window fits; {block.error}"
    ) from block.error
  if shape.pack:
    rows = assign_rows(pairs, shape.input_length, shape.target_length)
  else:
    rows = [[i] for i in range(len(pairs))]
  order = keyed_generator(seed, "rows", number).permutation(len(rows))
  shortened, skipped = (block.dropped > 0).sum(), len(block.pairs) - len(pairs)
  counts = (shape.window, shortened, block.dropped.sum(), skipped)
  joined = [[pairs[i] for i in rows[r]] for r in order]
  return _join(joined, np.asarray(counts, np.int64))


def windows_in_process(
  prompts_at: PromptsAt, shape: BatchShape, *, seed: int
) -> Callable[[int], Iterator[Window]]:
  """The source of windows for `BatchStream`: start -> windows start, start + 1, ..."""

  def windows(start: int) -> Iterator[Window]:
    for number in itertools.count(start):
      yield build_window(prompts_at, shape, seed=seed, number=number)

  return windows


def _join(rows: list[list[TokenPair]], counts: np.ndarray) -> Window:
  pairs = [pair for row in rows for pair in row]
  input_lengths = np.asarray([len(pair.inputs) for pair in pairs], np.int32)
  target_lengths = np.asarray([len(pair.targets) for pair in pairs], np.int32)
  pair_ends = np.cumsum([len(row) for row in rows])
  ends = (
    pair_ends,
    np.cumsum(input_lengths, dtype=np.int64)[pair_ends - 1],
    np.cumsum(target_lengths, dtype=np.int64)[pair_ends - 1],
  )
  return Window(
    inputs=np.concatenate([pair.inputs for pair in pairs]),
    input_lengths=input_lengths,
    targets=np.concatenate([pair.targets for pair in pairs]),
    target_lengths=target_lengths,
    ends=np.stack(ends, axis=1),
    counts=counts,
  )
