"""Hugging Face's config.json of a T5 <-> T5Config.

Source: transformers/models/t5/configuration_t5.py. Settings that our network does not
support (other bucket counts, another epsilon, the exact gelu) are refused, not
approximated.
"""

from collections.abc import Mapping
from typing import Any

from symtune.errors import SymtuneError
from symtune.model.config import T5Config
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
  if content.get("model_type") != "t5":
    raise SymtuneError(
      f"{where}: model_type is {content.get('model_type')!r}, expected 't5' (T5 1.0, "
      "T5 1.1, LM-adapted T5 or Flan-T5)."
    )
  missing = [name for name in _SIZES.values() if name not in content]
  if missing:
    raise SymtuneError(
      f"{where} lacks {', '.join(missing)}; expected a T5 config.json."
    )
  for name in _SIZES.values():
    if type(content[name]) is not int:
      raise SymtuneError(
        f"{where}: {name} is {content[name]!r}, expected a whole number."
      )
  for name, value in _FIXED.items():
    if content.get(name, value) != value:
      raise SymtuneError(
        f"{where}: {name} is {content[name]!r}, expected {value!r}, which is fixed in "
        "this network. Such a checkpoint cannot be converted."
      )
  projection = content.get("feed_forward_proj", "relu")
  if projection not in _ACTIVATIONS:
    raise SymtuneError(
      f"{where}: feed_forward_proj is {projection!r}, expected one of "
      f"{', '.join(_ACTIVATIONS)}."
    )
  # Transformers 5 has a separate flag; before, untied meant "do not scale".
  is_scaled = content.get(
    "scale_decoder_outputs", content.get("tie_word_embeddings") is not False
  )
  sizes = {ours: content[theirs] for ours, theirs in _SIZES.items()}
  layers = content.get("num_decoder_layers")
  return T5Config(
    **sizes,
    num_decoder_layers=content["num_layers"] if layers is None else layers,
    mlp_activations=_ACTIVATIONS[projection],
    dropout_rate=_dropout_rate(where, content.get("dropout_rate", 0.1)),
    logits_via_embedding=bool(is_scaled),
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
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "dtype": dtype,
  }
