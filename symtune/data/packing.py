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

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Int32

from symtune.data.tokens import TokenPair
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
  order = sorted(range(len(pairs)), key=lambda i: (-len(pairs[i].inputs), i))
  rows: list[list[int]] = []
  # Open rows by free input slots; the tightest fit is the smallest that is enough.
  open_rows: dict[int, list[int]] = {}
  free_targets: list[int] = []
  for i in order:
    need, need_targets = len(pairs[i].inputs), len(pairs[i].targets)
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
    open_rows.setdefault(left - need, []).append(row)
  return rows


def _take_tightest(
  open_rows: dict[int, list[int]], free_targets: list[int], need: int, targets: int
) -> tuple[int | None, int]:
  """Removes and returns the open row with the least room that still suffices."""
  for left in sorted(k for k in open_rows if k >= need):
    fitting = [row for row in open_rows[left] if free_targets[row] >= targets]
    if fitting:
      row = min(fitting)
      open_rows[left].remove(row)
      if not open_rows[left]:
        del open_rows[left]
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
  inputs, input_segments, input_positions = _lay_out(
    [pair.inputs for pair in pairs], input_length
  )
  targets, target_segments, target_positions = _lay_out(
    [pair.targets for pair in pairs], target_length
  )
  shifted = np.roll(targets, 1)
  decoder_inputs = np.where(target_positions > 0, shifted, 0).astype(np.int32)
  return PackedRow(
    encoder_input_tokens=inputs,
    encoder_segment_ids=input_segments,
    encoder_positions=input_positions,
    decoder_target_tokens=targets,
    decoder_input_tokens=decoder_inputs,
    decoder_loss_weights=(target_segments > 0).astype(np.int32),
    decoder_segment_ids=target_segments,
    decoder_positions=target_positions,
  )


def _lay_out(
  sequences: Sequence[np.ndarray], length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  tokens, segments, positions = (np.zeros(length, np.int32) for _ in range(3))
  lengths = np.asarray([len(s) for s in sequences])
  used = int(lengths.sum())
  starts = np.cumsum(lengths) - lengths
  tokens[:used] = np.concatenate(sequences)
  segments[:used] = np.repeat(np.arange(1, len(sequences) + 1), lengths)
  positions[:used] = np.arange(used) - np.repeat(starts, lengths)
  return tokens, segments, positions
