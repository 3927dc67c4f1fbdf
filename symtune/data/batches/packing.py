"""Stage 6: TokenPairs -> PackedRow. Several prompts share a row.

This stage decides which pairs share a row; stage 7 (batch.py) lays out the features.
"""

import bisect
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from symtune.data.tokens.tokenizer import TokenPair
from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackedRow:
  """The pairs of one packed row, concatenated.

  Attributes:
    inputs: ids of all inputs, concatenated.
    input_lengths: number of tokens of each input.
    targets: ids of all targets, concatenated.
    target_lengths: number of tokens of each target.
  """

  inputs: Int32[np.ndarray, "_inputs"]
  input_lengths: Int32[np.ndarray, "pairs"]
  targets: Int32[np.ndarray, "_targets"]
  target_lengths: Int32[np.ndarray, "pairs"]


def assign_rows(
  pairs: Sequence[TokenPair], input_length: int, target_length: int
) -> list[list[int]]:
  """Groups pairs into packed rows: longest first, each into the tightest fit.

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
  # (free input slots, row), sorted: the first row with enough is the tightest fit.
  open_rows: list[tuple[int, int]] = []
  free_targets: list[int] = []
  for i in order:
    need, need_targets = needs[i]
    if need > input_length or need_targets > target_length:
      raise SymtuneError(
        f"packing: got a prompt of {need} input and {need_targets} target tokens, "
        f"expected at most {input_length} and {target_length}. Tokenize with the "
        f"limits of the packed row."
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
