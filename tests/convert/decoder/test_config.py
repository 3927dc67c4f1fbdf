"""config.json of published models and of strange ones."""

import dataclasses
import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from symtune.convert.decoder.read_config import SpecialIds, read_config
from symtune.convert.decoder.write_config import write_config
from symtune.errors import SymtuneError
from symtune.model.decoder.config import (
  Activation,
  Block,
  DecoderConfig,
  Norm,
  Positions,
  Rotary,
  RotaryScaling,
)

SMOLLM2 = {
  "architectures": ["LlamaForCausalLM"],
  "attention_bias": False,
  "attention_dropout": 0.0,
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "hidden_size": 576,
  "initializer_range": 0.041666666666666664,
  "intermediate_size": 1536,
  "is_llama_config": True,
  "max_position_embeddings": 8192,
  "mlp_bias": False,
  "model_type": "llama",
  "num_attention_heads": 9,
  "num_hidden_layers": 30,
  "num_key_value_heads": 3,
  "pad_token_id": 2,
  "pretraining_tp": 1,
  "rms_norm_eps": 1e-05,
  "rope_interleaved": False,
  "rope_scaling": None,
  "rope_theta": 100000,
  "tie_word_embeddings": True,
  "torch_dtype": "bfloat16",
  "use_cache": True,
  "vocab_size": 49152,
}
LLAMA3 = {
  "model_type": "llama",
  "eos_token_id": [128001, 128008, 128009],
  "head_dim": 64,
  "hidden_size": 2048,
  "intermediate_size": 8192,
  "max_position_embeddings": 131072,
  "num_attention_heads": 32,
  "num_hidden_layers": 16,
  "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05,
  "rope_scaling": {
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
  },
  "rope_theta": 500000.0,
  "tie_word_embeddings": True,
  "vocab_size": 128256,
}
MISTRAL = {
  "model_type": "mistral",
  "hidden_size": 4096,
  "intermediate_size": 14336,
  "max_position_embeddings": 32768,
  "num_attention_heads": 32,
  "num_hidden_layers": 32,
  "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0,
  "sliding_window": 4096,
  "vocab_size": 32000,
}
QWEN2 = {
  "model_type": "qwen2",
  "hidden_size": 896,
  "intermediate_size": 4864,
  "max_position_embeddings": 32768,
  "max_window_layers": 24,
  "num_attention_heads": 14,
  "num_hidden_layers": 24,
  "num_key_value_heads": 2,
  "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0,
  "sliding_window": 32768,
  "tie_word_embeddings": True,
  "use_mrope": False,
  "use_sliding_window": False,
  "vocab_size": 151936,
}
QWEN3 = {
  **{name: value for name, value in QWEN2.items() if name != "use_mrope"},
  "model_type": "qwen3",
  "attention_bias": False,
  "head_dim": 128,
  "max_window_layers": 28,
  "sliding_window": None,
}
GEMMA3 = {
  "_sliding_window_pattern": 6,
  "model_type": "gemma3_text",
  "attn_logit_softcapping": None,
  "final_logit_softcapping": None,
  "head_dim": 256,
  "hidden_activation": "gelu_pytorch_tanh",
  "hidden_size": 640,
  "intermediate_size": 2048,
  "layer_types": [*["sliding_attention"] * 5, "full_attention"] * 3,
  "max_position_embeddings": 32768,
  "num_attention_heads": 4,
  "num_hidden_layers": 18,
  "num_key_value_heads": 1,
  "query_pre_attn_scalar": 256,
  "rms_norm_eps": 1e-06,
  "rope_local_base_freq": 10000.0,
  "rope_theta": 1000000.0,
  "sliding_window": 512,
  "use_bidirectional_attention": False,
  "vocab_size": 262144,
}
PYTHIA = {
  "model_type": "gpt_neox",
  "hidden_act": "gelu",
  "hidden_size": 512,
  "intermediate_size": 2048,
  "layer_norm_eps": 1e-05,
  "max_position_embeddings": 2048,
  "num_attention_heads": 8,
  "num_hidden_layers": 6,
  "rotary_emb_base": 10000,
  "rotary_pct": 0.25,
  "tie_word_embeddings": False,
  "torch_dtype": "float16",
  "use_parallel_residual": True,
  "vocab_size": 50304,
}
GPT2 = {
  "model_type": "gpt2",
  "activation_function": "gelu_new",
  "attn_pdrop": 0.1,
  "layer_norm_epsilon": 1e-05,
  "n_ctx": 1024,
  "n_embd": 768,
  "n_head": 12,
  "n_layer": 12,
  "n_positions": 1024,
  "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
  "vocab_size": 50257,
}
PUBLISHED = {
  "smollm2": SMOLLM2,
  "llama3": LLAMA3,
  "mistral": MISTRAL,
  "qwen2": QWEN2,
  "qwen3": QWEN3,
  "gemma3": GEMMA3,
  "pythia": PYTHIA,
  "gpt2": GPT2,
}


