"""Tensors of a decoder-only model in Transformers <-> parameters of our network.

Most tensors are one parameter, turned: Transformers stores linear layers as [outputs,
inputs], we as [inputs, outputs]. GPT-NeoX and GPT-2 keep query, key and value in one.
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from symtune.convert.decoder.families import Family
from symtune.convert.tensors import LazyTensor


class Layout(enum.StrEnum):
  """How Transformers stores a parameter, or three of them.

  Members:
    SAME: as we do.
    TURNED: with the two axes swapped.
    BY_HEAD: query, key and value of head 0, then those of head 1, ..., as rows
      [outputs, inputs]; GPT-NeoX.
    IN_TURN: all of query, then key, then value, as columns [inputs, outputs]; GPT-2.
  """

  SAME = "same"
  TURNED = "turned"
  BY_HEAD = "by_head"
  IN_TURN = "in_turn"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stored:
  """One tensor of Transformers.

  Attributes:
    name: its name there.
    paths: slash-joined paths of the parameters it holds: one, or query, key and value.
    layout: how it holds them.
  """

  name: str
  paths: tuple[str, ...]
  layout: Layout


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Names:
  """How a family calls its tensors.

  Attributes:
    top: the first part of all names but the output layer's.
    output: the output layer.
    outside: tensors outside of the layers, by our path; below `top`.
    layers: the list of layers, below `top`.
    inside: modules of a layer, by our path in the layer.
    fused: the module that holds query, key and value; None: each has its own.
    layout: of the linear layers.
    fused_layout: of the fused module.
  """

  top: str
  output: str = "lm_head.weight"
  outside: Mapping[str, str]
  layers: str = "layers"
  inside: Mapping[str, str]
  fused: str | None = None
  layout: Layout = Layout.TURNED
  fused_layout: Layout = Layout.BY_HEAD


_LLAMA = _Names(
  top="model",
  outside={"token_embedder": "embed_tokens", "final_norm": "norm"},
  inside={
    "pre_attention_norm": "input_layernorm",
    "attention/query": "self_attn.q_proj",
    "attention/key": "self_attn.k_proj",
    "attention/value": "self_attn.v_proj",
    "attention/out": "self_attn.o_proj",
    "attention/query_norm": "self_attn.q_norm",
    "attention/key_norm": "self_attn.k_norm",
    "pre_mlp_norm": "post_attention_layernorm",
    "mlp/wi_0": "mlp.gate_proj",
    "mlp/wi_1": "mlp.up_proj",
    "mlp/wo": "mlp.down_proj",
  },
)
_GEMMA3 = dataclasses.replace(
  _LLAMA,
  inside={
    **_LLAMA.inside,
    "post_attention_norm": "post_attention_layernorm",
    "pre_mlp_norm": "pre_feedforward_layernorm",
    "post_mlp_norm": "post_feedforward_layernorm",
  },
)
_GPT_NEOX = _Names(
  top="gpt_neox",
  output="embed_out.weight",
  outside={"token_embedder": "embed_in", "final_norm": "final_layer_norm"},
  inside={
    "pre_attention_norm": "input_layernorm",
    "attention/out": "attention.dense",
    "pre_mlp_norm": "post_attention_layernorm",
    "mlp/wi": "mlp.dense_h_to_4h",
    "mlp/wo": "mlp.dense_4h_to_h",
  },
  fused="attention.query_key_value",
)
_GPT2 = _Names(
  top="transformer",
  outside={"token_embedder": "wte", "position_embedder": "wpe", "final_norm": "ln_f"},
  layers="h",
  inside={
    "pre_attention_norm": "ln_1",
    "attention/out": "attn.c_proj",
    "pre_mlp_norm": "ln_2",
    "mlp/wi": "mlp.c_fc",
    "mlp/wo": "mlp.c_proj",
  },
  fused="attn.c_attn",
  layout=Layout.SAME,
  fused_layout=Layout.IN_TURN,
)
_NAMES = {
  Family.LLAMA: _LLAMA,
  Family.MISTRAL: _LLAMA,
  Family.QWEN2: _LLAMA,
  Family.QWEN3: _LLAMA,
  Family.GEMMA3: _GEMMA3,
  Family.GPT_NEOX: _GPT_NEOX,
  Family.GPT2: _GPT2,
}
_FUSED = tuple(f"attention/{name}" for name in ("query", "key", "value"))


def top_name(family: Family) -> str:
  """The first part of a family's names, which some files leave out."""
  return _NAMES[family].top


