"""Transformers' models give its logits, loss and output; damage is named; both ways."""

import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from symtune.convert.huggingface import huggingface_source, write_huggingface
from symtune.convert.load import load_params
from symtune.convert.names import huggingface_name
from symtune.convert.safetensors_file import read_safetensors
from symtune.convert.tensors import LazyTensor, SourceCheckpoint, expected_shapes
from symtune.errors import SymtuneError
from symtune.model.config import PublishedSize, T5Config, published_config
from symtune.model.generate import generate_greedy
from symtune.model.loss import sum_losses
from symtune.model.network import Transformer, init_params, param_shapes
from symtune.model.score import shift_right

VARIANTS = ("t5_1_0", "t5_1_1", "gated_tied", "relu_untied")
F32 = np.dtype(np.float32)


@functools.partial(jax.jit, static_argnums=0)
def _logits(network, params, inputs, targets):
  return network.apply(
    {"params": params}, inputs, shift_right(targets), targets, enable_dropout=False
  )


def _close(ours, theirs):
  np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_loss_and_output_are_those_of_transformers(variant, huggingface_golden):
  source = huggingface_source(huggingface_golden / variant)
  with np.load(huggingface_golden / variant / "arrays.npz") as file:
    wanted = dict(file)
  network, params = Transformer(source.config), load_params(source)
  inputs, targets = jnp.asarray(wanted["inputs"]), jnp.asarray(wanted["targets"])
  assert min(inputs.shape[1], targets.shape[1]) > 128
  logits = _logits(network, params, inputs, targets)
  real = wanted["targets"] > 0
  _close(np.asarray(logits)[real], wanted["logits"][real])
  sums = sum_losses(logits, targets)
  _close(sums.loss / sums.weight, wanted["loss"])
  length = wanted["generated"].shape[1]
  generated = jax.jit(generate_greedy, static_argnums=(0, 3))(
    network, params, inputs, length
  )
  np.testing.assert_array_equal(generated, wanted["generated"])
  assert (wanted["generated"] == 1).any() or source.config.logits_via_embedding


@pytest.mark.parametrize("shard_bytes", [10**9, 2000])
@pytest.mark.parametrize("variant", VARIANTS)
def test_there_and_back_is_bit_exact(
  variant, shard_bytes, huggingface_golden, tmp_path
):
  source = huggingface_source(huggingface_golden / variant)
  folder = tmp_path / "ours"
  folder.mkdir()
  names = list(write_huggingface(folder, source, dtype=F32, shard_bytes=shard_bytes))
  assert len(names) == len(source.tensors)
  shards = len(list(folder.glob("model*.safetensors")))
  assert shards == 1 if shard_bytes == 10**9 else shards > 3
  back = huggingface_source(folder)
  assert back.config == source.config
  for name, tensor in source.tensors.items():
    np.testing.assert_array_equal(back.tensors[name].read(), tensor.read())
  theirs = read_safetensors(huggingface_golden / variant / "model.safetensors")
  ours: dict[str, LazyTensor] = {}
  for file in folder.glob("model*.safetensors"):
    ours |= read_safetensors(file)
  assert ours.keys() == theirs.keys()
  for name, tensor in theirs.items():
    np.testing.assert_array_equal(ours[name].read(), tensor.read())


def test_names_of_every_published_size_differ_and_are_few():
  config = published_config(PublishedSize.SMALL)
  names = [huggingface_name(path) for path in expected_shapes(config)]
  assert len(set(names)) == len(names)
  assert "decoder.block.7.layer.2.DenseReluDense.wi_1.weight" in names
  with pytest.raises(KeyError):
    huggingface_name("decoder/unknown")


