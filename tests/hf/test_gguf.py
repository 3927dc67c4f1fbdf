"""GGUF files that the tests write: converted, described, and refused if in doubt."""

import json
import sys

import numpy as np
import pytest

from symtune.cli.main import main
from symtune.convert.decoder.folder import read_decoder
from symtune.convert.tokenizer.read import read_vocab

pytestmark = pytest.mark.hf

WIDTH, HEADS, KV_HEADS, MLP, LAYERS = 64, 4, 2, 96, 2
HEAD_DIM = WIDTH // HEADS
# Query and key are stored with the two halves of each head's rotations in turn.
MATRICES = {
  "attn_q": (HEADS * HEAD_DIM, WIDTH),
  "attn_k": (KV_HEADS * HEAD_DIM, WIDTH),
  "attn_v": (KV_HEADS * HEAD_DIM, WIDTH),
  "attn_output": (WIDTH, HEADS * HEAD_DIM),
  "ffn_gate": (MLP, WIDTH),
  "ffn_up": (MLP, WIDTH),
  "ffn_down": (WIDTH, MLP),
}
PATHS = {
  "attn_q": "attention/query/kernel",
  "attn_k": "attention/key/kernel",
  "attn_v": "attention/value/kernel",
  "attn_output": "attention/out/kernel",
  "ffn_gate": "mlp/wi_0/kernel",
  "ffn_up": "mlp/wi_1/kernel",
  "ffn_down": "mlp/wo/kernel",
}


@pytest.fixture(scope="module")
def tokenizer(family_folder):
  """The content of a byte-level tokenizer.json."""
  return json.loads((family_folder("gpt2") / "tokenizer.json").read_text())


@pytest.fixture(scope="module")
def tensors(tokenizer):
  """Random tensors by the names that llama.cpp gives them, its layout included."""
  rng = np.random.default_rng(0)
  made = {"token_embd.weight": (len(tokenizer["model"]["vocab"]), WIDTH)}
  for layer in range(LAYERS):
    made |= {f"blk.{layer}.{n}.weight": shape for n, shape in MATRICES.items()}
    made |= {f"blk.{layer}.{n}_norm.weight": (WIDTH,) for n in ("attn", "ffn")}
  made["output_norm.weight"] = (WIDTH,)
  return {n: rng.normal(size=s).astype(np.float32) for n, s in made.items()}