def _read(content: dict[str, Any], **changes) -> DecoderConfig:
  content = {**content, **changes}
  return read_config("config.json", {k: v for k, v in content.items() if v != "-"})[0]


def test_smollm2():
  config, ids = read_config("config.json", SMOLLM2)
  assert config == DecoderConfig(
    vocab_size=49152,
    emb_dim=576,
    num_layers=30,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    mlp_dim=1536,
    max_positions=8192,
    norm_epsilon=1e-5,
    rotary=Rotary(base=100_000.0),
    logits_via_embedding=True,
  )
  assert ids == SpecialIds(bos=1, eos=(2,), pad=2)


def test_llama3_stretches_its_rotations():
  config, ids = read_config("config.json", LLAMA3)
  assert config.rotary == Rotary(
    base=500_000.0,
    scaling=RotaryScaling.LLAMA3,
    factor=32.0,
    low_frequency=1.0,
    high_frequency=4.0,
    original_length=8192,
  )
  assert ids == SpecialIds(eos=(128001, 128008, 128009))


def test_mistral_sees_a_window_in_every_layer():
  config = _read(MISTRAL)
  assert (config.window, config.windowed_layers) == (4096, tuple(range(32)))
  assert _read(MISTRAL, sliding_window=None).window is None


def test_qwen2_has_biases_and_no_window_unless_it_uses_one():
  config = _read(QWEN2)
  assert (config.has_qkv_bias, config.has_out_bias, config.window) == (
    True,
    False,
    None,
  )
  windowed = _read(QWEN2, use_sliding_window=True, max_window_layers=21)
  assert (windowed.window, windowed.windowed_layers) == (32768, (21, 22, 23))
  assert _read(QWEN2, use_sliding_window=True).window is None  # from layer 24 on


def test_qwen3_normalises_heads():
  config = _read(QWEN3)
  assert (config.has_qk_norm, config.has_qkv_bias, config.head_dim) == (
    True,
    False,
    128,
  )


def test_gemma3():
  config = _read(GEMMA3)
  assert config.block is Block.SANDWICH
  assert config.norm is Norm.RMS_PLUS_ONE
  assert config.activation is Activation.GELU_TANH
  assert config.logit_scale == 1 / 16
  assert config.window == 512
  assert config.windowed_layers == tuple(i for i in range(18) if i % 6 != 5)
  assert (config.rotary.base, config.window_rotary) == (1e6, Rotary(base=1e4))
  assert (config.scales_embedding, config.logits_via_embedding) == (True, True)
  by_rule = _read(GEMMA3, layer_types="-", sliding_window_pattern=6)
  assert by_rule == config


def test_pythia():
  config = _read(PYTHIA)
  assert config.block is Block.PARALLEL
  assert config.norm is Norm.LAYER
  assert config.rotary == Rotary(share=0.25)
  assert not config.is_gated
  assert config.has_qkv_bias
  assert config.has_mlp_bias


