"""Weights come back bit for bit, and only into the network they were made for."""

import dataclasses

import jax
import numpy as np
import pytest
import safetensors.numpy

from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params, param_shapes
from symtune.train.weights import load_weights, save_weights

CONFIG = T5Config(
  vocab_size=32,
  emb_dim=8,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=1,
  head_dim=4,
  mlp_dim=16,
)
SHAPES = param_shapes(Transformer(config=CONFIG))


@pytest.fixture(scope="module")
def params():
  return init_params(Transformer(config=CONFIG), jax.random.key(0))


@pytest.fixture
def path(params, tmp_path):
  save_weights(tmp_path / "w.safetensors", params, CONFIG)
  return tmp_path / "w.safetensors"


def test_round_trip_is_bit_exact_and_repeatable(params, path, tmp_path):
  loaded = load_weights(path, CONFIG, SHAPES)
  jax.tree.map(np.testing.assert_array_equal, loaded, jax.device_get(params))
  save_weights(tmp_path / "again.safetensors", loaded, CONFIG)
  assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_type_and_dropout_may_differ(path):
  other = dataclasses.replace(CONFIG, dtype="bfloat16", dropout_rate=0.3)
  load_weights(path, other, SHAPES)


def test_weights_of_another_network_are_refused(path):
  other = dataclasses.replace(CONFIG, mlp_dim=32)
  with pytest.raises(SymtuneError, match=r"network with mlp_dim 16; this .* 32"):
    load_weights(path, other, param_shapes(Transformer(config=other)))


def test_a_missing_parameter_is_named(path, params):
  arrays = safetensors.numpy.load_file(path)
  with safetensors.safe_open(path, framework="numpy") as file:
    metadata = file.metadata()
  del arrays["encoder/encoder_norm/scale"]
  safetensors.numpy.save_file(arrays, path, metadata)
  with pytest.raises(SymtuneError, match="encoder/encoder_norm/scale"):
    load_weights(path, CONFIG, SHAPES)


def test_damaged_and_foreign_files_are_refused(path, tmp_path):
  path.write_bytes(path.read_bytes()[:-10])
  with pytest.raises(SymtuneError, match="no whole safetensors file"):
    load_weights(path, CONFIG, SHAPES)
  foreign = tmp_path / "foreign.safetensors"
  safetensors.numpy.save_file({"x": np.zeros(2, np.float32)}, foreign)
  with pytest.raises(SymtuneError, match="without a symtune config"):
    load_weights(foreign, CONFIG, SHAPES)
  with pytest.raises(SymtuneError, match="no weights at"):
    load_weights(tmp_path / "none.safetensors", CONFIG, SHAPES)
