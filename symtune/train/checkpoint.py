"""Stage 9: TrainState <-> disk (Orbax), with the data position and config hash.

Layout, one folder per saved step:

    <run>/checkpoints/<step>/params/     the network's parameters (Orbax, OCDBT)
    <run>/checkpoints/<step>/optimizer/  the optimizer's state (Orbax, OCDBT)
    <run>/checkpoints/<step>/run/        JSON: step, rng, data position, metric sums
    <run>/checkpoints/<step>/checksums.txt  a checksum of every other file

A checkpoint is written under a temporary name and renamed when it is complete, and it
is renamed again before it is removed. So a folder whose name is a number is a complete
checkpoint, whenever the process died. Its checksums are compared whenever it is read.
"""

import concurrent.futures
import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from symtune.checksums import write_checksums
from symtune.errors import SymtuneError
from symtune.files import full_disk, space_problem
from symtune.train import hosts
from symtune.train.partition import place
from symtune.train.quiet import quiet, reason_of_failure
from symtune.train.record import (
  EXPECTED,
  LARGE,
  OPTIMIZER,
  PARAMS,
  RUN,
  SMALL,
  Record,
  check_files,
  read_record,
  steps,
  to_json,
)
from symtune.train.state import TrainState

_UNCHECKED = ".unchecked"  # complete, but without checksums
_LEFTOVERS = ("*.orbax-checkpoint-tmp", f"*{_UNCHECKED}", "*.removed")
_SMALL_FILES = 1_000_000  # bytes; what a checkpoint holds besides its arrays


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
  """What `restore` returns.

  Attributes:
    state: the train state, bit for bit as it was saved.
    data_state: the data position that the batch iterator's `get_state` returned.
    metric_sums: the metrics since the last logged row (`metrics.Sums`).
    config_hash: the hash of the configuration that made it.
    metrics_checksum: checksum of the rows of metrics.jsonl up to its step; "" if there
      are none.
  """

  state: TrainState
  data_state: dict[str, Any]
  metric_sums: dict[str, Any]
  config_hash: str
  metrics_checksum: str


def save(
  directory: pathlib.Path,
  state: TrainState,
  data_state: Mapping[str, Any],
  *,
  config_hash: str,
  config: Mapping[str, Any] | None = None,
  metric_sums: Mapping[str, Any] | None = None,
  metrics_checksum: str = "",
  keep: int | None = None,
  keep_every: int | None = None,
) -> pathlib.Path:
  """Writes `<directory>/<step>/` and removes what the keep policy drops.

  An existing checkpoint of the same step is kept: a run is deterministic.

  Args:
    directory: the run's `checkpoints` folder; created if missing.
    state: the train state to save; the function waits for its arrays.
    data_state: the batch iterator's position, JSON values only.
    config_hash: identifies the configuration; `fit` resumes only the same one.
    config: the configuration itself, JSON values only.
    metric_sums: the metrics since the last logged row, JSON values only.
    metrics_checksum: checksum of the rows of metrics.jsonl so far.
    keep: how many of the newest checkpoints are kept; None keeps all.
    keep_every: checkpoints at multiples of this step are always kept.

  Returns:
    The checkpoint's folder.

  Raises:
    SymtuneError: the disk is full; nothing of this step is left behind.
  """
  step = int(state.step)
  path = _absolute(directory) / str(step)
  record = Record(
    step=step,
    rng=state.rng,
    data_state=dict(data_state),
    metric_sums=dict(metric_sums or {}),
    config_hash=config_hash,
    config=dict(config or {}),
    metrics_checksum=metrics_checksum,
  )
  if hosts.is_first():
    _remove_leftovers(path.parent)
  if not hosts.any_of_all(path.exists()):
    _write(path, state, record)
  if hosts.is_first():
    _drop_old(path.parent, keep, keep_every)
  return path


