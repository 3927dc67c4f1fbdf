"""Stage 9: TrainState <-> disk (Orbax), with the data position and config hash.

Layout, one folder per saved step:

    <run>/checkpoints/<step>/params/     the network's parameters (Orbax, OCDBT)
    <run>/checkpoints/<step>/optimizer/  the optimizer's state (Orbax, OCDBT)
    <run>/checkpoints/<step>/run/        JSON: step, rng, data position, metric sums

A checkpoint is written under a temporary name and renamed when it is complete, and it
is renamed again before it is removed. So a folder whose name is a number is a complete
checkpoint, whenever the process died.
"""

import contextlib
import dataclasses
import logging
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from symtune.errors import SymtuneError
from symtune.train.partition import place
from symtune.train.state import TrainState

FORMAT = 1
_RUN_KEYS = ("format", "step", "rng", "data_state", "metric_sums", "config_hash")
_LEFTOVERS = ("*.orbax-checkpoint-tmp", "*.removed")
_EXPECTED = "a checkpoint folder with params/, optimizer/ and run/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
  """What `restore` returns.

  Attributes:
    state: the train state, bit for bit as it was saved.
    data_state: the data position that the batch iterator's `get_state` returned.
    metric_sums: the metrics since the last logged row (`metrics.MetricSums`).
    config_hash: the hash of the configuration that made it.
  """

  state: TrainState
  data_state: dict[str, Any]
  metric_sums: dict[str, Any]
  config_hash: str


