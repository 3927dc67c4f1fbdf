"""Weights come back bit for bit; damaged and foreign files are refused."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig, Rotary
from symtune.model.network import Transformer, init_params
from symtune.train.weights import (
  config_dict,
  config_from_dict,
  known_settings,
  save_weights,
)

CONFIG = T5Config(
  vocab_size=32,
  emb_dim=8,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=1,
  head_dim=4,
  mlp_dim=16,
)


DECODER = DecoderConfig(
  vocab_size=32,
  emb_dim=8,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
  mlp_dim=16,
  dtype="bfloat16",
  activation="gelu_tanh",
  rotary=Rotary(base=7.0, scaling="linear", factor=2.0),
  window_rotary=Rotary(base=5.0),
  window=3,
  windowed_layers=(1,),
  attention="prefix",
)


@pytest.fixture(scope="module")
def params():
  return init_params(Transformer(config=CONFIG), jax.random.key(0))


@pytest.fixture
def path(params, tmp_path):
  save_weights(tmp_path / "w.safetensors", params, CONFIG)
  return tmp_path / "w.safetensors"


def test_round_trip_is_bit_exact_and_repeatable(params, path, tmp_path):
  loaded = load_params(open_checkpoint(path))
  jax.tree.map(np.testing.assert_array_equal, loaded, params)
  save_weights(tmp_path / "again.safetensors", loaded, CONFIG)
  assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_missing_parameter_is_named(path):
  arrays = safetensors.numpy.load_file(path)
  with safetensors.safe_open(path, framework="numpy") as file:
    metadata = file.metadata()
  del arrays["encoder/encoder_norm/scale"]
  safetensors.numpy.save_file(arrays, path, metadata)
  with pytest.raises(SymtuneError, match="encoder/encoder_norm/scale is missing"):
    open_checkpoint(path)


def test_damaged_and_foreign_files_are_refused(path, tmp_path):
  path.write_bytes(path.read_bytes()[:-10])
  with pytest.raises(SymtuneError, match="not a complete safetensors file"):
    open_checkpoint(path)
  foreign = tmp_path / "foreign.safetensors"
  safetensors.numpy.save_file({"x": np.zeros(2, np.float32)}, foreign)
  with pytest.raises(SymtuneError, match="without a symtune config"):
    open_checkpoint(foreign)


@pytest.mark.parametrize("config", [CONFIG, DECODER], ids=["t5", "decoder"])
def test_settings_come_back_from_json(config):
  content = json.loads(json.dumps(config_dict(config)))
  assert config_from_dict(content) == config
  assert hash(config_from_dict(content)) == hash(config)
  assert content.keys() == known_settings(content)


@pytest.mark.parametrize("config", [CONFIG, DECODER], ids=["t5", "decoder"])
def test_unknown_and_missing_settings_are_named(config):
  content = config_dict(config)
  with pytest.raises(TypeError, match="heads_of_tails"):
    config_from_dict({**content, "heads_of_tails": 1})
  del content["vocab_size"]
  with pytest.raises(TypeError, match="vocab_size"):
    config_from_dict(content)
