"""Folders that are incomplete, damaged or of another model."""

import dataclasses
import json

import family_tokenizers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from symtune.convert.decoder.folder import as_transformers, read_decoder, write_decoder
from symtune.convert.decoder.read_config import SpecialIds
from symtune.convert.load import load_params
from symtune.convert.safetensors_file import read_safetensors
from symtune.convert.tensors import SourceCheckpoint
from symtune.errors import SymtuneError
from symtune.model.decoder.network import Decoder, param_shapes

FLOAT32 = np.dtype(np.float32)


def _change(folder, change) -> None:
  """Rewrites the tensors of a folder, as float32."""
  path = folder / "model.safetensors"
  found = read_safetensors(path)
  tensors = {name: tensor.read().astype(np.float32) for name, tensor in found.items()}
  change(tensors)
  safetensors.numpy.save_file(tensors, path)


def _settings(folder, **changes) -> None:
  path = folder / "config.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("variant", ["llama", "gpt_neox", "gpt2"])
def test_a_missing_tensor_is_named(variant, copy_of):
  folder = copy_of(variant)
  names = []

  def drop(tensors):
    names.append(sorted(tensors)[3])
    del tensors[names[0]]

  _change(folder, drop)
  with pytest.raises(SymtuneError, match=rf"{names[0]} is missing"):
    read_decoder(folder)


def test_an_unknown_tensor_is_named(copy_of):
  folder = copy_of("qwen2")
  name = "model.layers.0.self_attn.o_proj.bias"  # Qwen 2 has none
  _change(folder, lambda tensors: tensors.update({name: np.zeros(16, np.float32)}))
  with pytest.raises(SymtuneError, match=f"{name} is unknown"):
    read_decoder(folder)


def test_a_tensor_of_another_size_is_named(copy_of):
  folder = copy_of("gpt_neox")
  name = "gpt_neox.layers.0.attention.query_key_value.weight"
  _change(folder, lambda tensors: tensors.update({name: np.zeros((47, 16), "f4")}))
  with pytest.raises(SymtuneError, match=rf"{name} has shape \[47, 16\].*\[48, 16\]"):
    read_decoder(folder)


def test_integers_are_no_parameters(copy_of):
  folder = copy_of("llama")
  name = "model.norm.weight"
  _change(folder, lambda tensors: tensors.update({name: np.ones(16, np.uint8)}))
  with pytest.raises(SymtuneError, match=f"{name} is uint8, expected floating-point"):
    read_decoder(folder)


def test_buffers_of_older_files_are_left_out(copy_of):
  folder = copy_of("gpt_neox")
  where = "gpt_neox.layers.0.attention"
  buffers = {
    f"{where}.bias": np.tri(8, dtype=bool),
    f"{where}.masked_bias": np.float32(-1e9).reshape(1),
    f"{where}.rotary_emb.inv_freq": np.ones(2, np.float32),
  }
  _change(folder, lambda tensors: tensors.update(buffers))
  opened = read_decoder(folder)
  assert sorted(opened.left_out) == sorted(f"{name}, a buffer" for name in buffers)
  assert set(opened.tensors) == set(
    read_decoder(copy_of("gpt_neox_in_turn")).tensors
  ) | {
    f"layers_{i}/attention/{name}/bias"
    for i in range(2)
    for name in ("query", "key", "value", "out")
  }


def test_gpt2s_own_files_lack_the_first_part_of_names(copy_of):
  folder = copy_of("gpt2")

  def shorten(tensors):
    for name in list(tensors):
      tensors[name.removeprefix("transformer.")] = tensors.pop(name)

  before = load_params(read_decoder(folder))
  _change(folder, shorten)
  after = load_params(read_decoder(folder))
  for name in ("token_embedder", "position_embedder"):
    np.testing.assert_array_equal(before[name]["embedding"], after[name]["embedding"])


def test_an_output_layer_may_be_a_copy_but_not_another(copy_of):
  folder = copy_of("gemma3")
  embedding = {}

  def add(tensors):
    embedding["it"] = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = embedding["it"].copy()

  _change(folder, add)
  assert read_decoder(folder).left_out == ("lm_head.weight, a copy",)
  _change(
    folder, lambda tensors: tensors.update({"lm_head.weight": embedding["it"] + 1})
  )
  with pytest.raises(
    SymtuneError, match=r"lm_head.weight differs .*tie_word_embeddings"
  ):
    read_decoder(folder)