def save(
  directory: pathlib.Path,
  state: TrainState,
  data_state: Mapping[str, Any],
  *,
  config_hash: str,
  config: Mapping[str, Any] | None = None,
  metric_sums: Mapping[str, Any] | None = None,
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
    keep: how many of the newest checkpoints are kept; None keeps all.
    keep_every: checkpoints at multiples of this step are always kept.

  Returns:
    The checkpoint's folder.
  """
  step = int(state.step)
  path = _absolute(directory) / str(step)
  if not path.exists():
    items = ocp.args.Composite(
      params=ocp.args.StandardSave(state.params),
      optimizer=ocp.args.StandardSave(state.opt_state),
      run=ocp.args.JsonSave(
        {
          "format": FORMAT,
          "step": step,
          "rng": _key_to_json(state.rng),
          "data_state": dict(data_state),
          "metric_sums": dict(metric_sums or {}),
          "config_hash": config_hash,
          "config": dict(config or {}),
        }
      ),
    )
    with _quiet(), _checkpointer() as checkpointer:
      checkpointer.save(path, items)
  if jax.process_index() == 0:
    _drop_old(path.parent, keep, keep_every)
  return path


def steps(directory: pathlib.Path) -> tuple[int, ...]:
  """Returns the steps of the complete checkpoints in a folder, in ascending order."""
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    return ()
  names = [path.name for path in directory.iterdir() if path.is_dir()]
  return tuple(sorted(int(name) for name in names if name.isdecimal()))


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
  run = _read_run(path)
  if config_hash is not None and run["config_hash"] != config_hash:
    raise SymtuneError(
      f"{path} has configuration {run['config_hash']}, expected that of this run, "
      f"{config_hash}. Choose another run folder, or return to the configuration that "
      "is saved there."
    )
  _check_params(path, abstract_state.params)
  items = ocp.args.Composite(
    params=ocp.args.StandardRestore(_placed(abstract_state.params)),
    optimizer=ocp.args.StandardRestore(_placed(abstract_state.opt_state)),
  )
  read = _read(path, items)
  state = TrainState(
    step=_place(jnp.asarray(run["step"], jnp.int32), abstract_state.step),
    params=read["params"],
    opt_state=read["optimizer"],
    rng=_place(_key_from_json(run["rng"]), abstract_state.rng),
  )
  return Checkpoint(
    state=state,
    data_state=run["data_state"],
    metric_sums=run["metric_sums"],
    config_hash=run["config_hash"],
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
  _read_run(path)
  if abstract_params is None:
    return _read_as_numpy(path)
  _check_params(path, abstract_params)
  item = ocp.args.StandardRestore(_placed(abstract_params))
  return _read(path, ocp.args.Composite(params=item))["params"]


def _read(path: pathlib.Path, items: ocp.args.Composite) -> Any:
  """Runs Orbax's restore; turns its many kinds of errors into SymtuneError."""
  try:
    with _quiet(), _checkpointer() as checkpointer:
      return checkpointer.restore(path, items)
  except Exception as error:
    raise _unreadable(path, error) from error


def _read_as_numpy(path: pathlib.Path) -> Any:
  """Reads the parameters as NumPy arrays, whatever devices they were saved from."""
  try:
    with _quiet(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
      tree = checkpointer.metadata(path / "params").item_metadata.tree
      as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
      item = ocp.args.PyTreeRestore(restore_args=as_numpy)
      return checkpointer.restore(path / "params", item)
  except Exception as error:
    raise _unreadable(path, error) from error


def _unreadable(path: pathlib.Path, error: Exception) -> SymtuneError:
  lines = str(error).splitlines() or [""]
  return SymtuneError(
    f"{path} cannot be read; expected {_EXPECTED}, of this run's network and "
    "optimizer. If it is damaged, remove the folder to resume from an older one. "
    f"Cause: {type(error).__name__}: {lines[0]}"
  )


def _checkpoint_path(directory: pathlib.Path, step: int) -> pathlib.Path:
  path = _absolute(directory) / str(step)
  if not path.is_dir():
    found = ", ".join(map(str, steps(directory))) or "none"
    raise SymtuneError(
      f"{path} does not exist; expected {_EXPECTED}. Choose one of the steps in "
      f"{directory}: {found}."
    )
  return path


def _read_run(path: pathlib.Path) -> dict[str, Any]:
  """Reads and checks the JSON part, which shows that symtune wrote the checkpoint."""
  for part in ("params", "optimizer", "run"):
    if not (path / part).is_dir():
      raise SymtuneError(
        f"{path} has no {part}/; expected {_EXPECTED}. It is damaged, or another "
        "program wrote it."
      )
  run = _read(path, ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]
  missing = [key for key in _RUN_KEYS if key not in run]
  if missing:
    raise SymtuneError(f"{path}/run lacks {', '.join(missing)}; it is damaged.")
  if run["format"] != FORMAT:
    raise SymtuneError(
      f"{path} has checkpoint format {run['format']}; this version reads {FORMAT}."
    )
  if str(run["step"]) != path.name:
    raise SymtuneError(
      f"{path} was saved at step {run['step']}; the folder's name must be that number. "
      "Rename it back."
    )
  return run


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
    with _quiet(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
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
  """Removes what a killed process left behind and what the keep policy drops."""
  for pattern in _LEFTOVERS:
    for leftover in directory.glob(pattern):
      shutil.rmtree(leftover)
  if keep is None:
    return
  for step in steps(directory)[: -max(keep, 1)]:
    if keep_every and step % keep_every == 0:
      continue
    removed = directory / f"{step}.removed"
    (directory / str(step)).rename(removed)
    shutil.rmtree(removed)


def _key_to_json(key: jax.Array) -> dict[str, Any]:
  return {
    "impl": str(jax.random.key_impl(key)),
    "data": np.asarray(jax.random.key_data(key)).tolist(),
  }


def _key_from_json(saved: Mapping[str, Any]) -> jax.Array:
  data = jnp.asarray(np.asarray(saved["data"], np.uint32))
  return jax.random.wrap_key_data(data, impl=saved["impl"])


def _place(value: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
  return value if like.sharding is None else place(value, like.sharding)


def _checkpointer() -> ocp.Checkpointer:
  return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences Orbax's log lines below ERROR; its failures still raise."""
  logger = logging.getLogger("absl")
  before = logger.level
  logger.setLevel(logging.ERROR)
  try:
    yield
  finally:
    logger.setLevel(before)


def _absolute(directory: pathlib.Path) -> pathlib.Path:
  return pathlib.Path(directory).resolve()  # the storage refuses `..`
