"""SeqIO mixtures as native batches: shapes, positions, resuming, sharding."""

import numpy as np
import pytest

from symtune.data.batches.batch import Batch, HostShard
from symtune.data.batches.windows import BatchShape
from symtune.errors import SymtuneError

PROMPTS = 32
LENGTH = 256  # SeqIO packs that many examples at a time


@pytest.fixture
def make(seqio, tasks, monkeypatch):
  """Batches of one task, so that mixing does not take the test's time.

  Nor does shuffling: SeqIO would first fill a buffer of 1,000 examples.
  """
  from symtune.bridges.seqio_batches import SeqioBatches
  from symtune.cards.load import load_suite

  name = f"symtune_{load_suite('microworld_train', None)[0].card.name}_symbols"
  monkeypatch.setenv("SYMTUNE_PROMPTS", str(PROMPTS))
  buffered = seqio.get_mixture_or_task(name)
  monkeypatch.setattr(buffered, "_shuffle_buffer_size", PROMPTS)

  def make_batches(mixture=name, pack=True, size=4, **options):
    shape = BatchShape(
      batch_size=size, input_length=LENGTH, target_length=24, pack=pack
    )
    return SeqioBatches(mixture, shape, seed=1, **options)

  return make_batches


@pytest.mark.parametrize("pack", [True, False])
def test_batches_have_every_native_feature(make, pack):
  batch = next(make(pack=pack))
  assert batch.keys() == Batch.__annotations__.keys()
  for name, value in batch.items():
    assert value.dtype == np.int32
    assert value.shape == (4, LENGTH if name.startswith("encoder") else 24)
  segments = batch["encoder_segment_ids"]
  assert (segments > 0).sum() == (batch["encoder_input_tokens"] > 0).sum()
  assert (segments.max() > 1) == pack


def test_a_restored_position_goes_on_alike(make):
  batches = make()
  seen = [next(batches) for _ in range(3)]
  state = batches.get_state()
  wanted = next(batches)
  again = make()
  again.set_state(state)
  for name, value in next(again).items():
    np.testing.assert_array_equal(value, wanted[name])
  again.set_state({"batches": 0})
  np.testing.assert_array_equal(
    next(again)["encoder_input_tokens"], seen[0]["encoder_input_tokens"]
  )


def test_hosts_read_different_rows(make):
  shares = [next(make(shard=HostShard(index=i, count=2))) for i in (0, 1)]
  tokens = [share["encoder_input_tokens"] for share in shares]
  assert tokens[0].shape == (2, LENGTH)
  assert not (tokens[0] == tokens[1]).all()


def test_an_unknown_name_and_uneven_hosts_are_refused(make):
  with pytest.raises(SymtuneError, match="no SeqIO task or mixture 'nothing'"):
    make("nothing")
  with pytest.raises(SymtuneError, match="got 4 rows for 3 hosts"):
    make(shard=HostShard(index=0, count=3))
