"""T5X restores what we wrote, to equal bits, with and without optimizer state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from symtune.convert.t5x.write import write_t5x

pytestmark = pytest.mark.t5x

TOKEN = jnp.ones((1, 2), jnp.int32)


def _state(t5x, seed: int):
  config = t5x.network.T5Config(
    vocab_size=32,
    emb_dim=8,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=4,
    mlp_dim=16,
    mlp_activations=("gelu", "linear"),
  )
  module = t5x.network.Transformer(config)
  variables = module.init(jax.random.key(seed), *[TOKEN] * 3, enable_dropout=False)
  optimizer = t5x.adafactor.Adafactor(
    decay_rate=0.8,
    step_offset=0,
    logical_factor_rules=t5x.adafactor.standard_logical_factor_rules(),
  )
  state = t5x.train_state.FlaxOptimTrainState.create(optimizer, variables)
  gradients = jax.tree.map(jnp.cos, state.params)
  return state.apply_gradient(gradients, learning_rate=1e-3)


def _restore(t5x, kind: str, folder, state, **kwargs):
  partitioner = t5x.partitioning.PjitPartitioner(num_partitions=1)
  if kind == "msgpack":
    checkpointer = t5x.checkpoints.Checkpointer(state, partitioner, str(folder))
    return checkpointer.restore(step=77, **kwargs)
  manager = t5x.checkpoints.OrbaxCheckpointManagerInterface(
    str(folder), state, partitioner
  )
  try:
    return manager.restore(path=str(folder / "checkpoint_77"), **kwargs)
  finally:
    manager.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["msgpack", "orbax"])
@pytest.mark.parametrize("has_optimizer", [True, False])
def test_t5x_restores_what_we_wrote(kind, has_optimizer, t5x, held_tensors, tmp_path):
  written = _state(t5x, 0)
  fresh = _state(t5x, 1)
  folder = tmp_path / "checkpoint_77"
  folder.mkdir()
  states = {"state": {"param_states": written.state_dict()["state"]["param_states"]}}
  list(
    write_t5x(
      folder,
      held_tensors(written.state_dict()["target"]),
      step=77,
      optimizer=held_tensors(states) if has_optimizer else None,
    )
  )
  fallback = {} if has_optimizer else {"fallback_state": fresh.state_dict()}
  restored = _restore(t5x, kind, tmp_path, fresh, **fallback).state_dict()
  assert int(restored["state"]["step"]) == 77
  wanted = flatten_dict(written.state_dict()["target"])
  found = flatten_dict(restored["target"])
  assert found.keys() == wanted.keys()
  for path, value in wanted.items():
    np.testing.assert_array_equal(found[path], value)
  expected = written if has_optimizer else fresh
  moments = flatten_dict(expected.state_dict()["state"]["param_states"])
  for path, value in flatten_dict(restored["state"]["param_states"]).items():
    np.testing.assert_array_equal(value, moments[path])
