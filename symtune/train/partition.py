"""How arrays are sharded over a mesh of devices: logical axis names -> NamedShardings.

The mesh has two axes. The rows of a batch are sharded along `data`; wide parameters
(mlp, heads, vocab) are sharded along `model`, by the rules of `symtune.model.axes`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.spmd import logical_to_mesh_axes
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from symtune.data.batches.batch import Batch
from symtune.errors import SymtuneError
from symtune.model.axes import (
  DATA_AXIS,
  DEFAULT_RULES,
  MODEL_AXIS,
  SHARDED_PARAMS_RULES,
  Rules,
)
from symtune.train.state import TrainState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """How a run is distributed over its devices; this is not part of the experiment.

  A run may be resumed with another layout: results then differ by rounding, and with
  another number of micro-batches also by dropout masks.

  Attributes:
    model_devices: number of devices that share one copy of the parameters.
    shard_params: whether parameters and gradients are also sharded along `data`.
    microbatches: the batch is processed in this many parts, one after another, to save
      memory.
  """

  model_devices: int = 1
  shard_params: bool = False
  microbatches: int = 1

  def __post_init__(self):
    for name in ("model_devices", "microbatches"):
      if getattr(self, name) < 1:
        raise SymtuneError(f"{name} is {getattr(self, name)}; it must be 1 or more.")


def layout_rules(layout: Layout) -> Rules:
  """The partitioning rules of a layout."""
  return SHARDED_PARAMS_RULES if layout.shard_params else DEFAULT_RULES


def make_mesh(*, model_devices: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
  """Arranges devices as a grid [data, model].

  Args:
    model_devices: number of devices that share one copy of the parameters.
    devices: the devices to use; None: all devices.

  Raises:
    SymtuneError: the devices cannot be divided into such groups.
  """
  devices = jax.devices() if devices is None else list(devices)
  if jax.process_count() > 1 and model_devices > jax.local_device_count():
    raise SymtuneError(
      f"model_devices is {model_devices}; each process has {jax.local_device_count()} "
      f"devices, and devices that share parameters must belong to one process. Lower "
      f"model_devices, and shard parameters along `data` as well (--shard-params)."
    )
  if model_devices < 1 or len(devices) % model_devices:
    raise SymtuneError(
      f"--model-devices is {model_devices}; it must divide the number of devices, "
      f"which is {len(devices)}."
    )
  grid = np.asarray(devices).reshape(-1, model_devices)
  return Mesh(grid, (DATA_AXIS, MODEL_AXIS), axis_types=(AxisType.Auto,) * 2)


def param_shardings(
  params: Any, param_axes: Any, mesh: Mesh, rules: Rules = DEFAULT_RULES
) -> Any:
  """Returns a sharding for each parameter, from the names of its axes.

  Args:
    params: nested dict of arrays or shapes.
    param_axes: the same tree with axis names (`symtune.model.network.param_axes`).
    mesh: as made by `make_mesh`.
    rules: pairs (logical axis, mesh axis or None); the first pair that matches wins.

  Raises:
    SymtuneError: an axis is not a multiple of the number of devices it is sharded over.
  """

  def sharding(path, param, axes) -> NamedSharding:
    spec = logical_to_mesh_axes(tuple(axes), rules)
    for size, mesh_axis in zip(param.shape, spec or (), strict=True):
      if mesh_axis is not None and size % mesh.shape[mesh_axis]:
        raise SymtuneError(
          f"parameter {jax.tree_util.keystr(path)} has an axis of size {size}, which "
          f"is not a multiple of the {mesh.shape[mesh_axis]} devices of mesh axis "
          f"{mesh_axis!r}. Choose another model_devices."
        )
    return NamedSharding(mesh, spec or PartitionSpec())

  return jax.tree_util.tree_map_with_path(sharding, params, param_axes)


def state_shardings(state: TrainState, params: Any, mesh: Mesh) -> TrainState:
  """Returns a sharding for every array of a train state.

  An optimizer array with the path and shape of a parameter (Adam's moments, Adafactor's
  full second moments) is sharded like that parameter. Everything else (factored
  moments, counts, the key) is replicated on all devices.

  Args:
    state: the state, or its shapes.
    params: the shardings of the parameters, as made by `param_shardings`.
    mesh: the mesh of those shardings.
  """
  everywhere = NamedSharding(mesh, PartitionSpec())
  shapes = jax.tree_util.tree_leaves_with_path(state.params)
  by_path = {
    path: (leaf.shape, sharding)
    for (path, leaf), sharding in zip(shapes, jax.tree.leaves(params), strict=True)
  }

  def of_optimizer(path, leaf) -> NamedSharding:
    for start in range(len(path)):
      shape, sharding = by_path.get(path[start:], (None, everywhere))
      if shape == leaf.shape:
        return sharding
    return everywhere

  return TrainState(
    step=everywhere,
    params=params,
    opt_state=jax.tree_util.tree_map_with_path(of_optimizer, state.opt_state),
    rng=everywhere,
  )


def place(tree: Any, shardings: Any) -> Any:
  """Places the arrays of a tree on the devices, including those of other processes.

  Args:
    tree: arrays, the same in every process.
    shardings: a tree of shardings with the same structure.
  """
  if jax.process_count() == 1:
    return jax.device_put(tree, shardings)
  return jax.tree.map(_place_array, tree, shardings)


def _place_array(value: jax.Array, sharding: NamedSharding) -> jax.Array:
  if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
    data = _place_array(jax.random.key_data(value), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(value))
  host = np.asarray(value)
  return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def check_rows(rows: int, mesh: Mesh) -> None:
  """Refuses batches that the devices of this process cannot share.

  Args:
    rows: this process's rows of a batch.
    mesh: the devices.

  Raises:
    SymtuneError: the rows are not a multiple of the local devices of `data`.
  """
  parts = mesh.local_mesh.shape[DATA_AXIS]
  if rows % parts:
    raise SymtuneError(
      f"a batch of {rows} rows cannot be divided evenly among {parts} devices of the "
      "data axis. Change batch_size or model_devices."
    )


def batch_putter(mesh: Mesh) -> Callable[[Batch], dict[str, jax.Array]]:
  """Returns a function that shards the rows of a batch along `data`.

  With several hosts, each passes its own rows; together they are the global batch.

  Raises (the returned function):
    SymtuneError: the number of rows is not a multiple of the local devices of `data`.
  """
  sharding = NamedSharding(mesh, PartitionSpec(DATA_AXIS))

  def put(batch: Batch) -> dict[str, jax.Array]:
    check_rows(len(batch["decoder_input_tokens"]), mesh)
    return {
      name: jax.make_array_from_process_local_data(sharding, value)
      for name, value in batch.items()
    }

  return put