def test_gpt2():
  config = _read(GPT2)
  assert config.positions is Positions.LEARNED
  assert (config.mlp_dim, config.max_positions) == (3072, 1024)
  assert config.activation is Activation.GELU_TANH
  assert config.logits_via_embedding


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_written_is_read_again(name):
  config, ids = read_config("config.json", PUBLISHED[name])
  written = write_config(config, dtype="float32", ids=ids)
  assert written["model_type"] == PUBLISHED[name]["model_type"]
  again = json.loads(json.dumps(written))
  assert read_config("config.json", again) == (config, ids)


def test_both_ways_to_write_rotations_mean_the_same():
  old = _read(LLAMA3)
  new = {"rope_theta": 500000.0, **LLAMA3["rope_scaling"]}
  assert _read(LLAMA3, rope_theta="-", rope_scaling="-", rope_parameters=new) == old
  kinds = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 3e4},
  }
  config = _read(GEMMA3, rope_theta="-", rope_parameters=kinds)
  assert config.rotary == Rotary(base=2e6, scaling=RotaryScaling.LINEAR, factor=8.0)
  assert config.window_rotary == Rotary(base=3e4)
  scaled = _read(GEMMA3, rope_scaling={"rope_type": "linear", "factor": 8.0})
  assert scaled.rotary == Rotary(base=1e6, scaling=RotaryScaling.LINEAR, factor=8.0)
  assert scaled.window_rotary == Rotary(base=1e4)
  parted = {"partial_rotary_factor": 0.5, "rope_theta": 77.0}
  config = _read(PYTHIA, rope_parameters=parted)
  assert config.rotary == Rotary(base=77.0, share=0.5)


def test_neox_may_have_the_newer_names_too_if_they_say_the_same():
  assert _read(PYTHIA, partial_rotary_factor=0.25, rope_theta=10000) == _read(PYTHIA)
  for name, value in (("partial_rotary_factor", 0.5), ("rope_theta", 7.0)):
    with pytest.raises(SymtuneError, match=f"{name} is {value}, expected"):
      _read(PYTHIA, **{name: value})


def test_slow_rotations_are_read():
  assert _read(LLAMA3, rope_theta=1e10).rotary.base == 1e10


def test_fields_that_other_programs_leave_change_nothing():
  left = {"unsloth_fixed": True, "_num_labels": 2, "max_sequence_length": 2048}
  assert _read(LLAMA3, **left) == _read(LLAMA3)
  left = {"n_special": 0, "predict_special_tokens": True, "output_past": True}
  assert _read(GPT2, **left) == _read(GPT2)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("value", [True, False, 0, 1.5, "x", [], {"a": 1}])
def test_a_field_that_is_not_understood_is_refused_by_name(name, value):
  with pytest.raises(SymtuneError, match=r"does not understand .*new_trick = "):
    _read(PUBLISHED[name], new_trick=value)
  assert _read(PUBLISHED[name], new_trick=None) == _read(PUBLISHED[name])


