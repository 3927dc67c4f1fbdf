"""Logits of the tokens that count in a packed row are those of each sequence alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.data.batches.causal_batch import lay_out_sequences
from symtune.data.batches.packing import PackedRow
from symtune.model.decoder.config import DecoderConfig
from symtune.model.forward import score_batch
from symtune.model.loss import sum_losses
from symtune.model.networks import init_params, make_network

CONFIG = DecoderConfig(
  vocab_size=32,
  emb_dim=8,
  num_layers=2,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=12,
)
# Ids of a sequence, and the places of those that the loss scores.
SEQUENCES = (
  ([7, 8, 5, 6], [2, 3]),
  ([9, 4, 6], [1, 2]),
  ([3, 11, 12, 13, 14, 15], [2, 4, 5]),
)


_SCORE = jax.jit(score_batch, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def whole_logits(network, params, row, is_prefix):
  return network.apply({"params": params}, row, is_prefix=is_prefix)


@pytest.fixture(scope="module", params=["causal", "prefix"])
def model(request):
  """A network that attends in either way, and large parameters."""
  network = make_network(DecoderConfig(**{**vars(CONFIG), "attention": request.param}))
  params = init_params(network, jax.random.key(0))
  return network, jax.tree.map(lambda leaf: 3.0 * leaf, params)


def pack(*sequences, length, scored):
  """One row with these sequences."""
  row = PackedRow(
    inputs=np.concatenate([np.int32(ids) for ids, _ in sequences]),
    input_lengths=np.int32([len(ids) for ids, _ in sequences]),
    targets=np.concatenate([np.int32(places) for _, places in sequences]),
    target_lengths=np.int32([len(places) for _, places in sequences]),
  )
  batch = lay_out_sequences([row], length, scored)
  return {name: jnp.asarray(feature) for name, feature in batch.items()}


def loss_of(model, batch):
  network, params = model
  scored = _SCORE(network, params, batch, jax.random.key(1))
  return scored, float(sum_losses(scored.logits, scored.targets, scored.weights).loss)


def hand_written(model, ids, places):
  """The sum of -log p(token) at the places, from whole logits in float64."""
  network, params = model
  is_prefix = None
  if network.config.attention == "prefix":
    is_prefix = jnp.asarray([np.arange(len(ids)) < places[0]])
  row = whole_logits(network, params, jnp.asarray([ids]), is_prefix)
  logits = np.asarray(row[0], np.float64)
  total = 0.0
  for place in places:
    before = logits[place - 1]
    total += np.log(np.sum(np.exp(before - before.max()))) + before.max()
    total -= before[ids[place]]
  return total


def test_a_packed_row_has_the_loss_of_its_sequences(model):
  scored, together = loss_of(model, pack(*SEQUENCES, length=16, scored=9))
  assert scored.targets.tolist() == [[5, 6, 4, 6, 12, 14, 15, 0, 0]]
  assert scored.weights.tolist() == [[1] * 7 + [0, 0]]
  assert scored.segment_ids.tolist() == [[1, 1, 2, 2, 3, 3, 3, 0, 0]]
  alone = [
    loss_of(model, pack(one, length=len(one[0]), scored=len(one[1])))[1]
    for one in SEQUENCES
  ]
  by_hand = [hand_written(model, *one) for one in SEQUENCES]
  np.testing.assert_allclose(alone, by_hand, rtol=1e-5)
  assert together == pytest.approx(sum(by_hand), rel=1e-5)


def test_attention_over_the_prompt_matters(model):
  network, params = model
  other = "causal" if network.config.attention == "prefix" else "prefix"
  changed = make_network(DecoderConfig(**{**vars(CONFIG), "attention": other}))
  batch = pack(*SEQUENCES, length=16, scored=9)
  assert loss_of(model, batch)[1] != pytest.approx(
    loss_of((changed, params), batch)[1], rel=1e-3
  )
