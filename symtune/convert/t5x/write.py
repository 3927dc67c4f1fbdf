"""Writes T5X checkpoints without T5X, array by array.

The layout is T5X's own, msgpack + zarr (see read.py); both its checkpointer and its
Orbax checkpoint manager read it. Source: t5x/checkpoints.py, Checkpointer.save.
"""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import flax.serialization
import numpy as np
import tensorstore
from flax.traverse_util import unflatten_dict

from symtune.convert.folders import context
from symtune.convert.t5x.read import TARGET, VERSION
from symtune.convert.tensors import LazyTensor
from symtune.errors import SymtuneError
from symtune.files import write_whole

# T5X aims at chunks of 64 MiB (_DESIRED_CHUNK_SIZE_BYTES); smaller ones need less
# memory at a time and suit any number of hosts.
_CHUNK_BYTES = 16 * 2**20
_MOMENTS = "state/param_states/"


def write_t5x(
  folder: pathlib.Path,
  params: Mapping[str, LazyTensor],
  *,
  step: int,
  dtype: np.dtype | None = None,
  optimizer: Mapping[str, LazyTensor] | None = None,
) -> Iterator[str]:
  """Writes a step's folder; yields each array's name once it is on disk.

  The file that makes the folder a checkpoint is written last. Rename the folder to
  `checkpoint_<step>` when the iterator ends.

  Args:
    folder: an existing empty folder.
    params: parameters by slash-joined path, written in this order.
    step: training step to record.
    dtype: type of the parameters on disk; None keeps the type of each.
    optimizer: optimizer state by slash-joined path (`state/param_states/...`), as
      `t5x.open_t5x` returns it; None writes none, for a checkpoint to start from.

  Raises:
    SymtuneError: a tensor cannot be read or written; names the tensor.
  """
  tree: dict[str, object] = {"state/step": np.int32(step)}
  named = {f"{TARGET}{name}": tensor for name, tensor in params.items()}
  for name, tensor in {**named, **(optimizer or {})}.items():
    if name not in named and not _is_like_its_parameter(name, tensor, params):
      # Factored moments have no axis names, so T5X looks for them in the msgpack file.
      tree[name] = np.array(tensor.read())
      continue
    kind = dtype if dtype is not None and name in named else tensor.dtype
    try:
      tree[name] = _write_array(folder, name.replace("/", "."), tensor, np.dtype(kind))
    except (ValueError, OSError) as error:
      first = (str(error).splitlines() or [""])[0]
      raise SymtuneError(
        f"{folder}: tensor {name} cannot be written ({type(error).__name__}: {first}). "
        "Check the free space and the folder's permissions."
      ) from error
    yield name
  content = {"version": VERSION, "optimizer": unflatten_dict(tree, sep="/")}
  write_whole(folder / "checkpoint", flax.serialization.msgpack_serialize(content))


def _is_like_its_parameter(
  name: str, tensor: LazyTensor, params: Mapping[str, LazyTensor]
) -> bool:
  """Whether state/param_states/<parameter>/v has its parameter's shape."""
  parameter = name.removeprefix(_MOMENTS).rpartition("/")[0]
  return parameter in params and params[parameter].shape == tensor.shape


def _write_array(
  folder: pathlib.Path, name: str, tensor: LazyTensor, dtype: np.dtype
) -> dict[str, object]:
  """Writes one zarr array and returns what the msgpack file says about it."""
  metadata = {
    "chunks": _chunks(tensor.shape, dtype.itemsize),
    # T5X's default, gzip, takes ten times as long and saves little on weights.
    "compressor": None,
    "shape": list(tensor.shape),
  }
  spec = {"driver": "zarr", "dtype": dtype.name, "metadata": metadata}
  kvstore = {"driver": "file", "path": f"{folder.absolute() / name}/"}
  store = tensorstore.open(
    {**spec, "kvstore": kvstore, "store_data_equal_to_fill_value": True},
    context=context(),
    create=True,
    delete_existing=True,
  ).result()
  value = tensor.read()
  if not value.shape:
    store.write(value.astype(dtype)).result()
  rows = metadata["chunks"][0] if value.shape else 0
  for start in range(0, len(value) if value.shape else 0, max(rows, 1)):
    # Several chunks at a time, so that memory never holds a cast or transposed copy of
    # the whole array.
    block = np.ascontiguousarray(value[start : start + rows]).astype(dtype, copy=False)
    store[start : start + rows].write(block).result()
  return {**spec, "kvstore": {"driver": "file", "path": f"{name}/"}}


def _chunks(shape: Sequence[int], itemsize: int) -> list[int]:
  """The shape of a chunk: the first axis is divided evenly into small chunks."""
  if not shape:
    return []
  row_bytes = itemsize * int(np.prod(shape[1:]))
  wanted = max(1, _CHUNK_BYTES // max(row_bytes, 1))
  rows = next(n for n in range(min(wanted, shape[0]), 0, -1) if shape[0] % n == 0)
  return [rows, *shape[1:]]
