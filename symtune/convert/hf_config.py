"""Hugging Face's config.json of a T5 <-> T5Config.

Source: transformers/models/t5/configuration_t5.py. Settings that our network does not
support (other bucket counts, another epsilon, the exact gelu) are refused, not
approximated.
"""

from collections.abc import Mapping
from typing import Any

from symtune.convert.decoder.families import Family
from symtune.errors import SymtuneError
from symtune.model.config import MAX_LAYERS, MAX_SIZE, T5Config
from symtune.model.layers import MAX_DISTANCE, NUM_BUCKETS

# Their feed_forward_proj -> our mlp_activations. Their gated-gelu uses the tanh form.
_ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
  "relu": ("relu",),
  "gelu_new": ("gelu",),
  "silu": ("silu",),
  "gated-gelu": ("gelu", "linear"),
  "gated-gelu_new": ("gelu", "linear"),
  "gated-relu": ("relu", "linear"),
  "gated-silu": ("silu", "linear"),
}
# Settings that are fixed in our network.
_FIXED: Mapping[str, Any] = {
  "relative_attention_num_buckets": NUM_BUCKETS,
  "relative_attention_max_distance": MAX_DISTANCE,
  "layer_norm_epsilon": 1e-6,
  "is_encoder_decoder": True,
}
# Ids that are fixed in our network and its vocabulary; absent means Transformers' own.
_IDS: Mapping[str, int] = {
  "pad_token_id": 0,
  "eos_token_id": 1,
  "decoder_start_token_id": 0,
}
# Families that share T5's shape or its name but not its network or its tokenizer.
_KIN: Mapping[str, str] = {
  "mt5": "mT5",
  "umt5": "UMT5",
  "longt5": "LongT5",
  "switch_transformers": "Switch Transformers",
  "byt5": "ByT5",
}
_BYTES = "ByT5Tokenizer"
_INSTEAD = (
  "Such a model can be asked with --checkpoint transformers:FOLDER; it cannot be tuned "
  "or converted."
)
_SIZES = {
  "vocab_size": "vocab_size",
  "emb_dim": "d_model",
  "num_heads": "num_heads",
  "num_encoder_layers": "num_layers",
  "head_dim": "d_kv",
  "mlp_dim": "d_ff",
}


def config_from_huggingface(where: str, content: Mapping[str, Any]) -> T5Config:
  """Reads a config.json.

  Args:
    where: the file, for messages.
    content: its JSON object.

  Returns:
    The settings. The output layer is tied if outputs are scaled: that is how
    Transformers distinguishes T5 1.0 from T5 1.1.

  Raises:
    SymtuneError: not a T5, or a setting that our network does not support.
  """
  _check_family(where, content)
  missing = [name for name in _SIZES.values() if name not in content]
  if missing:
    raise SymtuneError(
      f"{where} lacks {', '.join(missing)}; expected a T5 config.json."
    )
  layers = content.get("num_decoder_layers")
  layers = content["num_layers"] if layers is None else layers
  sizes = {**{n: content[n] for n in _SIZES.values()}, "num_decoder_layers": layers}
  for name, value in sizes.items():
    _check_size(where, name, value)
  for name, value in _FIXED.items():
    if content.get(name, value) != value:
      raise SymtuneError(
        f"{where}: {name} is {content[name]!r}, expected {value!r}, which is fixed in "
        "this network. Such a checkpoint cannot be converted."
      )
  check_ids(where, content)
  projection = content.get("feed_forward_proj", "relu")
  if not isinstance(projection, str) or projection not in _ACTIVATIONS:
    raise SymtuneError(
      f"{where}: feed_forward_proj is {projection!r}, expected one of "
      f"{', '.join(_ACTIVATIONS)}."
    )
  _check_activation(where, content, projection)
  # Transformers 5 has a separate flag; before, untied meant "do not scale".
  is_scaled = content.get(
    "scale_decoder_outputs", content.get("tie_word_embeddings") is not False
  )
  return T5Config(
    **{ours: sizes[theirs] for ours, theirs in _SIZES.items()},
    num_decoder_layers=layers,
    mlp_activations=_ACTIVATIONS[projection],
    dropout_rate=_dropout_rate(where, content.get("dropout_rate", 0.1)),
    logits_via_embedding=bool(is_scaled),
  )


