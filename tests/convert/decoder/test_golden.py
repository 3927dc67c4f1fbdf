"""Against what Transformers computed, and there and back."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.convert.decoder.folder import read_decoder, write_decoder
from symtune.convert.load import fingerprint, load_params
from symtune.convert.safetensors_file import read_safetensors
from symtune.model.decoder.cache import empty_cache
from symtune.model.decoder.network import Decoder

BFLOAT16, FLOAT32 = np.dtype(jnp.bfloat16), np.dtype(np.float32)
CLOSE = {"atol": 1e-4, "rtol": 0}


@pytest.fixture
def opened(model_folder):
  """Network, parameters, tokens and expected logits."""
  checkpoint = read_decoder(model_folder)
  with np.load(model_folder / "arrays.npz") as arrays:
    tokens, logits = arrays["tokens"], arrays["logits"]
  params = load_params(checkpoint)
  return Decoder(checkpoint.config), params, jnp.asarray(tokens), logits


def test_logits_are_those_of_transformers(opened):
  network, params, tokens, expected = opened
  assert np.abs(expected).max() > 3  # not those of an untrained network
  found = jax.jit(network.apply)({"params": params}, tokens)
  np.testing.assert_allclose(found, expected, **CLOSE)


def test_packed_rows_have_the_logits_of_transformers(opened):
  """Two rows in one, so that the second one starts behind the first."""
  network, params, tokens, expected = opened
  row = tokens.reshape(1, -1)
  segments = jnp.repeat(jnp.arange(1, 3), tokens.shape[1])[None]
  positions = jnp.tile(jnp.arange(tokens.shape[1]), 2)[None]
  found = jax.jit(network.apply)({"params": params}, row, segments, positions)
  np.testing.assert_allclose(found.reshape(expected.shape), expected, **CLOSE)


def test_steps_have_the_logits_of_transformers(opened):
  network, params, tokens, expected = opened
  extend = jax.jit(functools.partial(network.apply, method="extend"))
  cache = empty_cache(network.config, batch=2, slots=tokens.shape[1])
  places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
  logits, cache = extend({"params": params}, tokens[:, :30], cache, places[:, :30])
  np.testing.assert_allclose(logits, expected[:, :30], **CLOSE)
  for place in range(30, 40):
    part = np.s_[:, place : place + 1]
    logits, cache = extend({"params": params}, tokens[part], cache, places[part])
    np.testing.assert_allclose(logits, expected[part], **CLOSE)


@pytest.mark.parametrize("shard_bytes", [10**9, 3000])
def test_there_and_back_gives_the_same_files(model_folder, tmp_path, shard_bytes):
  checkpoint = read_decoder(model_folder)
  stored = read_safetensors(model_folder / "model.safetensors")
  dtype = next(iter(stored.values())).dtype
  dtype = BFLOAT16 if dtype == BFLOAT16 else FLOAT32  # float16 fits in float32
  names = list(
    write_decoder(tmp_path, checkpoint, dtype=dtype, shard_bytes=shard_bytes)
  )
  files = sorted(tmp_path.glob("*.safetensors"))
  assert (len(files) > 1) == (shard_bytes == 3000)
  written = {k: v for file in files for k, v in read_safetensors(file).items()}
  assert set(names) == set(written) == set(stored)
  for name, tensor in written.items():
    np.testing.assert_array_equal(tensor.read(), stored[name].read().astype(dtype))
  again = read_decoder(tmp_path)
  assert again.config == checkpoint.config
  assert again.ids == checkpoint.ids
  if dtype == BFLOAT16:
    assert fingerprint(again) == fingerprint(checkpoint)


def test_control_tokens_are_kept(golden, tmp_path):
  checkpoint = read_decoder(golden / "gemma3")
  assert (checkpoint.ids.bos, checkpoint.ids.eos, checkpoint.ids.pad) == (2, (1,), 0)
  list(write_decoder(tmp_path, checkpoint, dtype=FLOAT32))
  about = json.loads((tmp_path / "generation_config.json").read_text())
  assert about == {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}


def test_goldens_say_what_made_them(golden):
  versions = json.loads((golden / "versions.json").read_text())
  assert set(versions) == {"numpy", "safetensors", "torch", "transformers"}