def _write(path: pathlib.Path, state: TrainState, record: Record) -> None:
  """Writes a checkpoint under another name, adds its checksums and renames it."""
  leaves = jax.tree.leaves((state.params, state.opt_state))
  needed = sum(leaf.nbytes for leaf in leaves) + _SMALL_FILES
  no_space = space_problem(path, needed) if hosts.is_first() else None
  hosts.raise_together(no_space, f"{path} was written")
  items = ocp.args.Composite(
    params=ocp.args.StandardSave(state.params),
    optimizer=ocp.args.StandardSave(state.opt_state),
    run=ocp.args.JsonSave(to_json(record)),
  )
  unchecked = path.with_name(path.name + _UNCHECKED)

  def write() -> None:
    with _checkpointer() as checkpointer:
      checkpointer.save(unchecked, items)
    if hosts.is_first():
      write_checksums(unchecked)
      unchecked.rename(path)

  reason, problem = reason_of_failure(write), None
  if reason is not None:
    _remove_leftovers(path.parent)
    problem = SymtuneError(full_disk(path, needed, reason))
  hosts.raise_together(problem, f"{path} was written")


def latest_step(directory: pathlib.Path) -> int | None:
  """Returns the step of the newest complete checkpoint, or None if there is none."""
  return max(steps(directory), default=None)


def restore(
  directory: pathlib.Path,
  step: int,
  abstract_state: TrainState,
  *,
  config_hash: str | None = None,
) -> Checkpoint:
  """Reads `<directory>/<step>/` back, bit for bit, onto the given devices.

  Args:
    directory: the run's `checkpoints` folder.
    step: the step of the checkpoint.
    abstract_state: shapes, dtypes and shardings (`state.abstract_state`); arrays
      without a sharding go to the first device.
    config_hash: the hash that the checkpoint's configuration must have; None: any.

  Raises:
    SymtuneError: there is no such checkpoint, it is damaged or was not written by
      symtune, or it has another configuration, network or optimizer.
  """
  path = _checkpoint_path(directory, step)
  record = _read_run(path)
  if config_hash is not None and record.config_hash != config_hash:
    raise SymtuneError(
      f"{path} has configuration {record.config_hash}, expected that of this run, "
      f"{config_hash}. Choose another run folder, or return to the configuration that "
      "is saved there."
    )
  _check_params(path, abstract_state.params)
  items = ocp.args.Composite(
    params=ocp.args.StandardRestore(_placed(abstract_state.params)),
    optimizer=ocp.args.StandardRestore(_placed(abstract_state.opt_state)),
  )
  read = _read(path, items, PARAMS, OPTIMIZER)
  state = TrainState(
    step=_place(jnp.asarray(record.step, jnp.int32), abstract_state.step),
    params=read["params"],
    opt_state=read["optimizer"],
    rng=_place(record.rng, abstract_state.rng),
  )
  return Checkpoint(
    state=state,
    data_state=record.data_state,
    metric_sums=record.metric_sums,
    config_hash=record.config_hash,
    metrics_checksum=record.metrics_checksum,
  )


def load_params(
  directory: pathlib.Path, step: int, abstract_params: Any | None = None
) -> Any:
  """Reads only the parameters, a nested dict of arrays.

  Args:
    directory: the run's `checkpoints` folder.
    step: the step of the checkpoint.
    abstract_params: the expected shapes, dtypes and shardings; arrays without a
      sharding go to the first device. None returns NumPy arrays of any shape.

  Raises:
    SymtuneError: there is no such checkpoint, it is damaged or was not written by
      symtune, or it has other shapes.
  """
  path = _checkpoint_path(directory, step)
  _read_run(path, PARAMS, RUN)
  if abstract_params is None:
    return _read_as_numpy(path)
  _check_params(path, abstract_params)
  item = ocp.args.StandardRestore(_placed(abstract_params))
  return _read(path, ocp.args.Composite(params=item), PARAMS)["params"]


def _read(path: pathlib.Path, items: ocp.args.Composite, *parts: str) -> Any:
  """Runs Orbax's restore and compares the large files of these parts meanwhile."""

  def read() -> Any:
    with quiet(), _checkpointer() as checkpointer:
      return checkpointer.restore(path, items)

  return _checked(path, parts, read)


