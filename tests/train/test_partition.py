"""A step over two devices is the step on one; parameters lie where the rules say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from symtune.errors import SymtuneError
from symtune.model.axes import DEFAULT_RULES, SHARDED_PARAMS_RULES
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params, param_axes
from symtune.train import partition
from symtune.train.optim import (
  OptimizerName,
  OptimSettings,
  make_optimizer,
  make_schedule,
)
from symtune.train.state import create_state
from symtune.train.step import LossSettings, jit_train_step


def small_transformer():
  return Transformer(
    T5Config(
      vocab_size=130,
      emb_dim=128,
      num_heads=2,
      num_encoder_layers=1,
      num_decoder_layers=1,
      head_dim=8,
      mlp_dim=128,
      mlp_activations=("gelu", "linear"),
      dropout_rate=0.2,
      logits_via_embedding=True,
    )
  )


def run_steps(tiny, mesh=None, rules=DEFAULT_RULES, name=OptimizerName.ADAFACTOR):
  """Makes two steps; returns the last state and metrics."""
  network = small_transformer()
  settings = OptimSettings(name=name, learning_rate=0.01)
  params = init_params(network, jax.random.key(0))
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
    mesh=mesh,
    rules=rules,
    shardings=shardings,
  )
  for index in range(2):
    state, metrics = step(state, put(tiny.tiny_batch(index)))
  if shardings is not None:
    assert jax.tree.map(lambda x: x.sharding, state) == shardings
  return state, metrics


@pytest.fixture(scope="module")
def single(tiny):
  return run_steps(tiny)


@pytest.mark.parametrize(
  ("model_devices", "rules"),
  [(1, SHARDED_PARAMS_RULES), (2, DEFAULT_RULES)],
)
def test_two_devices_make_the_step_of_one(tiny, single, model_devices, rules):
  mesh = partition.make_mesh(model_devices=model_devices, devices=jax.devices()[:2])
  state, metrics = run_steps(tiny, mesh, rules)
  for got, wanted in zip(
    jax.tree.leaves((state.params, metrics)),
    jax.tree.leaves((single[0].params, single[1])),
    strict=True,
  ):
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_a_mesh_is_data_by_model():
  devices = jax.devices()[:2]
  assert dict(partition.make_mesh(devices=devices).shape) == {"data": 2, "model": 1}
  mesh = partition.make_mesh(model_devices=2, devices=devices)
  assert dict(mesh.shape) == {"data": 1, "model": 2}
  with pytest.raises(SymtuneError, match=r"model-devices is 3.*number of devices.* 2"):
    partition.make_mesh(model_devices=3, devices=devices)


@pytest.mark.parametrize("name", list(OptimizerName))
def test_parameters_and_moments_lie_where_the_rules_say(name):
  network = small_transformer()
  params = jax.eval_shape(lambda: init_params(network, jax.random.key(0)))
  mesh = partition.make_mesh(model_devices=2, devices=jax.devices()[:2])
  by_param = partition.param_shardings(params, param_axes(network), mesh)
  mlp = by_param["encoder"]["layers_0"]["mlp"]
  assert mlp["wi_0"]["kernel"].spec == PartitionSpec(None, "model")
  assert mlp["wo"]["kernel"].spec == PartitionSpec("model", None)
  assert by_param["token_embedder"]["embedding"].spec == PartitionSpec("model", None)
  assert by_param["encoder"]["encoder_norm"]["scale"].spec == PartitionSpec(None)

  optimizer = make_optimizer(OptimSettings(name=name, learning_rate=1e-3), params)
  state = jax.eval_shape(lambda: create_state(params_like(params), optimizer, 0))
  shardings = partition.state_shardings(state, by_param, mesh)
  assert jax.tree.structure(shardings) == jax.tree.structure(state)
  found = {
    (leaf.shape, sharding.spec)
    for leaf, sharding in zip(
      jax.tree.leaves(state.opt_state),
      jax.tree.leaves(shardings.opt_state),
      strict=True,
    )
  }
  cut = {shape for shape, spec in found if "model" in spec}
  whole = {shape for shape, spec in found if "model" not in spec}
  if name is OptimizerName.ADAMW:
    assert (130, 128) in cut
    assert (130, 128) not in whole
  else:
    assert cut == {(128, 16), (16, 128), (2, 32)}  # not factored: under 128
    assert {(128,), (130,)} <= whole
  assert () in whole


def params_like(shapes):
  return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def test_what_does_not_divide_is_named(tiny):
  mesh = partition.make_mesh(model_devices=2, devices=jax.devices()[:2])
  params = {"odd": {"kernel": jnp.zeros((4, 3))}}
  axes = {"odd": {"kernel": PartitionSpec("embed", "mlp")}}
  with pytest.raises(
    SymtuneError, match=r"\['odd'\]\['kernel'\].*axis of size 3.*2 dev"
  ):
    partition.param_shardings(params, axes, mesh)
  put = partition.batch_putter(partition.make_mesh(devices=jax.devices()[:2]))
  with pytest.raises(SymtuneError, match=r"batch of 3 rows.*2 devices"):
    put(tiny.tiny_batch(0, rows=3))


def test_batch_rows_are_cut_along_data(tiny):
  put = partition.batch_putter(partition.make_mesh(devices=jax.devices()[:2]))
  batch = tiny.tiny_batch(0)
  placed = put(batch)
  assert placed.keys() == batch.keys()
  for name, array in placed.items():
    np.testing.assert_array_equal(array, batch[name])
    halves = [shard.data for shard in array.addressable_shards]
    np.testing.assert_array_equal(halves[0], batch[name][:2])
    np.testing.assert_array_equal(halves[1], batch[name][2:])
