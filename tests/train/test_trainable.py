"""Frozen parameters keep their bytes and need no state; trained ones train as alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from symtune.errors import SymtuneError
from symtune.model.axes import DEFAULT_RULES, SHARDED_PARAMS_RULES
from symtune.model.decoder.config import DecoderConfig
from symtune.model.networks import init_params, make_network, param_axes
from symtune.train import checkpoint, partition
from symtune.train.optim import (
  EVERYTHING,
  OptimizerName,
  OptimSettings,
  join_params,
  make_optimizer,
  make_schedule,
  split_params,
)
from symtune.train.state import abstract_state, create_state
from symtune.train.step import LossSettings, jit_train_step

CONFIG = DecoderConfig(
  vocab_size=130,
  emb_dim=128,
  num_layers=2,
  num_heads=2,
  num_kv_heads=2,
  head_dim=64,
  mlp_dim=128,
  logits_via_embedding=True,
)
VALUES = ".*/attention/value/.*"
TREE = {"a": {"kernel": 1, "bias": 2}, "b": {"kernel": 3}}


def make_batch() -> Any:
  """Four rows of 12 tokens, of which the last 4 are scored."""
  tokens = np.random.default_rng(0).integers(1, 130, (4, 13)).astype(np.int32)
  place = np.broadcast_to(np.arange(12, dtype=np.int32), (4, 12))
  return {
    "decoder_input_tokens": tokens[:, :-1],
    "decoder_target_tokens": tokens[:, 1:],
    "decoder_loss_weights": (place >= 8).astype(np.int32),
    "decoder_segment_ids": np.ones_like(place),
    "decoder_positions": place,
    "decoder_causal_attention": (place < 8).astype(np.int32),
    "scored_slots": np.broadcast_to(np.arange(8, 12, dtype=np.int32), (4, 4)),
  }


def run_steps(trainable, name, mesh=None, rules=DEFAULT_RULES, steps=2):
  """Makes some steps; returns the parameters before, the last state and metrics."""
  network = make_network(CONFIG)
  settings = OptimSettings(name=name, learning_rate=0.01, trainable=trainable)
  params = init_params(network, jax.random.key(0))
  before = jax.tree.map(np.array, params)
  optimizer = make_optimizer(settings, params)
  state = create_state(params, optimizer, seed=0)
  shardings, put = None, jax.device_put
  if mesh is not None:
    by_param = partition.param_shardings(params, param_axes(network), mesh, rules)
    shardings = partition.state_shardings(state, by_param, mesh)
    state = jax.device_put(state, shardings)
    put = partition.batch_putter(mesh)
  step = jit_train_step(
    network=network,
    optimizer=optimizer,
    schedule=make_schedule(settings),
    loss_settings=LossSettings(),
    trainable=trainable,
    mesh=mesh,
    rules=rules,
    shardings=shardings,
  )
  state, metrics = step(state, put(make_batch()))
  for _ in range(steps - 1):
    state, metrics = step(state, put(make_batch()))
  if shardings is not None:
    assert jax.tree.map(lambda x: x.sharding, state) == shardings
  return before, state, metrics


def moved(before, state):
  """The paths of the parameters whose bytes have changed."""
  old, new = flatten_dict(before, sep="/"), flatten_dict(state.params, sep="/")
  assert old.keys() == new.keys()
  return {
    p for p in old if np.asarray(old[p]).tobytes() != np.asarray(new[p]).tobytes()
  }


@pytest.fixture(scope="module", params=list(OptimizerName))
def single(request):
  """The optimizer's name and what `run_steps` returns on one device."""
  return request.param, run_steps(VALUES, request.param)


@pytest.mark.parametrize(
  ("trainable", "trained", "frozen"),
  [
    (EVERYTHING, TREE, {}),
    (".*/kernel", {"a": {"kernel": 1}, "b": {"kernel": 3}}, {"a": {"bias": 2}}),
    ("a/.*", TREE | {"b": None}, {"b": {"kernel": 3}}),
    ("a/kern", {}, TREE),
    ("kernel", {}, TREE),
  ],
)
def test_a_pattern_matches_whole_paths(trainable, trained, frozen):
  trained = {name: part for name, part in trained.items() if part is not None}
  assert split_params(TREE, trainable) == (trained, frozen)
  assert join_params(trained, frozen) == TREE


def test_only_what_matches_moves_and_has_a_state(single):
  name, (before, state, _) = single
  values = {f"layers_{i}/attention/value/kernel" for i in range(2)}
  assert moved(before, state) == values
  sizes = sorted(leaf.size for leaf in jax.tree.leaves(state.opt_state))
  if name is OptimizerName.ADAMW:  # two moments, and the step
    assert [size for size in sizes if size > 1] == [128 * 128] * 4
  else:  # a moment of each row and column
    assert [size for size in sizes if size > 1] == [128] * 4


def test_the_gradient_is_that_of_the_trained_parameters(single):
  _, (_, _, metrics) = single
  _, _, of_all = run_steps(EVERYTHING, single[0], steps=1)
  _, _, of_values = run_steps(VALUES, single[0], steps=1)
  assert float(of_values.loss_nats) == pytest.approx(float(of_all.loss_nats), rel=1e-6)
  assert 0 < float(of_values.grad_norm) < 0.9 * float(of_all.grad_norm)
  assert float(metrics.loss_nats) < float(of_values.loss_nats)


@pytest.mark.parametrize(
  ("model_devices", "rules"), [(1, SHARDED_PARAMS_RULES), (2, DEFAULT_RULES)]
)
def test_two_devices_make_the_step_of_one(single, model_devices, rules):
  name, (_, wanted, wanted_metrics) = single
  mesh = partition.make_mesh(model_devices=model_devices, devices=jax.devices()[:2])
  before, state, metrics = run_steps(VALUES, name, mesh, rules)
  assert moved(before, state) == moved(before, wanted)
  for got, expected in zip(
    jax.tree.leaves((state.params, metrics)),
    jax.tree.leaves((wanted.params, wanted_metrics)),
    strict=True,
  ):
    # AdamW divides by the deviation of tiny gradients, which shows the order of sums.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_restores_all_of_it(single, tmp_path):
  _, (_, state, _) = single
  checkpoint.save(tmp_path, state, {"index": 3}, config_hash="x")
  found = checkpoint.restore(tmp_path, 2, abstract_state(state))
  assert jax.tree.structure(found.state) == jax.tree.structure(state)
  for got, wanted in zip(
    jax.tree.leaves((found.state.params, found.state.opt_state)),
    jax.tree.leaves((state.params, state.opt_state)),
    strict=True,
  ):
    assert np.asarray(got).tobytes() == np.asarray(wanted).tobytes()


@pytest.mark.parametrize(
  ("trainable", "message"),
  [
    ("(", r"optimizer\.trainable: got '\(', which is no regular expression"),
    ("value", r"'value' matches none of the 2 parameters, such as a/kernel, b/kernel"),
  ],
)
def test_a_pattern_that_trains_nothing_is_refused(trainable, message):
  params = {"a": {"kernel": jnp.zeros(2)}, "b": {"kernel": jnp.zeros(2)}}
  settings = OptimSettings(learning_rate=1e-3, trainable=trainable)
  with pytest.raises(SymtuneError, match=message):
    make_optimizer(settings, params)
