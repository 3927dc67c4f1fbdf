"""Reads T5X checkpoints without T5X: msgpack + zarr as published, and Orbax.

Both layouts are a tree whose leaves are zarr arrays:

  checkpoint_1000/checkpoint                        msgpack: the tree; large leaves are
  checkpoint_1000/target.decoder.decoder_norm.scale   TensorStore specs, with zarr here
  checkpoint_1000/state/manifest.ocdbt, d/, ...     Orbax: zarr arrays in one database

`target/` holds the parameters, `state/step` the step and `state/param_states/` the
optimizer's state. Source: t5x/checkpoints.py, Checkpointer and
OrbaxCheckpointManagerInterface. The location in a spec (gs://, gfile, the folder of the
original run) is ignored: arrays are read from the folder of the checkpoint.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.serialization
import ml_dtypes
import numpy as np
import tensorstore
from flax.traverse_util import flatten_dict

from symtune.convert.folders import Folder, context, open_folder
from symtune.convert.tensors import LazyTensor, list_some
from symtune.errors import SymtuneError

# Used since 2021-06. Version 2 stored bfloat16 as uint16 (t5x/checkpoints.py, VERSION).
VERSION = 3
TARGET = "target/"
_STEP = "state/step"
_STATES = "state/param_states/"
# Adafactor's state of a parameter, under the path of the parameter.
_MOMENTS = ("m", "v", "v_row", "v_col")
_MSGPACK = "checkpoint"
_ORBAX = "state"
_STEP_FOLDER = re.compile(r"checkpoint_(\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class T5XCheckpoint:
  """An opened checkpoint of one step.

  Attributes:
    where: its folder, for messages.
    step: training step, or None if the checkpoint does not record it.
    params: parameters by slash-joined path, as T5X's network names them.
    optimizer: the optimizer's state by slash-joined path; empty if it was not saved.
  """

  where: str
  step: int | None
  params: Mapping[str, LazyTensor]
  optimizer: Mapping[str, LazyTensor]


def open_t5x(path: str) -> T5XCheckpoint:
  """Opens a T5X checkpoint; reads its tree and no arrays.

  Args:
    path: local path or gs:// address of a step's folder (`checkpoint_1000`), of the
      `checkpoint` file in it, or of a model's folder, from which the newest step is
      taken.

  Raises:
    SymtuneError: there is no T5X checkpoint, or it is damaged; names the tensor.
  """
  folder = open_folder(re.sub(r"(^|/)checkpoint$", r"\1", path) or ".")
  folder = _newest_step(folder)
  packed = folder.read(_MSGPACK)
  leaves = _orbax_leaves(folder) if packed is None else _msgpack_leaves(folder, packed)
  step = leaves.pop(_STEP, None)
  params = {
    name.removeprefix(TARGET): leaf
    for name, leaf in leaves.items()
    if name.startswith(TARGET)
  }
  if not params:
    raise SymtuneError(
      f"{folder.where} holds no parameters under {TARGET}; expected a T5X checkpoint. "
      "It is damaged, or another program wrote it."
    )
  rest = {name: leaf for name, leaf in leaves.items() if not name.startswith(TARGET)}
  if packed is None:
    _check_states(folder, params, rest)
  return T5XCheckpoint(
    where=folder.where,
    step=None if step is None else int(step.read()),
    params=params,
    optimizer=rest,
  )


def _check_states(
  folder: Folder, params: Mapping[str, Any], optimizer: Mapping[str, Any]
) -> None:
  """Refuses a checkpoint with optimizer state for parameters that are missing."""
  stacks = {name.split("/")[0] for name in params}
  moments = [name.removeprefix(_STATES).rpartition("/") for name in optimizer]
  known = [
    parameter
    for parameter, _, moment in moments
    if moment in _MOMENTS and parameter.split("/")[0] in stacks
  ]
  _refuse_missing(folder, [f"{TARGET}{n}" for n in known if n not in params])


def _refuse_missing(folder: Folder, names: Sequence[str]) -> None:
  if names:
    raise SymtuneError(
      f"{folder.where} lacks tensors that it should hold: "
      f"{list_some(dict.fromkeys(names))}. Files were lost: copy the checkpoint again."
    )


def is_t5x(path: str) -> bool:
  """Whether a folder looks like a T5X checkpoint or holds such checkpoints."""
  folder = open_folder(path)
  return _is_step(folder) or bool(_steps(folder))


def _is_step(folder: Folder) -> bool:
  markers = (_MSGPACK, f"{_ORBAX}/_METADATA", f"{_ORBAX}/manifest.ocdbt")
  return any(folder.read(name) is not None for name in markers)


def _steps(folder: Folder) -> list[int]:
  found = map(_STEP_FOLDER.fullmatch, folder.folders())
  return sorted(int(match[1]) for match in found if match)


def _newest_step(folder: Folder) -> Folder:
  if _is_step(folder):
    return folder
  steps = _steps(folder)
  if not steps:
    raise SymtuneError(
      f"{folder.where} is not a T5X checkpoint: expected a folder such as "
      f"checkpoint_1000 with a file `{_MSGPACK}` or a folder `{_ORBAX}`, or a folder "
      "of such folders."
    )
  return folder.inside(f"checkpoint_{steps[-1]}")


def _msgpack_leaves(folder: Folder, packed: bytes) -> dict[str, LazyTensor]:
  """Leaves of the msgpack layout by slash-joined path."""
  try:
    content = flax.serialization.msgpack_restore(packed)
    version, tree = int(content["version"]), content["optimizer"]
    flat: dict[str, Any] = dict(
      flatten_dict(tree, is_leaf=lambda _, value: _is_spec(value), sep="/")
    )
  except Exception as error:
    raise SymtuneError(
      f"{folder.where}/{_MSGPACK} cannot be read ({type(error).__name__}: {error}); "
      "expected T5X's msgpack file of version 2 or 3. It is truncated or damaged, or "
      "another program wrote it: copy it again."
    ) from error
  if version not in (2, VERSION):
    raise SymtuneError(
      f"{folder.where} has T5X's checkpoint version {version}, expected 2 or 3."
    )
  opened = {
    name: _open(folder, _spec_path(leaf), str(leaf["driver"]), name.startswith(TARGET))
    for name, leaf in flat.items()
    if _is_spec(leaf)
  }
  leaves = {}
  for name, leaf in flat.items():
    if name in opened:
      leaves[name] = _array(folder, name, opened[name], leaf, version)
    elif leaf is not None:  # a parameter without optimizer state (MultiOptimizer)
      leaves[name] = _held(np.asarray(leaf))
  return leaves


def _is_spec(value: Any) -> bool:
  """Whether a node of the tree describes a zarr array (as T5X's _is_leaf does)."""
  return isinstance(value, dict) and {"driver", "kvstore", "metadata"} <= value.keys()


def _spec_path(spec: Mapping[str, Any]) -> str:
  """Folder of an array; specs before TensorStore 0.1.14 have it one level higher."""
  return str(spec["kvstore"].get("path") or spec.get("path", ""))


def _held(value: np.ndarray) -> LazyTensor:
  return LazyTensor(shape=value.shape, dtype=value.dtype, read=lambda: value)


def _orbax_leaves(folder: Folder) -> dict[str, LazyTensor]:
  return read_orbax(folder, _ORBAX, is_parameter=lambda name: name.startswith(TARGET))


def read_orbax(
  folder: Folder, item: str, *, is_parameter: Callable[[str], bool]
) -> dict[str, LazyTensor]:
  """The arrays of one item that Orbax wrote, by slash-joined path.

  Args:
    folder: the checkpoint's folder.
    item: folder of the item in it, with zarr arrays in folders or in one database.
    is_parameter: tells whether the array at a path must be complete.

  Raises:
    SymtuneError: the storage cannot be reached, or an array is damaged or lost; names
      the array.
  """
  base = folder.store(item)
  if folder.read(f"{item}/manifest.ocdbt") is not None:
    base = {"driver": "ocdbt", "base": base, "path": ""}
  inside = Folder(where=f"{folder.where}/{item}", spec=base, path=base["path"])
  drivers = {".zarray": "zarr", "zarr.json": "zarr3"}
  written = list(filter(is_parameter, _written(folder, item)))
  opened = {}
  for key in _keys(inside, written):
    path, _, file = key.rpartition("/")
    if file in drivers:
      name = path.replace(".", "/")
      opened[name] = _open(inside, path, drivers[file], is_parameter(name))
  _refuse_missing(inside, [name for name in written if name not in opened])
  return {
    name: _array(inside, name, future, None, VERSION) for name, future in opened.items()
  }


def _keys(inside: Folder, written: Sequence[str]) -> list[str]:
  """All files of an item; if the database is damaged, raises with a lost tensor."""
  try:
    return inside.files()
  except SymtuneError as error:
    for name in written:
      try:
        inside.read(f"{name.replace('/', '.')}/.zarray")
      except SymtuneError as lost:
        raise _damaged(inside, name, lost.__cause__ or lost) from error
    raise


def _written(folder: Folder, item: str) -> list[str]:
  """Slash-joined paths that Orbax's `_METADATA` lists; empty if there is none."""
  found = folder.read(f"{item}/_METADATA")
  if found is None:
    return []
  try:
    entries = json.loads(found)["tree_metadata"].values()
    return ["/".join(str(k["key"]) for k in e["key_metadata"]) for e in entries]
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise SymtuneError(
      f"{folder.where}/{item}/_METADATA cannot be read ({type(error).__name__}: "
      f"{error}); expected Orbax's metadata. The checkpoint is damaged: copy it again."
    ) from error


def _open(folder: Folder, path: str, driver: str, must_be_whole: bool) -> Any:
  """Starts to open an array. All arrays are opened at once, since gs:// is slow."""
  spec: dict[str, Any] = {"driver": driver, "kvstore": folder.store(path)}
  # A missing chunk would silently read as zeros. In a parameter, it means damage; in an
  # optimizer's state, chunks that are all zeros need not be written.
  if must_be_whole:
    spec["fill_missing_data_reads"] = False
  return tensorstore.open(spec, context=context(), read=True)


def _array(
  folder: Folder,
  name: str,
  opened: Any,
  recorded: Mapping[str, Any] | None,
  version: int,
) -> LazyTensor:
  """An array on disk, opened but not read.

  Args:
    folder: folder of the checkpoint, for messages.
    name: path of the array in the tree, for messages.
    opened: what `_open` returned.
    recorded: what the msgpack file says about the array.
    version: T5X's checkpoint version.
  """
  try:
    store = opened.result()
  except Exception as error:
    raise _damaged(folder, name, error) from error
  shape, dtype = tuple(store.shape), np.dtype(store.dtype.numpy_dtype)
  if recorded is not None and tuple(recorded["metadata"]["shape"]) != shape:
    raise SymtuneError(
      f"{folder.where}: tensor {name} has shape {list(shape)} on disk, expected "
      f"{list(recorded['metadata']['shape'])} according to the checkpoint file. The "
      "folder mixes two checkpoints: copy it again."
    )
  is_old_bfloat16 = version < VERSION and dtype == np.uint16

  def read() -> np.ndarray:
    try:
      value = np.asarray(store.read().result())
    except Exception as error:
      raise _damaged(folder, name, error) from error
    return value.view(ml_dtypes.bfloat16) if is_old_bfloat16 else value

  dtype = np.dtype(ml_dtypes.bfloat16) if is_old_bfloat16 else dtype
  return LazyTensor(shape=shape, dtype=dtype, read=read)


def _damaged(folder: Folder, name: str, error: BaseException) -> SymtuneError:
  first = (str(error).splitlines() or [""])[0]
  return SymtuneError(
    f"{folder.where}: tensor {name} cannot be read ({type(error).__name__}: {first}). "
    "The checkpoint is truncated or damaged: copy it again."
  )