def output_name(family: Family) -> str:
  """The name of the output layer, which a tied model may store as a copy."""
  return _NAMES[family].output


def embedding_name(family: Family) -> str:
  """The name of the embedding."""
  names = _NAMES[family]
  return f"{names.top}.{names.outside['token_embedder']}.weight"


def stored_tensors(family: Family, paths: Sequence[str]) -> list[Stored]:
  """Which tensors hold the parameters of a network.

  Args:
    family: the family whose names are used.
    paths: slash-joined paths of all parameters.

  Returns:
    The tensors, in the order of their first parameters.
  """
  names = _NAMES[family]
  return list(_stored(names, paths))


def _stored(names: _Names, paths: Sequence[str]) -> Iterator[Stored]:
  for path in paths:
    module, _, kind = path.rpartition("/")
    suffix = "bias" if kind == "bias" else "weight"
    layout = names.layout if kind == "kernel" else Layout.SAME
    layer, _, inner = module.partition("/")
    if path == "logits_dense/kernel":
      yield Stored(name=names.output, paths=(path,), layout=Layout.TURNED)
    elif not layer.startswith("layers_"):
      name = f"{names.top}.{names.outside[module]}.{suffix}"
      yield Stored(name=name, paths=(path,), layout=layout)
    else:
      block = f"{names.top}.{names.layers}.{layer.removeprefix('layers_')}"
      if names.fused is None or inner not in _FUSED:
        name = f"{block}.{names.inside[inner]}.{suffix}"
        yield Stored(name=name, paths=(path,), layout=layout)
      elif inner == _FUSED[0]:
        yield Stored(
          name=f"{block}.{names.fused}.{suffix}",
          paths=tuple(f"{layer}/{part}/{kind}" for part in _FUSED),
          layout=names.fused_layout,
        )


def stored_shape(
  stored: Stored, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[int, ...]:
  """The shape of a tensor in Transformers, from those of our parameters."""
  shape = shapes[stored.paths[0]]
  if stored.layout is Layout.SAME:
    return shape
  if stored.layout is Layout.IN_TURN:
    return (*shape[:-1], 3 * shape[-1])
  rows = shape[-1] * len(stored.paths)
  return (rows, *shape[:-1])


def split_stored(
  stored: Stored, tensor: LazyTensor, *, heads: int
) -> dict[str, LazyTensor]:
  """Takes our parameters out of a tensor, whose shape was checked.

  Args:
    stored: which parameters it holds.
    tensor: the tensor of Transformers.
    heads: attention heads.

  Returns:
    Our parameters by path.
  """
  if len(stored.paths) == 1:
    path = stored.paths[0]
    if stored.layout is Layout.SAME:
      return {path: tensor}
    return {path: tensor.map(tensor.shape[::-1], np.transpose)}
  by_head = stored.layout is Layout.BY_HEAD
  width = tensor.shape[0 if by_head else -1] // 3
  shape = (*tensor.shape[1:], width) if by_head else (*tensor.shape[:-1], width)

  def part(index: int) -> LazyTensor:
    def take(whole: np.ndarray) -> np.ndarray:
      if not by_head:
        return whole[..., index * width : (index + 1) * width]
      parted = whole.reshape(heads, 3, width // heads, *whole.shape[1:])
      return parted[:, index].reshape(width, *whole.shape[1:]).T

    return tensor.map(shape, take)

  return {path: part(index) for index, path in enumerate(stored.paths)}


def join_stored(
  stored: Stored, tensors: Mapping[str, LazyTensor], *, heads: int
) -> LazyTensor:
  """Makes a tensor of Transformers from our parameters; the inverse of `split_stored`.

  Args:
    stored: the tensor.
    tensors: our parameters by path.
    heads: attention heads.

  Returns:
    The tensor.
  """
  parts = [tensors[path] for path in stored.paths]
  first = parts[0]
  if stored.layout is Layout.SAME:
    return first
  if stored.layout is Layout.TURNED:
    return first.map(first.shape[::-1], np.transpose)
  shape = stored_shape(stored, {path: tensors[path].shape for path in stored.paths})

  def read() -> np.ndarray:
    values = [part.read() for part in parts]
    if stored.layout is Layout.IN_TURN:
      return np.concatenate(values, axis=-1)
    by_head = [v.T.reshape(heads, 1, -1, *v.shape[:-1]) for v in values]
    return np.concatenate(by_head, axis=1).reshape(shape)

  return LazyTensor(shape=shape, dtype=first.dtype, read=read)