def _checked(path: pathlib.Path, parts: Sequence[str], read: Callable[[], Any]) -> Any:
  """Reads; damage is named, and Orbax's many kinds of errors become SymtuneErrors."""
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    checking = pool.submit(check_files, path, *parts, sizes=LARGE)
    try:
      found = read()
    except Exception as error:
      checking.result()
      raise _unreadable(path, error) from error
    checking.result()
  return found


def _read_as_numpy(path: pathlib.Path) -> Any:
  """Reads the parameters as NumPy arrays, whatever devices they were saved from."""

  def read() -> Any:
    with quiet(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
      tree = checkpointer.metadata(path / "params").item_metadata.tree
      as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
      item = ocp.args.PyTreeRestore(restore_args=as_numpy)
      return checkpointer.restore(path / "params", item)

  return _checked(path, (PARAMS,), read)


def _unreadable(path: pathlib.Path, error: Exception) -> SymtuneError:
  lines = str(error).splitlines() or [""]
  return SymtuneError(
    f"{path} cannot be read; expected {EXPECTED}, of this run's network and "
    "optimizer. If it is damaged, remove the folder to resume from an older one. "
    f"Cause: {type(error).__name__}: {lines[0]}"
  )


def _checkpoint_path(directory: pathlib.Path, step: int) -> pathlib.Path:
  path = _absolute(directory) / str(step)
  if not path.is_dir():
    found = ", ".join(map(str, steps(directory))) or "none"
    raise SymtuneError(
      f"{path} does not exist; expected {EXPECTED}. Choose one of the steps in "
      f"{directory}: {found}."
    )
  return path


def _read_run(path: pathlib.Path, *parts: str) -> Record:
  """Checks the files and reads the JSON part of a checkpoint."""
  check_files(path, *(parts or (PARAMS, OPTIMIZER, RUN)), sizes=SMALL)
  values = _read(path, ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]
  record = read_record(values, f"{path}/run/metadata")
  if str(record.step) != path.name:
    raise SymtuneError(
      f"{path} was saved at step {record.step}; the folder's name must be that number. "
      "Rename it back."
    )
  return record


def _placed(shapes: Any) -> Any:
  """Names a device for every array; otherwise Orbax looks for the original devices."""
  first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=leaf.sharding or first
    ),
    shapes,
  )


def _check_params(path: pathlib.Path, wanted: Any) -> None:
  """Refuses parameters of another network and names the first that differs."""
  try:
    with quiet(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
      saved = checkpointer.metadata(path / "params").item_metadata.tree
  except Exception as error:
    raise _unreadable(path, error) from error
  have, want = _shape_by_name(saved), _shape_by_name(wanted)
  for name in sorted(have.keys() | want.keys()):
    if have.get(name) != want.get(name):
      raise SymtuneError(
        f"{path}/params: {name} is {have.get(name, 'missing')}, this run's network "
        f"has {want.get(name, 'no such parameter')}. Use the network settings of the "
        "run that saved it."
      )


def _shape_by_name(tree: Any) -> dict[str, str]:
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): (
      f"{np.dtype(leaf.dtype)}[{','.join(map(str, leaf.shape))}]"
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _drop_old(
  directory: pathlib.Path, keep: int | None, keep_every: int | None
) -> None:
  """Removes what the keep policy drops."""
  if keep is None:
    return
  for step in steps(directory)[: -max(keep, 1)]:
    if keep_every and step % keep_every == 0:
      continue
    removed = directory / f"{step}.removed"
    (directory / str(step)).rename(removed)
    shutil.rmtree(removed)


def _remove_leftovers(directory: pathlib.Path) -> None:
  """Removes what a killed process or a full disk left behind."""
  for pattern in _LEFTOVERS:
    for leftover in directory.glob(pattern):
      shutil.rmtree(leftover, ignore_errors=True)


def _place(value: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
  return value if like.sharding is None else place(value, like.sharding)


def _checkpointer() -> ocp.Checkpointer:
  return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _absolute(directory: pathlib.Path) -> pathlib.Path:
  return pathlib.Path(directory).resolve()  # the storage refuses `..`
