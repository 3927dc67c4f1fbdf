"""Random networks of every family: Transformers against ours, and both conversions."""

import functools
import warnings

import jax
import numpy as np
import pytest

from symtune.convert.decoder.folder import read_decoder, write_decoder
from symtune.convert.load import load_params
from symtune.model.decoder.cache import empty_cache
from symtune.model.decoder.network import Decoder

pytestmark = pytest.mark.hf

LENGTH, VOCAB = 24, 50
CLOSE = {"atol": 1e-4, "rtol": 0}
FAMILIES = (
  "llama",
  "llama_scaled",
  "mistral",
  "qwen2",
  "qwen3",
  "gemma3",
  "gpt_neox",
  "gpt2",
)


def _config(family, rng):
  """A config of Transformers with random sizes and choices."""
  import transformers

  heads = int(rng.choice([2, 4, 6]))
  groups = int(rng.choice([g for g in (1, 2, heads) if heads % g == 0]))
  width, layers = heads * 2 * int(rng.integers(2, 6)), int(rng.integers(1, 4))
  is_tied, has_bias = bool(rng.integers(2)), bool(rng.integers(2))
  shared = {"vocab_size": VOCAB, "initializer_range": 0.3}
  shared |= {"bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": is_tied}
  if family == "gpt2":
    sizes = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": 32}
    return transformers.GPT2Config(**shared, **sizes)
  shared |= {
    "hidden_size": width,
    "intermediate_size": int(rng.integers(4, 40)),
    "num_hidden_layers": layers,
    "num_attention_heads": heads,
    "max_position_embeddings": 64,
  }
  if family == "gpt_neox":
    return transformers.GPTNeoXConfig(
      **shared,
      rotary_pct=float(rng.choice([0.5, 1.0])),
      use_parallel_residual=bool(rng.integers(2)),
      attention_bias=has_bias,
      hidden_act=str(rng.choice(["gelu", "gelu_new", "gelu_fast", "relu"])),
    )
  shared["num_key_value_heads"] = groups
  window, head_dim = int(rng.integers(2, 20)), 2 * int(rng.integers(1, 9))
  base = float(rng.choice([100.0, 10_000.0]))
  if family == "llama":
    return transformers.LlamaConfig(
      **shared, attention_bias=has_bias, mlp_bias=is_tied, rope_theta=base
    )
  if family == "llama_scaled":
    kind = str(rng.choice(["llama3", "linear"]))
    scaling = {"rope_type": kind, "factor": 4.0, "rope_theta": base}
    if kind == "llama3":
      scaling |= {"low_freq_factor": 1.0, "high_freq_factor": 3.0}
      scaling |= {"original_max_position_embeddings": 16}
    return transformers.LlamaConfig(
      **shared, head_dim=head_dim, rope_parameters=scaling
    )
  if family == "mistral":
    return transformers.MistralConfig(**shared, sliding_window=window)
  windows = {"use_sliding_window": is_tied, "sliding_window": window}
  if family == "qwen2":
    return transformers.Qwen2Config(**shared, **windows, max_window_layers=1)
  if family == "qwen3":
    return transformers.Qwen3Config(
      **shared,
      head_dim=head_dim,
      attention_bias=has_bias,
      max_window_layers=1,
      **windows,
    )
  return transformers.Gemma3TextConfig(
    **shared,
    head_dim=head_dim,
    sliding_window=window,
    sliding_window_pattern=2,
    query_pre_attn_scalar=int(rng.integers(1, 30)),
    attention_bias=has_bias,
  )


@pytest.fixture(scope="module", params=range(3))
def seed(request) -> int:
  return request.param