def _check_activation(where: str, content: Mapping[str, Any], projection: str) -> None:
  """Refuses settings that contradict feed_forward_proj, which Transformers prefers."""
  function = projection.removeprefix("gated-")
  derived = {
    "dense_act_fn": "gelu_new" if projection == "gated-gelu" else function,
    "is_gated_act": projection != function,
  }
  for name, expected in derived.items():
    value = content.get(name)
    if value is not None and value != expected:
      raise SymtuneError(
        f"{where}: {name} is {value!r}, but feed_forward_proj is {projection!r}, for "
        f"which it is {expected!r}. Correct the one that is wrong, or download the "
        "config again."
      )


def _check_family(where: str, content: Mapping[str, Any]) -> None:
  kind = content.get("model_type")
  family = _KIN.get(kind) if isinstance(kind, str) else None
  if _reads_bytes(content):
    family = _KIN["byt5"]
  if family is not None:
    raise SymtuneError(
      f"{where}: got a {family} model (model_type {kind!r}), expected T5 1.0, T5 1.1, "
      f"LM-adapted T5 or Flan-T5. {_INSTEAD}"
    )
  if kind != "t5":
    raise SymtuneError(
      f"{where}: model_type is {kind!r}, expected 't5' (T5 1.0, T5 1.1, LM-adapted T5 "
      f"or Flan-T5), or a decoder-only model's: {', '.join(Family)}. {_INSTEAD}"
    )


def _reads_bytes(content: Mapping[str, Any]) -> bool:
  """Whether a config is of ByT5, which calls itself "t5"."""
  if content.get("tokenizer_class") == _BYTES:
    return True
  encoder, decoder = content.get("num_layers"), content.get("num_decoder_layers")
  # 256 bytes, 3 control tokens and 125 sentinels; the encoder is three times as deep.
  return (
    content.get("vocab_size") == 384
    and isinstance(decoder, int)
    and encoder == 3 * decoder
  )


def _check_size(where: str, name: str, value: Any) -> None:
  if type(value) is not int:
    raise SymtuneError(f"{where}: {name} is {value!r}, expected a whole number.")
  limit = MAX_LAYERS if name.endswith("layers") else MAX_SIZE
  if not 1 <= value <= limit:
    raise SymtuneError(f"{where}: {name} is {value}, expected 1 to {limit:,}.")


def check_ids(where: str, content: Mapping[str, Any]) -> None:
  """Refuses special ids that differ from those of our network and vocabulary.

  Args:
    where: config.json or generation_config.json, for messages.
    content: its JSON object.

  Raises:
    SymtuneError: names the id, its value and T5's.
  """
  for name, expected in _IDS.items():
    value = content.get(name)
    if value is not None and value not in (expected, [expected]):
      raise SymtuneError(
        f"{where}: {name} is {value!r}, expected {expected}, as in T5. MADLAD-400 and "
        f"others with a tokenizer of their own have other ids. {_INSTEAD}"
      )


def _dropout_rate(where: str, value: Any) -> float:
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise SymtuneError(f"{where}: dropout_rate is {value!r}, expected a number.")
  return float(value)


def config_to_huggingface(config: T5Config, dtype: str) -> dict[str, Any]:
  """Returns the content of a network's config.json.

  Args:
    config: the network's settings.
    dtype: type of the stored parameters, "float32" or "bfloat16".

  Raises:
    SymtuneError: Transformers has no name for the activations.
  """
  names = {value: name for name, value in reversed(list(_ACTIVATIONS.items()))}
  projection = names.get(tuple(config.mlp_activations))
  if projection is None:
    raise SymtuneError(
      f"got mlp_activations {config.mlp_activations}, for which Transformers has no "
      f"name; expected one of {', '.join(map(str, names))}."
    )
  return {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    **{theirs: getattr(config, ours) for ours, theirs in _SIZES.items()},
    "num_decoder_layers": config.num_decoder_layers,
    **_FIXED,
    "feed_forward_proj": projection,
    "dropout_rate": config.dropout_rate,
    "tie_word_embeddings": config.logits_via_embedding,
    "initializer_factor": 1.0,
    "use_cache": True,
    **_IDS,
    "dtype": dtype,
  }
