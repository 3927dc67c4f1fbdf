"""Holds the network against what T5X's own produced; see golden/make_network_golden."""

import functools
import json
import pathlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.model.config import PublishedSize, published_config
from symtune.model.network import Transformer, param_axes, param_shapes

GOLDEN_DIR = pathlib.Path(__file__).parents[1] / "golden"
TREES = json.loads((GOLDEN_DIR / "network_tree.json").read_text())


def _flat(tree):
  return flax.traverse_util.flatten_dict(tree, sep="/")


def _unfolded(tree) -> dict[str, list]:
  """Writes the layers of a stack out again: layers_* -> layers_0, layers_1, ..."""
  return {
    path.replace("layers_*", f"layers_{i}"): entry
    for path, entry in tree["params"].items()
    for i in range(tree["num_layers"] if "layers_*" in path else 1)
  }


# Parameters of the published checkpoints.
NUM_PARAMS = {
  PublishedSize.SMALL: 76_961_152,
  PublishedSize.BASE: 247_577_856,
  PublishedSize.LARGE: 783_150_080,
  PublishedSize.XL: 2_849_757_184,
  PublishedSize.XXL: 11_135_332_352,
}


@pytest.mark.parametrize("size", PublishedSize)
def test_tree_shapes_and_axes_are_those_of_t5x(size):
  network = Transformer(published_config(size))
  shapes, axes = _flat(param_shapes(network)), _flat(param_axes(network))
  ours = {path: [list(leaf.shape), list(axes[path])] for path, leaf in shapes.items()}
  assert ours == _unfolded(TREES[size])
  assert sum(leaf.size for leaf in shapes.values()) == NUM_PARAMS[size]


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
  with np.load(GOLDEN_DIR / "network_logits.npz") as arrays:
    return dict(arrays)


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, jax.Array]:
  return {
    name.removeprefix(prefix): jnp.asarray(leaf)
    for name, leaf in arrays.items()
    if name.startswith(prefix)
  }


@pytest.mark.parametrize("packing", ["packed", "unpacked"])
def test_logits_are_those_of_t5x(packing, either_network, golden):
  tied = either_network.config.logits_via_embedding
  case = "plain_tied" if tied else "gated_untied"
  params = flax.traverse_util.unflatten_dict(_below(golden, f"{case}/params/"), sep="/")
  tokens = {
    name: ids
    for name, ids in _below(golden, "tokens/").items()
    if packing == "packed" or "segment" not in name
  }
  two_layers = either_network.config.replace(num_encoder_layers=2, num_decoder_layers=2)
  network = Transformer(two_layers)
  apply = jax.jit(functools.partial(network.apply, enable_dropout=False))
  logits = apply({"params": params}, **tokens)
  np.testing.assert_allclose(logits, golden[f"{case}/{packing}"], atol=1e-5, rtol=0)


def test_goldens_say_what_made_them(golden):
  assert set(TREES["versions"]) == {"flax", "jax", "numpy", "t5x"}
  assert json.loads(str(golden["versions"])) == TREES["versions"]