@pytest.fixture
def write(tokenizer, tmp_path):
  """(tensors, is_quantized, scaling) -> a GGUF file with these tensors."""
  gguf = pytest.importorskip("gguf", reason="needs the extra [hf]")

  def to_file(tensors, *, is_quantized=False, scaling=None):
    path = tmp_path / "files" / "tiny.gguf"
    path.parent.mkdir()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(5000.0)
    if scaling is not None:
      writer.add_rope_scaling_type(scaling)
    vocab = tokenizer["model"]["vocab"]
    writer.add_vocab_size(len(vocab))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocab, key=vocab.__getitem__))
    writer.add_token_merges([" ".join(m) for m in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, array in tensors.items():
      if is_quantized and array.ndim == 2:
        writer.add_tensor(name, gguf.quants.quantize(array, q8), raw_dtype=q8)
      else:
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

  return to_file


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
  """Converts a file to tmp_path / "out"; its exit code and what it says."""

  def run(path, *options):
    command = ["symtune", "convert", str(path), str(tmp_path / "out"), *options]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
      main()
    return stop.value.code or 0, " ".join(capsys.readouterr().err.split())

  return run


def _unpermuted(array, heads):
  """Undoes llama.cpp's permutation of a query or key (convert_hf_to_gguf.py)."""
  turned = array.reshape(heads, -1, 2, array.shape[-1]).swapaxes(1, 2)
  return turned.reshape(array.shape)


@pytest.mark.parametrize("is_quantized", [False, True])
def test_numbers_settings_and_tokenizer_are_those_of_the_file(
  is_quantized, tensors, write, convert, tmp_path, family_folder
):
  gguf = pytest.importorskip("gguf", reason="needs the extra [hf]")
  code, said = convert(write(tensors, is_quantized=is_quantized))
  assert code == 0, said
  assert {path.name for path in tmp_path.iterdir()} == {"files", "out"}
  opened = read_decoder(tmp_path / "out")
  config = opened.config
  assert (config.emb_dim, config.num_layers, config.mlp_dim) == (WIDTH, LAYERS, MLP)
  assert (config.num_heads, config.num_kv_heads) == (HEADS, KV_HEADS)
  assert (config.head_dim, config.rotary.base) == (HEAD_DIM, 5000.0)
  assert config.logits_via_embedding

  q8 = gguf.GGMLQuantizationType.Q8_0
  for name, path in PATHS.items():
    array = tensors[f"blk.1.{name}.weight"]
    if is_quantized:
      array = gguf.quants.dequantize(gguf.quants.quantize(array, q8), q8)
    if name in ("attn_q", "attn_k"):
      array = _unpermuted(array, HEADS if name == "attn_q" else KV_HEADS)
    found = opened.tensors[f"layers_1/{path}"].read()
    np.testing.assert_array_equal(found, array.T)

  card = (tmp_path / "out" / "README.md").read_text()
  types = "Q8_0 (15), F32 (5)" if is_quantized else "F32 (20): it is not quantized"
  for text in (said, card):
    assert types in " ".join(text.split())
    assert ("not the published weights" in " ".join(text.split())) == is_quantized
  text = "Input: the film was good\nOutput: good"
  wanted = read_vocab(family_folder("gpt2")).encode(text)
  np.testing.assert_array_equal(read_vocab(tmp_path / "out").encode(text), wanted)


def test_the_folder_may_be_bfloat16(tensors, write, convert, tmp_path):
  code, said = convert(write(tensors), "--dtype", "bfloat16")
  assert code == 0, said
  stored = read_decoder(tmp_path / "out").tensors
  assert {tensor.dtype.name for tensor in stored.values()} == {"bfloat16"}
  name = "blk.0.ffn_up.weight"
  found = stored["layers_0/mlp/wi_1/kernel"].read()
  np.testing.assert_array_equal(found, tensors[name].astype(found.dtype).T)


def _without(tensors, name):
  return {n: array for n, array in tensors.items() if n != name}


BAD = {
  "scaled_frequencies": (
    lambda found: {**found, "rope_freqs.weight": np.ones(8, np.float32)},
    "rope_freqs",
  ),
  "a_tensor_is_missing": (
    lambda found: _without(found, "blk.1.attn_q.weight"),
    "no numbers for model.layers.1.self_attn.q_proj.weight",
  ),
  "a_tensor_without_a_place": (
    lambda found: {**found, "blk.0.other.weight": np.ones(8, np.float32)},
    "got 21 tensors, expected 20",
  ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_what_transformers_would_pass_over_is_refused(
  change, message, tensors, write, convert, tmp_path
):
  path = write(change(tensors))
  code, said = convert(path)
  assert code == 2, said
  assert f"error: {path}" in said
  assert message in said
  assert {path.name for path in tmp_path.iterdir()} == {"files"}


def test_scaled_positions_are_refused(tensors, write, convert, tmp_path):
  gguf = pytest.importorskip("gguf", reason="needs the extra [hf]")
  code, said = convert(write(tensors, scaling=gguf.RopeScalingType.LINEAR))
  assert code == 2, said
  assert "llama.rope.scaling.type = 'linear'" in said
  assert {path.name for path in tmp_path.iterdir()} == {"files"}


def test_a_damaged_file_is_refused(tensors, write, convert, tmp_path):
  path = write(tensors)
  content = path.read_bytes()
  for damaged in (content[:-100], content[:200], b"", b"no" + content[2:]):
    path.write_bytes(damaged)
    code, said = convert(path)
    assert code == 2, said
    assert f"error: {path} cannot be converted" in said
    assert {path.name for path in tmp_path.iterdir()} == {"files"}
