"""DecoderConfig -> config.json of the family that its settings belong to.

Rotations are written in the older fields (rope_theta, rope_scaling), which Transformers
4 and 5 both read.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from symtune.convert.decoder.families import ARCHITECTURES, Family, family_of
from symtune.convert.decoder.read_config import SpecialIds, read_config
from symtune.convert.decoder.read_rotary import FULL, SLIDING
from symtune.errors import SymtuneError
from symtune.model.decoder.config import (
  Activation,
  Block,
  DecoderConfig,
  Rotary,
  RotaryScaling,
)

_ACTIVATIONS: Mapping[str, str] = {
  Activation.SILU: "silu",
  Activation.GELU: "gelu",
  Activation.GELU_TANH: "gelu_pytorch_tanh",
  Activation.RELU: "relu",
}


def write_config(
  config: DecoderConfig, *, dtype: str, ids: SpecialIds
) -> dict[str, Any]:
  """Returns the content of a network's config.json.

  Args:
    config: settings of the network.
    dtype: type of the stored parameters, such as "float32".
    ids: ids of the control tokens.

  Raises:
    SymtuneError: no family of Transformers has a network like this; names a setting.
  """
  family = family_of(config)
  content = {
    "architectures": [ARCHITECTURES[family]],
    "model_type": family.value,
    **_WRITERS[family](config),
    "tie_word_embeddings": config.logits_via_embedding,
    "bos_token_id": ids.bos,
    "eos_token_id": list(ids.eos) if len(ids.eos) > 1 else next(iter(ids.eos), None),
    "pad_token_id": ids.pad,
    "use_cache": True,
    "torch_dtype": dtype,
  }
  _check_same(config, family, content)
  return content


def _check_same(
  config: DecoderConfig, family: Family, content: Mapping[str, Any]
) -> None:
  """Reads the file again: a setting that the family lacks would be lost in silence."""
  found, _ = read_config("the config to be written", content)
  left, right = _meaning(config), _meaning(found)
  names = [f.name for f in dataclasses.fields(config)]
  lost = [name for name in names if getattr(left, name) != getattr(right, name)]
  if lost:
    shown = ", ".join(f"{name} = {getattr(config, name)}" for name in lost)
    raise SymtuneError(
      f"got a network with {shown}, which the nearest family of Transformers, "
      f"{family}, does not have. Such a network cannot be written for Transformers."
    )


def _meaning(config: DecoderConfig) -> DecoderConfig:
  """The settings that a config.json holds, with defaults written out."""
  other = config.window_rotary or config.rotary
  return dataclasses.replace(
    config,
    dtype="float32",
    remat_policy="none",
    query_scale=config.logit_scale,
    window_rotary=None if config.window is None else other,
  )


def _sizes(config: DecoderConfig) -> dict[str, Any]:
  return {
    "vocab_size": config.vocab_size,
    "hidden_size": config.emb_dim,
    "intermediate_size": config.mlp_dim,
    "num_hidden_layers": config.num_layers,
    "num_attention_heads": config.num_heads,
    "max_position_embeddings": config.max_positions,
  }


def _grouped(config: DecoderConfig) -> dict[str, Any]:
  """What Llama, Mistral, Qwen and Gemma write in the same way."""
  return {
    **_sizes(config),
    "num_key_value_heads": config.num_kv_heads,
    "head_dim": config.head_dim,
    "rms_norm_eps": config.norm_epsilon,
    "rope_theta": config.rotary.base,
    "rope_scaling": _scaling(config.rotary),
  }


def _llama(config: DecoderConfig) -> dict[str, Any]:
  return {
    **_grouped(config),
    "hidden_act": _ACTIVATIONS[config.activation],
    "attention_bias": config.has_out_bias,
    "mlp_bias": config.has_mlp_bias,
  }


def _mistral(config: DecoderConfig) -> dict[str, Any]:
  return {
    **_grouped(config),
    "hidden_act": _ACTIVATIONS[config.activation],
    "sliding_window": config.window,
  }


def _qwen(config: DecoderConfig) -> dict[str, Any]:
  return {
    **_grouped(config),
    "hidden_act": _ACTIVATIONS[config.activation],
    "use_sliding_window": config.window is not None,
    "sliding_window": config.window,
    "layer_types": _layer_types(config),
    **({"attention_bias": config.has_out_bias} if config.has_qk_norm else {}),
  }


def _gemma3(config: DecoderConfig) -> dict[str, Any]:
  return {
    **_grouped(config),
    "hidden_activation": _ACTIVATIONS[config.activation],
    "attention_bias": config.has_out_bias,
    "query_pre_attn_scalar": round(config.logit_scale**-2),
    "rope_local_base_freq": (config.window_rotary or config.rotary).base,
    # Without windowed layers, Transformers wants a window all the same.
    "sliding_window": config.window or config.max_positions,
    "layer_types": _layer_types(config),
  }


def _gpt_neox(config: DecoderConfig) -> dict[str, Any]:
  return {
    **_sizes(config),
    "hidden_act": _ACTIVATIONS[config.activation],
    "layer_norm_eps": config.norm_epsilon,
    "attention_bias": config.has_out_bias,
    "use_parallel_residual": config.block is Block.PARALLEL,
    "rotary_emb_base": config.rotary.base,
    "rotary_pct": config.rotary.share,
    "rope_scaling": _scaling(config.rotary),
  }


def _gpt2(config: DecoderConfig) -> dict[str, Any]:
  return {
    "vocab_size": config.vocab_size,
    "n_embd": config.emb_dim,
    "n_layer": config.num_layers,
    "n_head": config.num_heads,
    "n_inner": config.mlp_dim,
    "n_positions": config.max_positions,
    "layer_norm_epsilon": config.norm_epsilon,
    "activation_function": _ACTIVATIONS[config.activation],
  }


_WRITERS: Mapping[Family, Callable[[DecoderConfig], dict[str, Any]]] = {
  Family.LLAMA: _llama,
  Family.MISTRAL: _mistral,
  Family.QWEN2: _qwen,
  Family.QWEN3: _qwen,
  Family.GEMMA3: _gemma3,
  Family.GPT_NEOX: _gpt_neox,
  Family.GPT2: _gpt2,
}


def _layer_types(config: DecoderConfig) -> list[str]:
  return [
    SLIDING if i in config.windowed_layers else FULL for i in range(config.num_layers)
  ]


def _scaling(rotary: Rotary) -> dict[str, Any] | None:
  if rotary.scaling is RotaryScaling.NONE:
    return None
  settings = {"rope_type": str(rotary.scaling), "factor": rotary.factor}
  if rotary.scaling is RotaryScaling.LLAMA3:
    settings |= {
      "low_freq_factor": rotary.low_frequency,
      "high_freq_factor": rotary.high_frequency,
      "original_max_position_embeddings": rotary.original_length,
    }
  return settings
