"""Stage 6: TokenPairs -> PackedRow. Several prompts share a row.

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

import bisect
import dataclasses
from collections.abc import Sequence
from typing import TypedDict, cast

import numpy as np
from jaxtyping import Int32

from symtune.data.tokens.tokenizer import TokenPair
from symtune.errors import SymtuneError


class PackedRow(TypedDict):
  """One row of every model feature; shapes (input length,) and (target length,)."""

  encoder_input_tokens: Int32[np.ndarray, "enc_length"]
  encoder_segment_ids: Int32[np.ndarray, "enc_length"]
  encoder_positions: Int32[np.ndarray, "enc_length"]
  decoder_target_tokens: Int32[np.ndarray, "dec_length"]
  decoder_input_tokens: Int32[np.ndarray, "dec_length"]
  decoder_loss_weights: Int32[np.ndarray, "dec_length"]
  decoder_segment_ids: Int32[np.ndarray, "dec_length"]
  decoder_positions: Int32[np.ndarray, "dec_length"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowTokens:
  """The pairs of one row, side by side.

  Attributes:
    inputs: ids of all inputs, one after another.
    input_lengths: tokens of each input.
    targets: ids of all targets, one after another.
    target_lengths: tokens of each target.
  """

  inputs: Int32[np.ndarray, "_inputs"]
  input_lengths: Int32[np.ndarray, "pairs"]
  targets: Int32[np.ndarray, "_targets"]
  target_lengths: Int32[np.ndarray, "pairs"]


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


def assign_rows(
  pairs: Sequence[TokenPair], input_length: int, target_length: int
) -> list[list[int]]:
  """Groups pairs into rows: longest first, each into the row it fits most tightly.

  Args:
    pairs: a window of the stream.
    input_length: input slots of a row.
    target_length: target slots of a row.

  Returns:
    Indices of `pairs`, one list per row; every index appears once.

  Raises:
    SymtuneError: a pair is longer than a row.
  """
  needs = [(len(pair.inputs), len(pair.targets)) for pair in pairs]
  order = sorted(range(len(pairs)), key=lambda i: (-needs[i][0], i))
  shortest = needs[order[-1]][0] if order else 0
  rows: list[list[int]] = []
  # (free input slots, row), sorted: the tightest fit is the first that is enough.
  open_rows: list[tuple[int, int]] = []
  free_targets: list[int] = []
  for i in order:
    need, need_targets = needs[i]
    if need > input_length or need_targets > target_length:
      raise SymtuneError(
        f"packing: got a prompt of {need} input and {need_targets} target tokens, "
        f"expected at most {input_length} and {target_length}. Tokenize with the "
        f"limits of the row."
      )
    row, left = _take_tightest(open_rows, free_targets, need, need_targets)
    if row is None:
      row, left = len(rows), input_length
      rows.append([])
      free_targets.append(target_length)
    rows[row].append(i)
    free_targets[row] -= need_targets
    if left - need >= shortest and free_targets[row] > 0:
      bisect.insort(open_rows, (left - need, row))
  return rows


def _take_tightest(
  open_rows: list[tuple[int, int]], free_targets: list[int], need: int, targets: int
) -> tuple[int | None, int]:
  """Removes and returns the open row with the least room that still suffices."""
  for i in range(bisect.bisect_left(open_rows, (need, 0)), len(open_rows)):
    left, row = open_rows[i]
    if free_targets[row] >= targets:
      del open_rows[i]
      return row, left
  return None, 0


def pack_row(
  pairs: Sequence[TokenPair], input_length: int, target_length: int
) -> PackedRow:
  """Lays pairs side by side in one row, as drawn above.

  Args:
    pairs: those that share the row; they must fit.
    input_length: input slots of the row.
    target_length: target slots of the row.

  Returns:
    The row, int32, padded with zeros.
  """
  row = RowTokens(
    inputs=np.concatenate([pair.inputs for pair in pairs]),
    input_lengths=np.asarray([len(pair.inputs) for pair in pairs], np.int32),
    targets=np.concatenate([pair.targets for pair in pairs]),
    target_lengths=np.asarray([len(pair.targets) for pair in pairs], np.int32),
  )
  batch = pack_batch([row], input_length, target_length)
  return cast(PackedRow, {name: cast(np.ndarray, a)[0] for name, a in batch.items()})


def pack_batch(
  rows: Sequence[RowTokens], input_length: int, target_length: int
) -> Batch:
  """Lays out several rows at once, each as drawn above.

  Args:
    rows: the tokens of each row; they must fit.
    input_length: input slots of a row.
    target_length: target slots of a row.

  Returns:
    The rows of every feature, int32, padded with zeros.
  """
  inputs, input_segments, input_positions = _lay_out(
    [row.inputs for row in rows], [row.input_lengths for row in rows], input_length
  )
  targets, target_segments, target_positions = _lay_out(
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


def _lay_out(
  tokens: Sequence[np.ndarray], lengths: Sequence[np.ndarray], slots: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Ids, segments and positions of rows, each (rows, slots)."""
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