def _edit_config(folder, **changes):
  path = folder / "config.json"
  content = {**json.loads(path.read_text()), **changes}
  path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def test_configs_of_transformers_4_are_read(huggingface_golden):
  """Flan-T5 on the hub: untied, no flag for scaling."""
  folder = huggingface_golden / "t5_1_1"
  _edit_config(folder, scale_decoder_outputs=None, tie_word_embeddings=False)
  assert not huggingface_source(folder).config.logits_via_embedding


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model_type": "umt5"}, "got a UMT5 model"),
    ({"relative_attention_num_buckets": 16}, "relative_attention_num_buckets is 16"),
    ({"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon"),
    ({"feed_forward_proj": "gelu"}, "feed_forward_proj is 'gelu'"),
    ({"dense_act_fn": "tanh"}, "dense_act_fn is 'tanh', but feed_forward_proj is"),
    ({"d_ff": None}, "lacks d_ff"),
    ({"d_ff": 24}, r"wi_0/kernel has shape \[12, 20\], expected \[12, 24\]"),
    ({"d_ff": "20"}, "d_ff is '20'"),
    ({"dropout_rate": "much"}, "dropout_rate is 'much', expected a number"),
    ({"dropout_rate": True}, "dropout_rate is True, expected a number"),
    ({"model_type": "mt5"}, "got a mT5 model .* transformers:FOLDER"),
    ({"model_type": "longt5"}, "got a LongT5 model"),
    ({"model_type": "switch_transformers"}, "got a Switch Transformers model"),
    ({"model_type": "bart"}, "model_type is 'bart', expected 't5'"),
    ({"model_type": ["t5"]}, r"model_type is \['t5'\], expected 't5'"),
    ({"tokenizer_class": "ByT5Tokenizer"}, "got a ByT5 model"),
    ({"vocab_size": 384, "num_decoder_layers": 1, "num_layers": 3}, "got a ByT5 model"),
    ({"pad_token_id": 1}, "pad_token_id is 1, expected 0.*MADLAD-400"),
    ({"eos_token_id": 2}, "eos_token_id is 2, expected 1"),
    ({"decoder_start_token_id": [5]}, r"decoder_start_token_id is \[5\], expected 0"),
    ({"quantization_config": {"quant_method": "awq"}}, "quantization_config"),
    ({"num_layers": 10**9}, "num_layers is 1000000000, expected 1 to 1,000"),
    ({"num_decoder_layers": 10**9}, "num_decoder_layers is 1000000000, expected"),
    ({"num_decoder_layers": "2"}, "num_decoder_layers is '2', expected a whole"),
    ({"d_ff": 10**30}, "d_ff is 1000.*, expected 1 to 2,147,483,647"),
    ({"d_ff": -1}, "d_ff is -1, expected 1 to"),
    ({"feed_forward_proj": ["relu"]}, r"feed_forward_proj is \['relu'\]"),
    ({"num_layers": 3}, "Missing: encoder.block.2"),
    ({"num_layers": 1}, "Unknown: encoder.block.1"),
    ({"scale_decoder_outputs": True}, "lm_head.weight differs from shared.weight"),
  ],
)
def test_configs_that_do_not_fit_are_refused(changes, message, huggingface_golden):
  folder = huggingface_golden / "t5_1_1"
  _edit_config(folder, **changes)
  with pytest.raises(SymtuneError, match=message):
    huggingface_source(folder)


def test_copies_in_older_files_are_left_out(huggingface_golden, tmp_path):
  source = huggingface_source(huggingface_golden / "t5_1_0")
  path = huggingface_golden / "t5_1_0" / "model.safetensors"
  tensors = safetensors.numpy.load_file(path)
  for name in ("encoder.embed_tokens.weight", "lm_head.weight"):
    tensors[name] = tensors["shared.weight"]
  bias = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
  tensors[bias] = np.zeros((32, 3), np.float32)
  safetensors.numpy.save_file(tensors, path)
  again = huggingface_source(path.parent)
  assert again.tensors.keys() == source.tensors.keys()
  assert len(again.left_out) == 3
  tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"] + 1
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(SymtuneError, match=r"embed_tokens.weight differs from shared"):
    huggingface_source(path.parent)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b'{"d_ff": ' + b"9" * 5000 + b"}", "config.json: holds a number that is too long"),
    (b'{"d_ff": 1e999}', "d_ff is inf|lacks|model_type"),
    (b'{"a":' + b"[" * 100_000, "config.json: nested too deeply"),
    (b"\xff\xfe", "config.json: not UTF-8"),
  ],
)
def test_hostile_configs_are_refused_in_one_line(content, message, huggingface_golden):
  folder = huggingface_golden / "t5_1_1"
  (folder / "config.json").write_bytes(content)
  with pytest.raises(SymtuneError, match=message):
    huggingface_source(folder)


def test_ids_of_generation_are_t5s_too(huggingface_golden):
  folder = huggingface_golden / "t5_1_1"
  (folder / "generation_config.json").write_text('{"eos_token_id": [1, 7]}')
  with pytest.raises(
    SymtuneError, match=r"generation_config.json: eos_token_id is \[1, 7\], expected 1"
  ):
    huggingface_source(folder)


def test_a_tokenizer_of_another_kind_is_named_at_once(huggingface_golden):
  """CodeT5 calls itself "t5", but has GPT-2's kind of tokenizer."""
  folder = huggingface_golden / "t5_1_1"
  (folder / "vocab.json").write_text("{}")
  with pytest.raises(
    SymtuneError, match=r"tokenizer is in vocab.json, expected .*transformers:"
  ):
    huggingface_source(folder)


