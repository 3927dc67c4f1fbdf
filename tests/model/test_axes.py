import flax.linen as nn
import jax
import pytest

from symtune.model import axes
from symtune.model.network import param_axes

ALL_RULES = [axes.DEFAULT_RULES, axes.SHARDED_PARAMS_RULES]


@pytest.mark.parametrize("rules", ALL_RULES)
def test_every_axis_of_every_parameter_has_one_rule(rules, network):
  names = {name for spec in jax.tree.leaves(param_axes(network)) for name in spec}
  assert names == {"embed", "heads", "joined_kv", "mlp", "relpos_buckets", "vocab"}
  assert names < {name for name, _ in rules}
  assert len(rules) == len(dict(rules))


def test_default_rules_cut_wide_layers_only():
  def mesh_axes(*names):
    return tuple(nn.logical_to_mesh_axes(names, axes.DEFAULT_RULES))

  assert mesh_axes("embed", "mlp") == (None, "model")
  assert mesh_axes("vocab", "embed") == ("model", None)
  assert mesh_axes("joined_kv", "embed") == ("model", None)
  assert mesh_axes("batch", "length", "embed") == ("data", None, None)


def test_sharded_params_rules_cut_parameters_along_data_but_activations_by_batch():
  def mesh_axes(*names):
    return tuple(nn.logical_to_mesh_axes(names, axes.SHARDED_PARAMS_RULES))

  assert mesh_axes("embed", "mlp") == ("data", "model")
  assert mesh_axes("batch", "length", "embed") == ("data", None, None)
