"""T5X's parameter trees -> ours: splits scanned layers, infers settings from shapes.

The tree of a decoder-only network is ours; its settings come from another checkpoint.

T5X's `t5` network has the same tree as ours. Its `scalable_t5` network scans over
layers: one array holds a parameter of all layers, stacked along axis 1, and heads have
an axis of their own:

  theirs   decoder/decoder/self_attention/key/kernel    [embed, layers, heads, kv]
  ours     decoder/layers_0/self_attention/key/kernel   [embed, joined_kv], and so on

Source: t5x/examples/scalable_t5/network.py (param_scan_axis) and layers.py.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from symtune.convert.t5x.read import T5XCheckpoint, open_t5x
from symtune.convert.tensors import LazyTensor, SourceCheckpoint, check_tensors
from symtune.errors import SymtuneError
from symtune.model.config import T5Config

SCAN_AXIS = 1
STACKS = ("encoder", "decoder")
_RELPOS = "relpos_bias/rel_embedding"
_EMBEDDING = "token_embedder/embedding"
_LOGITS = "decoder/logits_dense/kernel"
_DECODER_ONLY = "layers_0/"  # its layers are not below encoder/ or decoder/
_LAYER = re.compile(r"(?:encoder|decoder)/layers_(\d+)/")
GATED, PLAIN = ("gelu", "linear"), ("relu",)


def is_scanned(names: Mapping[str, object]) -> bool:
  """Whether a tree stacks its layers: encoder/encoder/..., decoder/decoder/..."""
  return any(name.startswith(tuple(f"{s}/{s}/" for s in STACKS)) for name in names)


def unscan(where: str, tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
  """Splits stacked layers; passes other tensors on.

  A stacked array is read once and held until each of its layers has been read. Read the
  result in order, so that only one array is held at a time.

  Args:
    where: the checkpoint, for messages.
    tensors: T5X's parameters by slash-joined path.

  Returns:
    Parameters by the paths of our tree.

  Raises:
    SymtuneError: layers have different relative biases, as in a `scalable_t5` network
      trained from scratch; in our network, as in T5, all layers share one.
  """
  result: dict[str, LazyTensor] = {}
  for name, tensor in tensors.items():
    stack = next((s for s in STACKS if name.startswith(f"{s}/{s}/")), None)
    if stack is None:
      result[name] = tensor
      continue
    rest = name.removeprefix(f"{stack}/{stack}/")
    layers = _split_layers(where, name, tensor)
    if rest == _RELPOS:
      result[f"{stack}/{_RELPOS}"] = _shared(where, name, tensor, layers[0])
      continue
    result |= {f"{stack}/layers_{i}/{rest}": layer for i, layer in enumerate(layers)}
  return result


def _split_layers(where: str, name: str, tensor: LazyTensor) -> list[LazyTensor]:
  if len(tensor.shape) <= SCAN_AXIS:
    raise SymtuneError(
      f"{where}: tensor {name} has shape {list(tensor.shape)}, expected layers stacked "
      f"along axis {SCAN_AXIS}. No other param_scan_axis is supported."
    )
  read_stack = functools.lru_cache(maxsize=1)(tensor.read)
  shape = tensor.shape[:SCAN_AXIS] + tensor.shape[SCAN_AXIS + 1 :]
  flat = _joined_shape(name, shape)
  count = tensor.shape[SCAN_AXIS]
  left = set(range(count))

  def layer(i: int) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
      value = np.take(read_stack(), i, axis=SCAN_AXIS).reshape(flat)
      left.discard(i)
      if not left:  # every layer has been read, in any order
        read_stack.cache_clear()
        left.update(range(count))
      return value

    return read

  return [
    LazyTensor(shape=flat, dtype=tensor.dtype, read=layer(i)) for i in range(count)
  ]


def _joined_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
  """Joins heads and their width: [embed, heads, kv] -> [embed, joined_kv]."""
  if len(shape) != 3:
    return tuple(shape)
  if name.endswith("/out/kernel"):
    return (shape[0] * shape[1], shape[2])
  return (shape[0], shape[1] * shape[2])


def _shared(
  where: str, name: str, stacked: LazyTensor, first: LazyTensor
) -> LazyTensor:
  value = np.moveaxis(stacked.read(), SCAN_AXIS, 0)
  if (value != value[:1]).any():
    raise SymtuneError(
      f"{where}: tensor {name} holds a separate relative bias for each of "
      f"{len(value)} layers. In T5, and in this network, all layers share one: a "
      "network that was trained with separate ones cannot be converted."
    )
  held = np.ascontiguousarray(value[0])
  return LazyTensor(shape=first.shape, dtype=first.dtype, read=lambda: held)


def infer_config(
  where: str,
  tensors: Mapping[str, LazyTensor],
  mlp_activations: Sequence[str] | None = None,
) -> T5Config:
  """Infers a network's settings from the shapes of its parameters.

  Args:
    where: the checkpoint, for messages.
    tensors: parameters by the paths of our tree.
    mlp_activations: the only setting that shapes do not show; None assumes T5 1.1's
      ("gelu", "linear") for a gated layer and T5 1.0's ("relu",) for a plain one.

  Raises:
    SymtuneError: a parameter that shows a size is missing or has the wrong rank.
  """
  vocab_size, emb_dim = _shape(where, tensors, _EMBEDDING, 2)
  num_heads, _ = _shape(where, tensors, f"encoder/{_RELPOS}", 2)
  query = "encoder/layers_0/attention/query/kernel"
  _, joined = _shape(where, tensors, query, 2)
  is_gated = "encoder/layers_0/mlp/wi_0/kernel" in tensors
  wi = f"encoder/layers_0/mlp/{'wi_0' if is_gated else 'wi'}/kernel"
  _, mlp_dim = _shape(where, tensors, wi, 2)
  if joined % num_heads:
    raise SymtuneError(
      f"{where}: {query} has {joined} columns, expected a multiple of the {num_heads} "
      f"heads of encoder/{_RELPOS}. The checkpoint is damaged, or of another kind of "
      "network."
    )
  return T5Config(
    vocab_size=vocab_size,
    emb_dim=emb_dim,
    num_heads=num_heads,
    num_encoder_layers=_count_layers(where, tensors, "encoder"),
    num_decoder_layers=_count_layers(where, tensors, "decoder"),
    head_dim=joined // num_heads,
    mlp_dim=mlp_dim,
    mlp_activations=tuple(mlp_activations or (GATED if is_gated else PLAIN)),
    logits_via_embedding=_LOGITS not in tensors,
  )


def _shape(
  where: str, tensors: Mapping[str, LazyTensor], name: str, rank: int
) -> tuple[int, ...]:
  if name not in tensors:
    raise SymtuneError(
      f"{where} has no tensor {name}, which every T5 checkpoint has. The checkpoint is "
      "damaged, or of another kind of network."
    )
  shape = tensors[name].shape
  if len(shape) != rank:
    raise SymtuneError(
      f"{where}: {name} has shape {list(shape)}, expected {rank} axes."
    )
  return shape


def _count_layers(where: str, tensors: Mapping[str, LazyTensor], stack: str) -> int:
  found = {
    int(m[1]) for m in map(_LAYER.match, tensors) if m and m[0].startswith(stack)
  }
  if not found:
    raise SymtuneError(
      f"{where} has no parameters {stack}/layers_0/..., which every T5 checkpoint has."
    )
  return max(found) + 1


def t5x_source(
  path: str, mlp_activations: Sequence[str] | None = None
) -> SourceCheckpoint:
  """Opens a T5X checkpoint as one of our network.

  Args:
    path: as `t5x.open_t5x` takes it.
    mlp_activations: as `infer_config` takes it.

  Raises:
    SymtuneError: not a T5X checkpoint, damaged, or of another kind of network; names
      the tensors that are missing, unknown or misshapen.
  """
  opened = open_t5x(path)
  tensors = opened.params
  if any(name.startswith(_DECODER_ONLY) for name in tensors):
    raise SymtuneError(
      f"{opened.where} is of a decoder-only network, whose settings T5X's format does "
      f"not hold. Convert it first: symtune convert {path} FOLDER --like MODEL, where "
      "MODEL is a checkpoint of the same network in another format."
    )
  if is_scanned(tensors):
    tensors = unscan(opened.where, tensors)
  config = infer_config(opened.where, tensors, mlp_activations)
  check_tensors(opened.where, tensors, config)
  return SourceCheckpoint(
    where=opened.where,
    config=config,
    tensors=tensors,
    step=opened.step,
    left_out=_left_out(opened),
  )


def t5x_decoder(path: str, like: SourceCheckpoint) -> SourceCheckpoint:
  """Opens a T5X checkpoint of a decoder-only network.

  Args:
    path: as `t5x.open_t5x` takes it.
    like: a checkpoint of the same network, which has its settings and its tokenizer.

  Raises:
    SymtuneError: `like` is no decoder-only model, or the checkpoint is damaged or of
      another network; names the tensors that are missing, unknown or misshapen.
  """
  if isinstance(like.config, T5Config):
    raise SymtuneError(
      f"--like {like.where}: got an encoder-decoder, expected a decoder-only model. "
      "T5X's checkpoints of encoder-decoders are read without --like."
    )
  opened = open_t5x(path)
  check_tensors(opened.where, opened.params, like.config)
  return dataclasses.replace(
    like,
    where=opened.where,
    tensors=opened.params,
    step=opened.step,
    left_out=_left_out(opened),
  )


def _left_out(opened: T5XCheckpoint) -> tuple[str, ...]:
  count = len(opened.optimizer)
  return (f"optimizer state, {count} arrays",) if count else ()