@pytest.mark.parametrize(
  ("base", "changes", "message"),
  [
    (SMOLLM2, {"model_type": "phi3"}, "model_type is 'phi3', expected one of llama"),
    (SMOLLM2, {"model_type": ["llama"]}, r"model_type is \['llama'\]"),
    (GEMMA3, {"model_type": "gemma3"}, "Gemma 3 with images is not"),
    (SMOLLM2, {"architectures": ["LlamaModel"]}, "architectures is"),
    (SMOLLM2, {"hidden_size": "-"}, "config.json lacks hidden_size"),
    (SMOLLM2, {"hidden_size": 576.0}, "hidden_size is 576.0, expected a whole"),
    (SMOLLM2, {"hidden_size": 8}, "lacks head_dim"),  # 9 heads
    (SMOLLM2, {"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
    (SMOLLM2, {"num_key_value_heads": 2}, "num_kv_heads is 2; expected a divisor"),
    (SMOLLM2, {"hidden_act": "mish"}, "hidden_act is 'mish', expected one of silu"),
    (SMOLLM2, {"rms_norm_eps": -1.0}, "config.json: DecoderConfig.norm_epsilon"),
    (SMOLLM2, {"rms_norm_eps": float("nan")}, "rms_norm_eps is nan"),
    (SMOLLM2, {"rope_theta": 10**400}, "expected a number up to"),
    (SMOLLM2, {"tie_word_embeddings": 1}, "tie_word_embeddings is 1, expected true"),
    (SMOLLM2, {"rope_interleaved": True}, "rope_interleaved is True, expected False"),
    (SMOLLM2, {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    (SMOLLM2, {"rope_scaling": 2}, "rope_scaling is 2, expected an object"),
    (SMOLLM2, {"eos_token_id": "</s>"}, "eos_token_id is '</s>', expected a whole"),
    (SMOLLM2, {"bos_token_id": [1, 2]}, r"bos_token_id is \[1, 2\]"),
    (SMOLLM2, {"quantization_config": {"bits": 4}}, "quantization_config is"),
    (SMOLLM2, {"pruned_heads": {"0": [1]}}, "pruned_heads is"),
    (SMOLLM2, {"is_encoder_decoder": True}, "is_encoder_decoder is True"),
    (SMOLLM2, {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "'yarn', expected"),
    (
      SMOLLM2,
      {"rope_scaling": {"type": "linear", "factor": 4.0, "beta_fast": 3}},
      "rope_scaling has fields .*beta_fast = 3",
    ),
    (SMOLLM2, {"rope_scaling": {"type": "linear"}}, "rope_scaling lacks factor"),
    (MISTRAL, {"sliding_window": "-"}, "lacks sliding_window.*would take 4096"),
    (MISTRAL, {"num_key_value_heads": "-"}, "lacks num_key_value_heads"),
    (QWEN2, {"layer_types": ["sliding_attention"] * 24}, "use_sliding_window is false"),
    (QWEN2, {"layer_types": ["full_attention"]}, "for each of the 24 layers"),
    (QWEN3, {"head_dim": "-"}, "lacks head_dim"),
    (GEMMA3, {"final_logit_softcapping": 30.0}, "final_logit_softcapping is 30.0"),
    (GEMMA3, {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
    (GEMMA3, {"use_bidirectional_attention": True}, "use_bidirectional_attention is"),
    (
      GEMMA3,
      {"layer_types": [*["full_attention"] * 17, "chunked_attention"]},
      "for each of the 18 layers",
    ),
    (PYTHIA, {"num_attention_heads": 7}, "expected a multiple of the 7 heads"),
    (PYTHIA, {"rotary_pct": 0.01}, "0 numbers of a head are rotated"),
    (GPT2, {"scale_attn_weights": False}, "scale_attn_weights is False"),
    (GPT2, {"add_cross_attention": True}, "add_cross_attention is True"),
  ],
)
def test_what_the_network_cannot_do_is_refused_by_name(base, changes, message):
  with pytest.raises(SymtuneError, match=message):
    _read(base, **changes)


_VALUES = st.recursive(
  st.none()
  | st.booleans()
  | st.integers(-3, 3)
  | st.sampled_from((10**400, 2**31, 0.5, float("nan"), float("inf"), "x", ""))
  | st.sampled_from(("full_attention", "linear", "llama3", "default", "silu")),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(
      st.sampled_from(("rope_type", "factor", "rope_theta", "full_attention", "type")),
      inner,
      max_size=3,
    )
  ),
  max_leaves=4,
)
_FIELDS = sorted(
  set().union(*PUBLISHED.values())
  | {"rope_parameters", "sliding_window_pattern", "n_inner", "eos_token_id"}
)


@pytest.mark.parametrize("name", PUBLISHED)
@hypothesis.given(field=st.sampled_from(_FIELDS), value=_VALUES)
@hypothesis.settings(max_examples=150)
def test_any_value_of_any_field_is_read_or_refused(name, field, value):
  try:
    found = read_config("config.json", {**PUBLISHED[name], field: value})
  except SymtuneError as error:
    found = str(error)
  if isinstance(found, str):
    assert found.startswith("config.json")
  else:
    write_config(found[0], dtype="float32", ids=found[1])


_ROTATIONS = (
  Rotary(base=100.0),
  Rotary(scaling=RotaryScaling.LINEAR, factor=8.0),
  Rotary(scaling=RotaryScaling.LLAMA3, factor=2.0, original_length=64),
)
# What networks of one family differ in.
_CHOICES = st.fixed_dictionaries(
  {
    "head_dim": st.sampled_from((4, 12)),
    "num_kv_heads": st.sampled_from((1, 3)),
    "rotary": st.sampled_from(_ROTATIONS),
    "activation": st.sampled_from(Activation),
    "logits_via_embedding": st.booleans(),
    "block": st.sampled_from((Block.PARALLEL, Block.PRE_NORM)),
    "has_bias": st.booleans(),
  }
)


def _varied(base: DecoderConfig, choices: dict[str, Any]) -> DecoderConfig:
  """A network of the same family with those choices that its family has."""
  choices = dict(choices)
  block, has_bias = choices.pop("block"), choices.pop("has_bias")
  choices |= {"num_heads": 6}
  if base.norm is Norm.LAYER:
    choices |= {"num_kv_heads": 6, "emb_dim": 6 * choices["head_dim"]}
    if base.positions is Positions.LEARNED:
      choices["rotary"] = Rotary()
    else:
      choices["rotary"] = dataclasses.replace(choices["rotary"], share=0.5)
      choices |= {"block": block, "has_qkv_bias": has_bias, "has_out_bias": has_bias}
  elif base.has_qk_norm or (base.window is None and not base.has_qkv_bias):
    choices |= {"has_qkv_bias": has_bias, "has_out_bias": has_bias}
  return dataclasses.replace(base, **choices)


@pytest.mark.parametrize("name", PUBLISHED)
@hypothesis.given(choices=_CHOICES)
@hypothesis.settings(max_examples=20)
def test_any_network_of_a_family_is_written_and_read(name, choices):
  config = _varied(_read(PUBLISHED[name]), choices)
  written = write_config(config, dtype="bfloat16", ids=SpecialIds())
  assert written["model_type"] == PUBLISHED[name]["model_type"]
  assert read_config("config.json", json.loads(json.dumps(written)))[0] == config


@pytest.mark.parametrize(
  ("base", "changes", "message"),
  [
    (SMOLLM2, {"positions": "none"}, "no such family"),
    (SMOLLM2, {"is_gated": False}, "is_gated = False.*nearest family .*llama"),
    (SMOLLM2, {"window": 5, "windowed_layers": (3,)}, "windowed_layers = "),
    (SMOLLM2, {"scales_embedding": True}, "scales_embedding = True"),
    (MISTRAL, {"has_mlp_bias": True}, "has_mlp_bias = True"),
    (GEMMA3, {"query_scale": 0.3}, "query_scale = 0.3"),
    (PYTHIA, {"has_mlp_bias": False}, "has_mlp_bias = False"),
  ],
)
def test_a_network_that_no_family_has_is_not_written(base, changes, message):
  config = dataclasses.replace(_read(base), **changes)
  with pytest.raises(SymtuneError, match=message):
    write_config(config, dtype="float32", ids=SpecialIds())


def test_defaults_may_be_written_out():
  plain = _read(QWEN3)
  scaled = dataclasses.replace(plain, query_scale=128**-0.5)
  written = write_config(scaled, dtype="float32", ids=SpecialIds())
  assert read_config("config.json", written)[0] == plain
  one_base = dataclasses.replace(_read(GEMMA3), window_rotary=None, query_scale=None)
  written = write_config(one_base, dtype="float32", ids=SpecialIds())
  again = read_config("config.json", written)[0]
  assert again.window_rotary == again.rotary == one_base.rotary


def test_type_and_rematerialisation_are_no_part_of_a_file():
  config = dataclasses.replace(_read(SMOLLM2), dtype="bfloat16", remat_policy="full")
  written = write_config(config, dtype="float32", ids=SpecialIds())
  assert read_config("config.json", written)[0] == _read(SMOLLM2)
