"""Batches: the same stream for any number of hosts, and exact resume."""

import itertools

import numpy as np
import pytest

from symtune.data.batches.batch import BatchShape, BatchStream, HostShard
from symtune.data.tokens.tokenizer import (
  PromptBlock,
  PromptTooLongError,
  TokenizedPrompt,
)
from symtune.errors import SymtuneError

SHAPE = BatchShape(batch_size=4, input_length=30, target_length=8, window=16)


def _prompt_at(position):
  """Prompt i holds i + 3 (mod 90) as its tokens; every ninth lost an exemplar."""
  length = 5 + position * 7 % 20
  return TokenizedPrompt(
    inputs=np.full(length, 3 + position % 90, np.int32),
    choices=(np.asarray([3 + position % 90, 1], np.int32),),
    answer=0,
    exemplars_kept=4,
    exemplars_dropped=int(position % 9 == 0),
  )


def _one_by_one(prompt_at):
  """The prompts at some positions, from a function that makes one."""

  def prompts_at(positions):
    pairs, dropped, error = [], [], None
    for position in positions:
      try:
        prompt = prompt_at(position)
        pairs.append(prompt.pair)
        dropped.append(prompt.exemplars_dropped)
      except PromptTooLongError as caught:
        error = caught
        pairs.append(None)
        dropped.append(0)
    return PromptBlock(pairs=pairs, dropped=np.asarray(dropped, np.int64), error=error)

  return prompts_at


def _stream(shape=SHAPE, **settings):
  return BatchStream(_one_by_one(_prompt_at), shape, seed=0, **settings)


def _equal(one, two):
  assert one.keys() == two.keys()
  return all(np.array_equal(one[name], two[name]) for name in one)


def test_batches_have_the_shape_and_names_of_seqio():
  batch = next(_stream())
  assert len(batch) == 8
  for name, value in batch.items():
    assert value.shape == (4, 30 if name.startswith("encoder") else 8)
    assert value.dtype == np.int32


def test_every_prompt_comes_once_per_window():
  stream = _stream()
  seen = []
  for batch in itertools.islice(stream, 40):
    starts = (batch["encoder_positions"] == 0) & (batch["encoder_segment_ids"] > 0)
    seen.extend(batch["encoder_input_tokens"][starts].tolist())
  whole_windows = len(seen) // 16 - 1
  expected = [3 + i % 90 for i in range(whole_windows * 16)]
  assert sorted(seen[: len(expected)]) == sorted(expected)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_hosts_together_see_the_same_global_batches(hosts):
  shards = [_stream(shard=HostShard(index=i, count=hosts)) for i in range(hosts)]
  for whole in itertools.islice(_stream(), 12):
    parts = [next(shard) for shard in shards]
    for name, value in whole.items():
      joined = np.concatenate([part[name] for part in parts])
      np.testing.assert_array_equal(joined, value)


@pytest.mark.parametrize("steps", [0, 1, 3, 7, 20])
def test_resume_continues_exactly_on_another_number_of_hosts(steps):
  stream = _stream()
  for _ in range(steps):
    next(stream)
  state = stream.get_state()
  resumed = _stream()
  resumed.set_state(state)
  half = _stream(shard=HostShard(index=1, count=2))
  half.set_state(state)
  for expected in itertools.islice(stream, 10):
    assert _equal(next(resumed), expected)
    lower = {name: value[len(value) // 2 :] for name, value in expected.items()}
    assert _equal(next(half), lower)
  assert resumed.counts == stream.counts
  assert resumed.get_state() == stream.get_state()


@pytest.mark.parametrize(
  "damage",
  [
    {"window": "1"},
    {"window": -1},
    {"window": None},
    {"row": 0.5},
    {"row": 10**6},
    {"counts": 3},
    {"counts": {"prompts": "many"}},
    {"counts": {"unknown": 1}},
  ],
)
def test_a_position_that_is_none_is_refused(damage):
  stream = _stream()
  with pytest.raises(SymtuneError, match="data position: got"):
    stream.set_state({**stream.get_state(), **damage})
  with pytest.raises(SymtuneError, match=r"data position: got \{\}"):
    stream.set_state({})


def test_rows_of_a_window_are_shuffled():
  unpacked = BatchShape(
    batch_size=16, input_length=30, target_length=8, window=16, pack=False
  )
  batch = next(_stream(unpacked))
  order = (batch["encoder_input_tokens"][:, 0] - 3).tolist()
  assert sorted(order) == list(range(16))
  assert order != sorted(order)
  assert batch["encoder_segment_ids"].max() == 1


def test_dropped_exemplars_and_skipped_prompts_are_counted():
  def prompt_at(position):
    if position % 4 == 3:
      raise PromptTooLongError("too long")
    return _prompt_at(position)

  stream = BatchStream(_one_by_one(prompt_at), SHAPE, seed=0)
  counts = stream.counts
  assert (counts.prompts, counts.skipped) == (16, 4)
  assert (counts.shortened, counts.exemplars_dropped) == (2, 2)


def test_window_in_which_nothing_fits_is_an_error():
  def prompt_at(position):
    raise PromptTooLongError("prompt starting 'x': got 9 tokens")

  with pytest.raises(SymtuneError, match=r"no prompt of a window fits; .*got 9 tokens"):
    BatchStream(_one_by_one(prompt_at), SHAPE, seed=0)


def test_batch_that_does_not_divide_among_hosts_is_refused():
  with pytest.raises(SymtuneError, match="4 rows for 3 hosts"):
    _stream(shard=HostShard(index=0, count=3))


def test_impossible_sizes_are_refused():
  with pytest.raises(SymtuneError, match="got batch_size 0"):
    BatchShape(batch_size=0, input_length=1, target_length=1)


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0)])
def test_a_host_that_is_none_of_them_is_refused(index, count):
  with pytest.raises(SymtuneError, match=f"got host {index} of {count}"):
    HostShard(index=index, count=count)
