"""config.json of a decoder-only model -> DecoderConfig.

Source: transformers/models/{llama,mistral,qwen2,qwen3,gemma3,gpt_neox,gpt2}/
configuration_*.py of version 5.23. Where Transformers would take a default of its class
that differs between families, the field has to be there.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from symtune.convert.decoder.families import ARCHITECTURES, HARMLESS, Family
from symtune.convert.decoder.fields import Fields
from symtune.convert.decoder.read_rotary import (
  FULL,
  SLIDING,
  read_gemma_rotary,
  read_rotary,
)
from symtune.errors import SymtuneError
from symtune.model.decoder.config import (
  Activation,
  Block,
  DecoderConfig,
  Norm,
  Positions,
)

# gelu_fast writes the same formula with its constants multiplied out.
_ACTIVATIONS: Mapping[str, Activation] = {
  "silu": Activation.SILU,
  "swish": Activation.SILU,
  "gelu": Activation.GELU,
  "gelu_new": Activation.GELU_TANH,
  "gelu_pytorch_tanh": Activation.GELU_TANH,
  "gelu_fast": Activation.GELU_TANH,
  "relu": Activation.RELU,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecialIds:
  """Ids of a model's control tokens, as its config states them.

  Attributes:
    bos: starts a text; None: no token does.
    eos: each of these ends an answer.
    pad: fills rows; None: not stated.
  """

  bos: int | None = None
  eos: tuple[int, ...] = ()
  pad: int | None = None


def read_config(
  where: str, content: Mapping[str, Any]
) -> tuple[DecoderConfig, SpecialIds]:
  """Reads a config.json.

  Args:
    where: the file, for messages.
    content: its JSON object.

  Returns:
    The network's settings, and the ids of its control tokens.

  Raises:
    SymtuneError: another family; a field is missing, has a value that the network does
      not support, or is not understood. Names it.
  """
  fields = Fields(where, content)
  family = _family(fields)
  fields.take("model_type")
  fields.fixed("architectures", [ARCHITECTURES[family]])
  for name in ("is_encoder_decoder", "add_cross_attention", "tie_encoder_decoder"):
    fields.fixed(name, False)
  for name in ("pruned_heads", "quantization_config", "auto_map"):
    if fields.take(name):
      raise SymtuneError(f"{where}: {name} is {content[name]!r:.60}, expected none.")
  ids = _take_ids(fields)
  try:
    config = DecoderConfig(**_READERS[family](fields))
  except SymtuneError as error:
    message = str(error)
    if message.startswith(where):
      raise
    raise SymtuneError(f"{where}: {message}") from error
  fields.finish(HARMLESS)
  return config, ids


def _family(fields: Fields) -> Family:
  kind = fields.take("model_type")
  if kind in list(Family):
    return Family(kind)
  hint = " Gemma 3 with images is not: get a text-only one." if kind == "gemma3" else ""
  raise SymtuneError(
    f"{fields.where}: model_type is {kind!r}, expected one of {', '.join(Family)}."
    f"{hint} Such a model can be asked with --checkpoint transformers:FOLDER."
  )


def special_ids(where: str, content: Mapping[str, Any]) -> SpecialIds:
  """The ids of control tokens that a config.json or generation_config.json states.

  Args:
    where: the file, for messages.
    content: its JSON object; other fields do not count.

  Raises:
    SymtuneError: an id is no whole number; names the field.
  """
  return _take_ids(Fields(where, content))


def _take_ids(fields: Fields) -> SpecialIds:
  found = {}
  for name in ("bos", "eos", "pad"):
    value = fields.take(f"{name}_token_id")
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(i) is int for i in values) or (name != "eos" and len(values) > 1):
      raise SymtuneError(
        f"{fields.where}: {name}_token_id is {value!r}, expected a whole number."
      )
    found[name] = tuple(values)
  first = {name: next(iter(found[name]), None) for name in ("bos", "pad")}
  return SpecialIds(**first, eos=found["eos"])


def _sizes(fields: Fields) -> dict[str, Any]:
  """What Llama, Mistral, Qwen and Gemma write in the same way."""
  width, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
  return {
    "vocab_size": fields.count("vocab_size"),
    "emb_dim": width,
    "num_layers": fields.count("num_hidden_layers"),
    "num_heads": heads,
    "head_dim": fields.count("head_dim", width // heads or None),
    "mlp_dim": fields.count("intermediate_size"),
    "max_positions": fields.count("max_position_embeddings"),
    "norm_epsilon": fields.number("rms_norm_eps", 1e-6),
    "logits_via_embedding": fields.flag("tie_word_embeddings", False),
  }


def _llama(fields: Fields) -> dict[str, Any]:
  sizes = _sizes(fields)
  fields.fixed("rope_interleaved", False)
  fields.fixed("is_llama_config", True)  # of SmolLM2's converter
  has_bias = fields.flag("attention_bias", False)
  return {
    **sizes,
    "num_kv_heads": fields.count("num_key_value_heads", sizes["num_heads"]),
    "activation": _activation(fields, "hidden_act", "silu"),
    "has_qkv_bias": has_bias,
    "has_out_bias": has_bias,
    "has_mlp_bias": fields.flag("mlp_bias", False),
    "rotary": read_rotary(fields, sizes["max_positions"]),
  }


def _mistral(fields: Fields) -> dict[str, Any]:
  sizes = _sizes(fields)
  window = fields.take("sliding_window", "absent")
  if window == "absent":
    raise SymtuneError(
      f"{fields.where} lacks sliding_window, for which Transformers would take 4096. "
      "Write null, if the model sees whole rows, or the number into a copy."
    )
  return {
    **sizes,
    "num_kv_heads": fields.count("num_key_value_heads"),
    "activation": _activation(fields, "hidden_act", "silu"),
    "rotary": read_rotary(fields, sizes["max_positions"]),
    "window": None if window is None else fields.count("sliding_window"),
    "windowed_layers": () if window is None else tuple(range(sizes["num_layers"])),
  }


def _qwen2(fields: Fields) -> dict[str, Any]:
  sizes = _sizes(fields)
  fields.fixed("use_mrope", False)
  return {
    **sizes,
    "num_kv_heads": fields.count("num_key_value_heads"),
    "activation": _activation(fields, "hidden_act", "silu"),
    "has_qkv_bias": True,
    "rotary": read_rotary(fields, sizes["max_positions"]),
    **_qwen_windows(fields, sizes["num_layers"]),
  }


def _qwen3(fields: Fields) -> dict[str, Any]:
  sizes = _sizes(fields)
  has_bias = fields.flag("attention_bias", False)
  return {
    **sizes,
    "head_dim": fields.count("head_dim"),  # Transformers' default is 128
    "num_kv_heads": fields.count("num_key_value_heads"),
    "activation": _activation(fields, "hidden_act", "silu"),
    "has_qk_norm": True,
    "has_qkv_bias": has_bias,
    "has_out_bias": has_bias,
    "rotary": read_rotary(fields, sizes["max_positions"]),
    **_qwen_windows(fields, sizes["num_layers"]),
  }


def _qwen_windows(fields: Fields, layers: int) -> dict[str, Any]:
  is_used = fields.flag("use_sliding_window", False)
  first = fields.take("max_window_layers")
  if not is_used:
    fields.take("sliding_window")  # without effect
    _check_types(fields, layers, ())
    return {}
  if not fields.has("layer_types"):
    first = fields.count("max_window_layers", 28)
  windowed = _windowed(fields, layers, lambda i: i >= first)
  if not windowed:
    fields.take("sliding_window")
    return {}
  return {"window": fields.count("sliding_window"), "windowed_layers": windowed}


def _gemma3(fields: Fields) -> dict[str, Any]:
  sizes = _sizes(fields)
  for name in ("final_logit_softcapping", "attn_logit_softcapping"):
    if fields.take(name) is not None:
      fields.fixed(name, None)
  fields.fixed("use_bidirectional_attention", False)
  fields.take("_sliding_window_pattern")  # Transformers writes it but reads the other
  pattern = fields.count("sliding_window_pattern", 6)
  windowed = _windowed(fields, sizes["num_layers"], lambda i: (i + 1) % pattern != 0)
  has_bias = fields.flag("attention_bias", False)
  full, sliding = read_gemma_rotary(fields)
  window = fields.count("sliding_window")
  return {
    **sizes,
    "logits_via_embedding": fields.flag("tie_word_embeddings", True),
    "head_dim": fields.count("head_dim"),  # Transformers' default is 256
    "num_kv_heads": fields.count("num_key_value_heads"),
    "activation": _activation(fields, "hidden_activation", "gelu_pytorch_tanh"),
    "block": Block.SANDWICH,
    "norm": Norm.RMS_PLUS_ONE,
    "has_qk_norm": True,
    "has_qkv_bias": has_bias,
    "has_out_bias": has_bias,
    "query_scale": fields.count("query_pre_attn_scalar", 256) ** -0.5,
    "rotary": full,
    "window_rotary": sliding if windowed else None,
    "window": window if windowed else None,
    "windowed_layers": windowed,
    "scales_embedding": True,
  }


def _gpt_neox(fields: Fields) -> dict[str, Any]:
  width, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
  has_bias = fields.flag("attention_bias", True)
  is_parallel = fields.flag("use_parallel_residual", True)
  length = fields.count("max_position_embeddings")
  return {
    "vocab_size": fields.count("vocab_size"),
    "emb_dim": width,
    "num_layers": fields.count("num_hidden_layers"),
    "num_heads": heads,
    "num_kv_heads": heads,
    "head_dim": _head_dim(fields, width, heads),
    "mlp_dim": fields.count("intermediate_size"),
    "max_positions": length,
    "norm": Norm.LAYER,
    "norm_epsilon": fields.number("layer_norm_eps", 1e-5),
    "activation": _activation(fields, "hidden_act", "gelu"),
    "is_gated": False,
    "block": Block.PARALLEL if is_parallel else Block.PRE_NORM,
    "has_qkv_bias": has_bias,
    "has_out_bias": has_bias,
    "has_mlp_bias": True,
    "rotary": read_rotary(fields, length, base="rotary_emb_base", share="rotary_pct"),
    "logits_via_embedding": fields.flag("tie_word_embeddings", False),
  }


def _gpt2(fields: Fields) -> dict[str, Any]:
  width, heads = fields.count("n_embd"), fields.count("n_head")
  fields.fixed("scale_attn_weights", True)
  fields.fixed("scale_attn_by_inverse_layer_idx", False)
  return {
    "vocab_size": fields.count("vocab_size"),
    "emb_dim": width,
    "num_layers": fields.count("n_layer"),
    "num_heads": heads,
    "num_kv_heads": heads,
    "head_dim": _head_dim(fields, width, heads),
    "mlp_dim": fields.count("n_inner", 4 * width),
    "max_positions": fields.count("n_positions"),
    "norm": Norm.LAYER,
    "norm_epsilon": fields.number("layer_norm_epsilon", 1e-5),
    "activation": _activation(fields, "activation_function", "gelu_new"),
    "is_gated": False,
    "has_qkv_bias": True,
    "has_out_bias": True,
    "has_mlp_bias": True,
    "positions": Positions.LEARNED,
    "logits_via_embedding": fields.flag("tie_word_embeddings", True),
  }


_READERS: Mapping[Family, Callable[[Fields], dict[str, Any]]] = {
  Family.LLAMA: _llama,
  Family.MISTRAL: _mistral,
  Family.QWEN2: _qwen2,
  Family.QWEN3: _qwen3,
  Family.GEMMA3: _gemma3,
  Family.GPT_NEOX: _gpt_neox,
  Family.GPT2: _gpt2,
}


def _head_dim(fields: Fields, width: int, heads: int) -> int:
  if width % heads:
    raise SymtuneError(
      f"{fields.where}: the width is {width}, expected a multiple of the {heads} heads."
    )
  return width // heads


def _activation(fields: Fields, name: str, default: str) -> Activation:
  value = fields.take(name) or default
  if not isinstance(value, str) or value not in _ACTIVATIONS:
    raise SymtuneError(
      f"{fields.where}: {name} is {value!r}, expected one of {', '.join(_ACTIVATIONS)}."
    )
  return _ACTIVATIONS[value]


def _windowed(
  fields: Fields, layers: int, is_windowed: Callable[[int], bool]
) -> tuple[int, ...]:
  """The windowed layers: those that layer_types names, or else by a rule."""
  types = fields.take("layer_types")
  if types is None:
    return tuple(i for i in range(layers) if is_windowed(i))
  if (
    not isinstance(types, list)
    or len(types) != layers
    or any(kind not in (FULL, SLIDING) for kind in types)
  ):
    raise SymtuneError(
      f"{fields.where}: layer_types is {types!r:.80}, expected {FULL!r} or {SLIDING!r} "
      f"for each of the {layers} layers."
    )
  return tuple(i for i, kind in enumerate(types) if kind == SLIDING)


def _check_types(fields: Fields, layers: int, expected: tuple[int, ...]) -> None:
  if _windowed(fields, layers, lambda i: i in expected) != expected:
    raise SymtuneError(
      f"{fields.where}: layer_types names sliding layers, but use_sliding_window is "
      "false. Correct the one that is wrong."
    )
