"""Rows of decoder-only models: which token predicts which, and which loss counts."""

import hypothesis
import hypothesis.strategies as st
import numpy as np

from symtune.data.batches.batch import BatchStream
from symtune.data.batches.causal_batch import lay_out_sequences
from symtune.data.batches.packing import PackedRow
from symtune.data.batches.windows import BatchShape
from symtune.data.tokens.tokenizer import PromptBlock, TokenPair


def _row(*pairs: tuple[list[int], list[int]]) -> PackedRow:
  ints = [[np.asarray(part, np.int32) for part in pair] for pair in pairs]
  return PackedRow(
    inputs=np.concatenate([tokens for tokens, _ in ints]),
    input_lengths=np.asarray([len(tokens) for tokens, _ in ints], np.int32),
    targets=np.concatenate([places for _, places in ints]),
    target_lengths=np.asarray([len(places) for _, places in ints], np.int32),
  )


def test_the_row_of_the_docstring():
  batch = lay_out_sequences(
    [_row(([7, 8, 5, 6], [2, 3]), ([9, 4, 6], [1, 2]))], input_length=8, target_length=5
  )
  assert {name: rows[0].tolist() for name, rows in batch.items()} == {
    "decoder_input_tokens": [7, 8, 5, 6, 9, 4, 6, 0],
    "decoder_target_tokens": [8, 5, 6, 0, 4, 6, 0, 0],
    "decoder_loss_weights": [0, 1, 1, 0, 1, 1, 0, 0],
    "decoder_segment_ids": [1, 1, 1, 1, 2, 2, 2, 0],
    "decoder_positions": [0, 1, 2, 3, 0, 1, 2, 0],
    "decoder_causal_attention": [1, 1, 0, 0, 1, 0, 0, 0],
    "scored_slots": [1, 2, 4, 5, -1],
  }


def _sequences(max_size: int):
  """Sequences of token ids, each with places that are scored."""
  return st.lists(
    st.lists(st.integers(0, 99), min_size=2, max_size=9).flatmap(
      lambda tokens: st.tuples(
        st.just(tokens),
        st.sets(st.integers(1, len(tokens) - 1), min_size=1).map(sorted),
      )
    ),
    min_size=1,
    max_size=max_size,
  )


@hypothesis.given(st.lists(_sequences(4), min_size=1, max_size=3))
def test_scored_slots_predict_the_scored_tokens_from_what_stands_before(rows):
  batch = lay_out_sequences([_row(*row) for row in rows], 40, 40)
  for number, row in enumerate(rows):
    slots = batch["scored_slots"][number]
    slots = slots[slots >= 0]
    wanted = [tokens[place] for tokens, places in row for place in places]
    assert batch["decoder_target_tokens"][number][slots].tolist() == wanted
    weights = np.zeros(40, np.int32)
    weights[slots] = 1
    assert batch["decoder_loss_weights"][number].tolist() == weights.tolist()
    segments = batch["decoder_segment_ids"][number]
    for segment, (tokens, places) in enumerate(row, start=1):
      mine = segments == segment
      assert batch["decoder_input_tokens"][number][mine].tolist() == tokens
      assert batch["decoder_positions"][number][mine].tolist() == [*range(len(tokens))]
      assert batch["decoder_causal_attention"][number][mine].sum() == places[0]


def test_a_stream_packs_sequences_and_continues_where_it_stopped():
  def prompts_at(positions: range) -> PromptBlock:
    pairs: list[TokenPair | None] = [
      TokenPair(
        inputs=np.full(3 + p % 4, p, np.int32), targets=np.asarray([2], np.int32)
      )
      for p in positions
    ]
    return PromptBlock(pairs=pairs, dropped=np.zeros(len(pairs), np.int64), error=None)

  shape = BatchShape(batch_size=2, input_length=12, target_length=4, window=8)

  def stream() -> BatchStream:
    return BatchStream(prompts_at, shape, seed=3, lay_out_rows=lay_out_sequences)

  whole = stream()
  next(whole)
  state = whole.get_state()
  wanted = next(whole)
  again = stream()
  again.set_state(state)
  for name, rows in next(again).items():
    np.testing.assert_array_equal(rows, wanted[name])
