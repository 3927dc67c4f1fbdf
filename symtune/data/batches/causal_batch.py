"""Stage 7 for decoder-only models: PackedRows -> CausalBatch.

Here a pair's inputs are the ids of a whole sequence, from the prompt to the blank line
behind its label, and its targets are the places of those that the loss scores. Feature
names are SeqIO's for decoder-only models (seqio/feature_converters.py,
PrefixLMFeatureConverter). Two sequences, 7 8 5 6 of which the places 2 and 3 are scored
and 9 4 6 of which 1 and 2 are, in a row of 8 slots of which 5 may be scored:

    decoder_input_tokens      7  8  5  6  9  4  6  0
    decoder_target_tokens     8  5  6  0  4  6  0  0
    decoder_loss_weights      0  1  1  0  1  1  0  0
    decoder_segment_ids       1  1  1  1  2  2  2  0
    decoder_positions         0  1  2  3  0  1  2  0
    decoder_causal_attention  1  1  0  0  1  0  0  0
    scored_slots              1  2  4  5 -1

Nothing follows the last token of a sequence, so it has no target. Causal attention, as
SeqIO calls it, marks the prompt: what stands before the first token that is scored. The
scored slots are those with a loss weight, so that logits are computed for them alone.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Int32

from symtune.data.batches.batch import fill_rows
from symtune.data.batches.packing import PackedRow


class CausalBatch(TypedDict):
  """Rows of every feature of a decoder-only model; all but the last as in SeqIO."""

  decoder_input_tokens: Int32[np.ndarray, "batch length"]
  decoder_target_tokens: Int32[np.ndarray, "batch length"]
  decoder_loss_weights: Int32[np.ndarray, "batch length"]
  decoder_segment_ids: Int32[np.ndarray, "batch length"]
  decoder_positions: Int32[np.ndarray, "batch length"]
  decoder_causal_attention: Int32[np.ndarray, "batch length"]
  scored_slots: Int32[np.ndarray, "batch scored"]


def lay_out_sequences(
  rows: Sequence[PackedRow], input_length: int, target_length: int
) -> CausalBatch:
  """Lays out several rows at once, each as drawn above.

  Args:
    rows: the sequences of each row; they must fit.
    input_length: slots of a row.
    target_length: scored slots of a row.

  Returns:
    The rows of every feature, int32, padded with zeros, scored_slots with -1.
  """
  lengths = [row.input_lengths for row in rows]
  tokens, segments, positions = fill_rows(
    [row.inputs for row in rows], lengths, input_length
  )
  next_tokens = np.zeros_like(tokens)
  next_tokens[:, :-1] = tokens[:, 1:]
  next_tokens[:, :-1][segments[:, 1:] != segments[:, :-1]] = 0
  places, owners, _ = fill_rows(
    [row.targets for row in rows], [row.target_lengths for row in rows], target_length
  )
  starts = np.zeros((len(rows), 1 + max(map(len, lengths))), np.int32)
  prompts = np.zeros_like(starts)  # tokens of each sequence that are not scored
  for i, row in enumerate(rows):
    count = 1 + len(row.input_lengths)
    starts[i, 2:count] = np.cumsum(row.input_lengths)[:-1]
    first = np.cumsum(row.target_lengths) - row.target_lengths
    prompts[i, 1:count] = row.targets[first]
  is_scored = owners > 0
  slots = np.take_along_axis(starts, owners, axis=1) + places - 1
  slots = np.where(is_scored, slots, -1)
  weights = np.zeros_like(tokens)
  weights[np.nonzero(is_scored)[0], slots[is_scored]] = 1
  is_prompt = positions < np.take_along_axis(prompts, segments, axis=1)
  return CausalBatch(
    decoder_input_tokens=tokens,
    decoder_target_tokens=next_tokens,
    decoder_loss_weights=weights,
    decoder_segment_ids=segments,
    decoder_positions=positions,
    decoder_causal_attention=is_prompt.astype(np.int32),
    scored_slots=slots.astype(np.int32),
  )