@pytest.fixture(scope="module", params=FAMILIES)
def models(request, seed, tmp_path_factory):
  """Their model, our network and parameters read from its folder."""
  torch = pytest.importorskip("torch", reason="needs the extra [hf]")
  import transformers

  rng = np.random.default_rng([seed, FAMILIES.index(request.param)])
  torch.manual_seed(seed)
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    model = transformers.AutoModelForCausalLM.from_config(_config(request.param, rng))
    with torch.no_grad():
      for parameter in model.parameters():
        if parameter.ndim == 1:
          parameter.add_(0.3 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp(request.param)
    model.eval().save_pretrained(folder)
  checkpoint = read_decoder(folder)
  return model, checkpoint, Decoder(checkpoint.config), load_params(checkpoint)


@pytest.fixture
def tokens(seed) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, VOCAB, (2, LENGTH), dtype=np.int32)


def _theirs(model, tokens) -> np.ndarray:
  import torch

  with torch.no_grad():
    return model(torch.from_numpy(tokens).long()).logits.numpy()


def test_whole_rows(models, tokens):
  model, _, network, params = models
  expected = _theirs(model, tokens)
  found = jax.jit(network.apply)({"params": params}, tokens)
  np.testing.assert_allclose(found, expected, **CLOSE)


def test_packed_rows_against_each_example_alone(models, tokens):
  model, _, network, params = models
  lengths = (5, 1, 11, 4)  # and three of padding
  segments = np.zeros((1, LENGTH), np.int32)
  positions = np.zeros((1, LENGTH), np.int32)
  expected, start = [], 0
  for number, length in enumerate(lengths, start=1):
    part = np.s_[:1, start : start + length]
    segments[part], positions[part] = number, np.arange(length)
    expected.append(_theirs(model, tokens[part]))
    start += length
  found = jax.jit(network.apply)({"params": params}, tokens[:1], segments, positions)
  np.testing.assert_allclose(
    found[:, :start], np.concatenate(expected, axis=1), **CLOSE
  )


def test_steps_through_the_cache(models, tokens):
  model, _, network, params = models
  expected = _theirs(model, tokens)
  extend = jax.jit(functools.partial(network.apply, method="extend"))
  cache = empty_cache(network.config, batch=2, slots=LENGTH)
  places = np.broadcast_to(np.arange(LENGTH), tokens.shape)
  start = 0
  for size in (18, 1, 1, 4):
    part = np.s_[:, start : start + size]
    logits, cache = extend({"params": params}, tokens[part], cache, places[part])
    np.testing.assert_allclose(logits, expected[part], **CLOSE)
    start += size


def test_transformers_reads_what_we_write(models, tokens, tmp_path):
  import transformers

  model, checkpoint, _, _ = models
  names = write_decoder(
    tmp_path, checkpoint, dtype=np.dtype(np.float32), shard_bytes=20_000
  )
  assert len(list(names)) > 1
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    again, info = transformers.AutoModelForCausalLM.from_pretrained(
      tmp_path, output_loading_info=True
    )
  assert not any(info.values()), info
  assert type(again) is type(model)
  np.testing.assert_allclose(
    _theirs(again.eval(), tokens), _theirs(model, tokens), atol=1e-5, rtol=0
  )
  assert again.config.eos_token_id == model.config.eos_token_id


def test_prefixes_are_seen_in_both_directions(models, tokens):
  """Transformers takes a mask of our own making, for families without windows."""
  import torch

  model, _, network, params = models
  if network.config.window is not None:
    pytest.skip("Transformers makes the masks of windowed layers itself")
  is_prefix = np.zeros(tokens.shape, bool)
  is_prefix[0, :7] = is_prefix[1, :15] = True
  visible = np.tri(LENGTH, dtype=bool) | (is_prefix[:, :, None] & is_prefix[:, None])
  with torch.no_grad():
    expected = model(
      torch.from_numpy(tokens).long(),
      attention_mask=torch.from_numpy(visible)[:, None],
    ).logits.numpy()
  found = jax.jit(network.apply)({"params": params}, tokens, is_prefix=is_prefix)
  np.testing.assert_allclose(found, expected, **CLOSE)