def test_an_untied_output_layer_is_not_made_up(copy_of):
  folder = copy_of("llama")
  _change(folder, lambda tensors: tensors.pop("lm_head.weight"))
  with pytest.raises(SymtuneError, match=r"lm_head.weight is missing"):
    read_decoder(folder)


def test_widths_beyond_all_memory_are_named_and_not_allocated(copy_of):
  folder = copy_of("llama")
  _settings(folder, hidden_size=2**30, intermediate_size=2**31 - 1, head_dim=4)
  with pytest.raises(SymtuneError, match=r"has shape \[24, 16\]"):
    read_decoder(folder)


def test_files_of_the_tokenizer_are_copied(copy_of, tmp_path):
  folder = copy_of("llama")
  (folder / "tokenizer.json").write_text("{}")
  (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "X"}')
  out = tmp_path / "out"
  out.mkdir()
  list(write_decoder(out, read_decoder(folder), dtype=FLOAT32))
  assert (out / "tokenizer.json").read_text() == "{}"
  assert read_decoder(out).tokenizer == (
    out / "tokenizer.json",
    out / "tokenizer_config.json",
  )


def test_a_tokenizer_given_beside_the_model_is_written(copy_of, tmp_path):
  opened = read_decoder(copy_of("llama"))
  assert opened.tokenizer == ()
  given = tmp_path / "given" / "tokenizer.json"
  given.parent.mkdir()
  given.write_text("{}")
  for files in ((), (tmp_path / "llama" / "tokenizer_config.json",)):
    source = dataclasses.replace(opened, vocab=given, tokenizer=files)
    assert as_transformers(source).tokenizer == (given,)


def test_ids_that_end_an_answer_are_those_of_the_generation_config(copy_of, tmp_path):
  folder = copy_of("llama")
  _settings(folder, bos_token_id=1, eos_token_id=2, pad_token_id=None)
  path = folder / "generation_config.json"
  path.write_text('{"eos_token_id": [2, 5], "pad_token_id": 3, "top_p": 0.9}')
  opened = read_decoder(folder)
  assert opened.ids == SpecialIds(bos=1, eos=(2, 5), pad=3)
  out = tmp_path / "out"
  out.mkdir()
  list(write_decoder(out, opened, dtype=FLOAT32))
  assert read_decoder(out).ids == opened.ids
  written = json.loads((out / "generation_config.json").read_text())
  assert written == {"bos_token_id": 1, "eos_token_id": [2, 5], "pad_token_id": 3}


def test_a_tokenizer_alone_says_which_tokens_end_a_text(copy_of, tmp_path):
  opened = read_decoder(copy_of("llama"))
  folder = tmp_path / "tokenizer"
  folder.mkdir()
  for name, content in family_tokenizers.make_files("smollm2").items():
    (folder / name).write_text(json.dumps(content))
  run = SourceCheckpoint(
    where="a run",
    config=opened.config,
    tensors=opened.tensors,
    vocab=folder / "tokenizer.json",
  )
  found = as_transformers(run)
  assert found.ids == SpecialIds(eos=(2,))
  assert found.tokenizer[0] == folder / "tokenizer.json"


def test_the_card_says_what_the_model_is(copy_of, tmp_path):
  opened = read_decoder(copy_of("gemma3"))
  for note in ("", "Its numbers are rounded."):
    out = tmp_path / f"with_{len(note)}"
    out.mkdir()
    list(write_decoder(out, dataclasses.replace(opened, note=note), dtype=FLOAT32))
    card = (out / "README.md").read_text()
    assert f"| layers | {opened.config.num_layers} |" in card
    assert "pipeline_tag: text-generation" in card
    assert note in card


def test_a_network_that_transformers_cannot_compute_is_not_written(copy_of, tmp_path):
  opened = read_decoder(copy_of("llama"))
  config = dataclasses.replace(opened.config, attention="prefix")
  with pytest.raises(SymtuneError, match=r"attention = .*prefix.* does not have"):
    list(
      write_decoder(tmp_path, dataclasses.replace(opened, config=config), dtype=FLOAT32)
    )


def test_parameters_have_the_tree_of_the_network(model_folder):
  opened = read_decoder(model_folder)
  params = load_params(opened, dtype="bfloat16")
  shapes = param_shapes(Decoder(opened.config))

  def check(leaf, shape):
    assert leaf.shape == shape.shape
    assert leaf.dtype == jnp.bfloat16

  jax.tree.map(check, params, shapes)
