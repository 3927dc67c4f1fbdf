"""Tree paths of our parameters <-> names of Hugging Face's T5 tensors.

Theirs stores linear layers as [outputs, inputs], ours as [inputs, outputs]; theirs
stores the relative bias as [buckets, heads], ours as [heads, buckets]. Embeddings and
norm scales are the same. Source: transformers/models/t5/modeling_t5.py.
"""

import re

SHARED = "shared.weight"
LM_HEAD = "lm_head.weight"
# Copies of other tensors that older files hold, and one bias that is never used
# (transformers: _keys_to_ignore_on_load_unexpected).
COPIES = {
  "encoder.embed_tokens.weight": SHARED,
  "decoder.embed_tokens.weight": SHARED,
}
UNUSED = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)

_TOP = {
  "token_embedder/embedding": SHARED,
  "decoder/logits_dense/kernel": LM_HEAD,
  "encoder/encoder_norm/scale": "encoder.final_layer_norm.weight",
  "decoder/decoder_norm/scale": "decoder.final_layer_norm.weight",
}
_SELF = "layer.0.SelfAttention"
_BIAS = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_ENCODER = {
  "attention": _SELF,
  "pre_attention_layer_norm/scale": "layer.0.layer_norm.weight",
  "mlp": "layer.1.DenseReluDense",
  "pre_mlp_layer_norm/scale": "layer.1.layer_norm.weight",
}
_DECODER = {
  "self_attention": _SELF,
  "pre_self_attention_layer_norm/scale": "layer.0.layer_norm.weight",
  "encoder_decoder_attention": "layer.1.EncDecAttention",
  "pre_cross_attention_layer_norm/scale": "layer.1.layer_norm.weight",
  "mlp": "layer.2.DenseReluDense",
  "pre_mlp_layer_norm/scale": "layer.2.layer_norm.weight",
}
_PROJECTIONS = {"query": "q", "key": "k", "value": "v", "out": "o"}
_LAYER = re.compile(r"(encoder|decoder)/layers_(\d+)/(.+)")


def huggingface_name(path: str) -> str:
  """The Transformers name of one of our parameters.

  "decoder/layers_3/mlp/wo/kernel" -> "decoder.block.3.layer.2.DenseReluDense.wo.weight"

  Args:
    path: slash-joined path in our tree.

  Raises:
    KeyError: our tree has no such path.
  """
  if path in _TOP:
    return _TOP[path]
  if path.endswith("relpos_bias/rel_embedding"):
    return f"{path.split('/')[0]}.{_BIAS}"
  match = _LAYER.fullmatch(path)
  if match is None:
    raise KeyError(path)
  stack, layer, rest = match.groups()
  parts = _ENCODER if stack == "encoder" else _DECODER
  block = f"{stack}.block.{layer}"
  if rest in parts:
    return f"{block}.{parts[rest]}"
  module, projection, _ = rest.split("/")
  return f"{block}.{parts[module]}.{_PROJECTIONS.get(projection, projection)}.weight"


def is_transposed(path: str) -> bool:
  """Whether Transformers stores the parameter with its two axes swapped."""
  return path.endswith(("/kernel", "/rel_embedding"))