def test_an_embedding_under_the_name_of_its_copy_is_found(huggingface_golden):
  """Files that were saved without shared.weight, such as MADLAD-400's."""
  source = huggingface_source(huggingface_golden / "t5_1_1")
  path = huggingface_golden / "t5_1_1" / "model.safetensors"
  tensors = safetensors.numpy.load_file(path)
  wanted = tensors.pop("shared.weight")
  tensors["decoder.embed_tokens.weight"] = wanted
  safetensors.numpy.save_file(tensors, path)
  again = huggingface_source(path.parent)
  assert again.tensors.keys() == source.tensors.keys()
  np.testing.assert_array_equal(
    again.tensors["token_embedder/embedding"].read(), wanted
  )
  tensors["encoder.embed_tokens.weight"] = wanted + 1
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(SymtuneError, match=r"embed_tokens.weight differs from shared"):
    huggingface_source(path.parent)


@pytest.mark.parametrize("layers", [1, 3])
def test_shapes_of_all_layers_are_those_of_the_network(layers):
  """They are made from one layer of each stack."""
  config = T5Config(
    vocab_size=8,
    emb_dim=4,
    num_heads=2,
    head_dim=2,
    mlp_dim=4,
    num_encoder_layers=layers,
    num_decoder_layers=4 - layers,
  )
  shapes = flatten_dict(param_shapes(Transformer(config)), sep="/")
  assert expected_shapes(config) == {name: v.shape for name, v in shapes.items()}


@pytest.mark.parametrize("cut", [0, 5, 500, -4])
def test_truncated_files_are_named(cut, huggingface_golden):
  path = huggingface_golden / "t5_1_1" / "model.safetensors"
  path.write_bytes(path.read_bytes()[:cut])
  with pytest.raises(
    SymtuneError, match=r"model.safetensors is not a complete safetensors"
  ):
    huggingface_source(path.parent)


def test_a_missing_shard_and_a_foreign_path_are_named(huggingface_golden, tmp_path):
  source = huggingface_source(huggingface_golden / "t5_1_1")
  list(write_huggingface(tmp_path, source, dtype=F32, shard_bytes=4000))
  shard = next(tmp_path.glob("model-00002*"))
  shard.unlink()
  with pytest.raises(SymtuneError, match=f"no file at .*{shard.name}"):
    huggingface_source(tmp_path)
  index = tmp_path / "model.safetensors.index.json"
  index.write_text(json.dumps({"weight_map": {"shared.weight": "../x.safetensors"}}))
  with pytest.raises(SymtuneError, match="expected a file in the same folder"):
    huggingface_source(tmp_path)


def test_a_tensor_in_two_shards_is_refused(huggingface_golden, tmp_path):
  source = huggingface_source(huggingface_golden / "t5_1_1")
  list(write_huggingface(tmp_path, source, dtype=F32, shard_bytes=4000))
  first, second = sorted(tmp_path.glob("model-*"))[:2]
  name = next(iter(read_safetensors(first)))
  shutil.copyfile(first, second)
  with pytest.raises(SymtuneError, match=f"another shard also holds: .*{name}"):
    huggingface_source(tmp_path)


def test_an_output_layer_is_taken_from_the_embedding_only_where_the_config_says_so(
  huggingface_golden,
):
  folder = huggingface_golden / "t5_1_1"
  tensors = safetensors.numpy.load_file(folder / "model.safetensors")
  del tensors["lm_head.weight"]
  safetensors.numpy.save_file(tensors, folder / "model.safetensors")
  _edit_config(folder, scale_decoder_outputs=False, tie_word_embeddings=True)
  tied = huggingface_source(folder).tensors["decoder/logits_dense/kernel"]
  np.testing.assert_array_equal(tied.read(), tensors["shared.weight"].T)
  _edit_config(folder, tie_word_embeddings=False)
  with pytest.raises(SymtuneError, match=r"Missing: lm_head\.weight"):
    huggingface_source(folder)


def test_pickles_are_not_read(huggingface_golden):
  folder = huggingface_golden / "t5_1_1"
  (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
  with pytest.raises(SymtuneError, match="can run its author's code"):
    huggingface_source(folder)


def test_a_name_without_a_size_is_refused(tmp_path):
  config = T5Config(vocab_size=8, emb_dim=4, mlp_activations=("relu", "relu"))
  source = SourceCheckpoint(where="x", config=config, tensors={})
  with pytest.raises(SymtuneError, match="Transformers has no name"):
    list(write_huggingface(tmp_path, source, dtype=F32))


def test_bfloat16_is_rounded_and_read_back(held_tensors, tmp_path):
  config = T5Config(
    vocab_size=8,
    emb_dim=4,
    num_heads=2,
    head_dim=2,
    mlp_dim=4,
    num_encoder_layers=1,
    num_decoder_layers=1,
  )
  params = init_params(Transformer(config), jax.random.key(0))
  source = SourceCheckpoint(where="x", config=config, tensors=held_tensors(params))
  list(write_huggingface(tmp_path, source, dtype=np.dtype(jnp.bfloat16)))
  back = load_params(huggingface_source(tmp_path), dtype="bfloat16")
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a, b.astype(jnp.bfloat16)), back, params
  )
