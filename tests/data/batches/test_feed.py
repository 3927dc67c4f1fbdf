"""The feed is the same for any number of workers and hosts, and after a resume."""

import itertools
import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

from symtune.data.batches.batch import BatchStream, HostShard
from symtune.data.batches.feed import FeedSettings, prefetched_windows
from symtune.data.batches.windows import BatchShape, windows_in_process
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError

SHAPE = BatchShape(batch_size=16, input_length=96, target_length=16, window=50)


@pytest.fixture
def make_stream(toy_task, toy_pools, toy_vocab, tmp_path):
  mixture = Mixture(
    [(Ingredient(min_shots=1, max_shots=4), (toy_task,))],
    toy_pools[0],
    seed=5,
  )

  def make(max_inputs):
    tokenizer = PromptTokenizer(
      toy_vocab, max_inputs=max_inputs, max_targets=16, min_exemplars_per_class=1
    )
    return TokenStream(mixture, tokenizer, tmp_path)

  return make


@pytest.fixture
def stream(make_stream):
  return make_stream(max_inputs=96)


def _take(batches, count):
  return [next(batches) for _ in range(count)]


def _same(left, right):
  for a, b in zip(left, right, strict=True):
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_hosts_together_see_the_same_global_batches(stream, hosts):
  whole = _take(BatchStream(stream, SHAPE, seed=5), 7)
  shares = [
    _take(BatchStream(stream, SHAPE, seed=5, shard=HostShard(index=i, count=hosts)), 7)
    for i in range(hosts)
  ]
  for number, batch in enumerate(whole):
    for name, rows in batch.items():
      joined = np.concatenate([share[number][name] for share in shares])
      np.testing.assert_array_equal(joined, rows)


@pytest.mark.parametrize(("before", "after"), [(1, 8), (2, 4), (4, 1), (8, 2)])
def test_resume_on_another_number_of_hosts(stream, before, after):
  whole = _take(BatchStream(stream, SHAPE, seed=5), 9)
  first = BatchStream(stream, SHAPE, seed=5, shard=HostShard(index=0, count=before))
  _take(first, 4)
  state = json.loads(json.dumps(first.get_state()))  # as a checkpoint holds it
  for i in range(after):
    shard = HostShard(index=i, count=after)
    resumed = BatchStream(stream, SHAPE, seed=5, shard=shard)
    resumed.set_state(state)
    size = SHAPE.batch_size // after
    share = slice(i * size, (i + 1) * size)
    expected = [{n: rows[share] for n, rows in b.items()} for b in whole[4:]]
    _same(_take(resumed, 5), expected)


def test_workers_build_the_same_windows_ahead(stream):
  here = windows_in_process(stream, SHAPE, seed=5)(3)
  ahead = prefetched_windows(stream, SHAPE, seed=5, workers=2)(3)
  for a, b in itertools.islice(zip(here, ahead, strict=False), 5):
    np.testing.assert_array_equal(a.inputs, b.inputs)
    np.testing.assert_array_equal(a.ends, b.ends)
    assert a.stream_counts == b.stream_counts


def test_a_feed_with_workers_is_the_feed_without(stream):
  plain = BatchStream(stream, SHAPE, seed=5)
  windows = prefetched_windows(stream, SHAPE, seed=5, workers=1)
  feed = BatchStream(stream, SHAPE, seed=5, windows=windows)
  _same(_take(feed, 3), _take(plain, 3))
  state = feed.get_state()
  _take(feed, 2)
  feed.set_state(state)
  _same(_take(feed, 2), _take(plain, 2))
  assert feed.counts == plain.counts


def test_a_mistake_in_a_worker_keeps_its_message(make_stream):
  windows = prefetched_windows(make_stream(3), SHAPE, seed=5, workers=1)(0)
  with pytest.raises(SymtuneError, match="no prompt of a window fits"):
    next(windows)


def test_a_killed_worker_is_named(stream):
  windows = prefetched_windows(stream, SHAPE, seed=5, workers=1)(0)
  next(windows)
  (worker,) = multiprocessing.active_children()
  worker.kill()
  with pytest.raises(SymtuneError, match=r"terminated unexpectedly.*lower --workers"):
    for _ in windows:
      pass


PARENT = """
import pathlib, sys, time
from symtune.data.batches.feed import prefetched_windows
from symtune.data.batches.windows import BatchShape

shape = BatchShape(batch_size=4, input_length=8, target_length=8, window=4)
if __name__ == "__main__":
  sys.path.insert(0, str(pathlib.Path(__file__).parent))
  from prompts import one_prompt

  windows = prefetched_windows(one_prompt, shape, seed=0, workers=2)(0)
  for _ in range(4):
    next(windows)
  print("both work", flush=True)
  time.sleep(600)
"""
PROMPTS = """
import numpy as np
from symtune.data.tokens.tokenizer import PromptBlock, TokenPair

def one_prompt(positions):
  pair = TokenPair(inputs=np.asarray([5, 1]), targets=np.asarray([6, 1]))
  dropped = np.zeros(len(positions), np.int64)
  return PromptBlock(pairs=[pair] * len(positions), dropped=dropped, error=None)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
  (tmp_path / "parent.py").write_text(PARENT)
  (tmp_path / "prompts.py").write_text(PROMPTS)
  with subprocess.Popen(
    [sys.executable, str(tmp_path / "parent.py")],
    stdout=subprocess.PIPE,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  ) as parent:
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"both work\n"
    parent.kill()
    # The workers have inherited this pipe: it ends when the last of them does.
    assert parent.communicate(timeout=60) == (b"", None)


def test_settings_are_checked(stream):
  with pytest.raises(SymtuneError, match="got -1 workers"):
    FeedSettings(workers=-1)
  with pytest.raises(SymtuneError, match="got 0 workers"):
    prefetched_windows(stream, SHAPE, seed=5, workers=0)
