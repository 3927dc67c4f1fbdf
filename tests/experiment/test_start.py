"""A run's first state lies on the mesh from the start, part by part."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.source import open_checkpoint
from symtune.experiment.build import Experiment
from symtune.experiment.run import sharded_state
from symtune.experiment.start import find_start, load_start
from symtune.model.axes import SHARDED_PARAMS_RULES
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params, param_shapes
from symtune.train import partition
from symtune.train.optim import OptimSettings, make_optimizer
from symtune.train.state import create_state
from symtune.train.weights import save_weights

CONFIG = T5Config(
  vocab_size=16,
  emb_dim=8,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=1,
  head_dim=4,
  mlp_dim=16,
)
NETWORK = Transformer(CONFIG)


@dataclasses.dataclass
class _Seed:
  seed: int = 0


@dataclasses.dataclass
class _Recipe:
  train: _Seed = dataclasses.field(default_factory=_Seed)


def _experiment(start: Any) -> Experiment:
  """An experiment that has what a first state takes, and no data."""
  made = object.__new__(Experiment)
  for name, value in (("recipe", _Recipe()), ("network", NETWORK), ("start", start)):
    object.__setattr__(made, name, value)
  return made


@pytest.fixture
def start(tmp_path):
  params = init_params(NETWORK, jax.random.key(3))
  save_weights(tmp_path / "w.safetensors", params, CONFIG)
  return find_start(str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("from_checkpoint", [True, False])
def test_the_state_is_that_of_one_device_in_parts(from_checkpoint, start, monkeypatch):
  start = start if from_checkpoint else None
  optimizer = make_optimizer(OptimSettings(learning_rate=0.1), param_shapes(NETWORK))
  wanted = create_state(load_start(start, NETWORK, 0), optimizer, 0)
  if from_checkpoint:  # neither drawn nor put on one device first
    monkeypatch.setattr("symtune.experiment.start.init_params", None)
    monkeypatch.setattr(partition, "place", None)
  mesh = partition.make_mesh(devices=jax.devices()[:2])
  state, shardings = sharded_state(
    _experiment(start), optimizer, mesh, SHARDED_PARAMS_RULES
  )
  found = jax.tree.map(lambda leaf: leaf.sharding, state)
  is_same = jax.tree.map(
    lambda a, b, leaf: a.is_equivalent_to(b, leaf.ndim), found, shardings, state
  )
  assert all(jax.tree.leaves(is_same))
  kernel = state.params["encoder"]["layers_0"]["mlp"]["wi"]["kernel"]
  assert kernel.addressable_shards[0].data.shape == (4, 16)
  monkeypatch.undo()
  for left, right in zip(
    jax.tree.leaves((wanted.params, wanted.opt_state, wanted.step)),
    jax.tree.leaves((state.params, state.opt_state, state.step)),
    strict=True,
  ):
    np.testing.assert_array_equal(left, right)
  assert (jax.random.key_data(wanted.rng) == jax.random.key_data(state.rng)).all()


@pytest.mark.parametrize("format_", Format)
def test_training_starts_from_bfloat16_in_every_format(format_, start, tmp_path):
  name = "half.safetensors" if format_ is Format.SYMTUNE else "half"
  place = Destination(path=tmp_path / name, format=format_, dtype="bfloat16")
  written = convert(open_checkpoint(tmp_path / "w.safetensors"), place)
  params = load_start(find_start(str(written)), NETWORK, 0)
  wanted = load_start(start, NETWORK, 0)
  for left, right in zip(jax.tree.leaves(params), jax.tree.leaves(wanted), strict=True):
    assert left.dtype == jnp.float32
    np.testing.assert_array_equal(left, right.astype(jnp.bfloat16).astype(jnp.float32))
