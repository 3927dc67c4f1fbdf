"""Trained reward models: what they get right, on which scale, and loading them.

reward/measured.json holds, for each member, the mean and the standard deviation of its
rewards over the training pairs (the first 1,024), and its rewards of the test pairs.
"""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from symtune.align.learn.devices import Devices
from symtune.align.learn.reward import (
  FOLDER,
  member_folder,
  pair_rewards,
  reward_settings,
  start_member,
)
from symtune.align.pairs import PairArrays
from symtune.align.setup import Setup
from symtune.bounded import read_json
from symtune.errors import SymtuneError
from symtune.files import write_whole
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS

MEASURED = "measured.json"
_MAX_BYTES = 1_000_000_000
_BATCH = 128  # pairs at once
_SCALE_PAIRS = 1024  # training pairs that give the scale of a member's rewards
_jit_rewards = jax.jit(pair_rewards, static_argnums=0)


def measure_members(
  setup: Setup,
  run_dir: pathlib.Path,
  devices: Devices,
  train: PairArrays,
  test: PairArrays,
) -> None:
  """Writes reward/measured.json, unless it is there.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder, with all members trained.
    devices: where to compute.
    train: the pairs that the members were trained on.
    test: other pairs, whose labels are right.

  Raises:
    SymtuneError: a member is not trained, or all or some of its rewards are useless:
      not finite, or the same for every answer.
  """
  path = run_dir / FOLDER / MEASURED
  if path.exists():
    return
  find = functools.partial(devices.call, _jit_rewards, setup.policy)
  train = train.first(_SCALE_PAIRS)
  members = []
  for member in range(reward_settings(setup).members):
    params = _load(setup, run_dir, devices, member)
    known = _all_rewards(find, params, train, devices)
    if not np.isfinite(known).all() or not known.std() > 0.0:
      raise SymtuneError(
        f"{member_folder(run_dir, member)}: got rewards from {known.min()} to "
        f"{known.max()} with a standard deviation of {known.std()}, expected different "
        "finite numbers. Train with a lower learning_rate, in another folder."
      )
    tested = _all_rewards(find, params, test, devices)
    if not np.isfinite(tested).all():
      raise SymtuneError(
        f"{member_folder(run_dir, member)}: got a reward of a test pair that is not "
        "finite, expected finite numbers. Train with a lower learning_rate, in another "
        "folder."
      )
    members.append(
      {
        "mean": float(known.mean()),
        "std": float(known.std()),
        "rewards": tested.tolist(),
      }
    )
  lengths = (test.answers >= 0).sum(axis=2).tolist()
  write_whole(path, json.dumps({"members": members, "lengths": lengths}) + "\n")


def read_measured(run_dir: pathlib.Path) -> dict[str, Any]:
  """What `measure_members` wrote.

  Raises:
    SymtuneError: there is no such file, or it is damaged.
  """
  path = run_dir / FOLDER / MEASURED
  try:
    content = read_json(path, _MAX_BYTES)
  except OSError as error:
    raise SymtuneError(
      f"{path} cannot be read ({error.strerror or error}); expected what reward models "
      "are worth. Train them first: symtune align reward."
    ) from error
  if not isinstance(content, dict) or content.keys() != {"members", "lengths"}:
    raise SymtuneError(f"{path} is damaged. Remove it, and run symtune align reward.")
  return content


def load_members(
  setup: Setup, run_dir: pathlib.Path, devices: Devices, count: int
) -> Any:
  """The first members, stacked: every array gets a leading axis.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder.
    devices: where to put them.
    count: how many.

  Returns:
    {"network", "head", "mean", "std"}: parameters and scales.

  Raises:
    SymtuneError: one is not trained yet, or a file is damaged.
  """
  measured = read_measured(run_dir)["members"][:count]
  found = [_load(setup, run_dir, devices, member) for member in range(count)]
  stacked = devices.jit(_stack)(found)
  scales = {
    name: np.asarray([m[name] for m in measured], np.float32)
    for name in ("mean", "std")
  }
  return {**stacked, **jax.device_put(scales, devices.everywhere)}


def _stack(trees: Sequence[Any]) -> Any:
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _all_rewards(
  find: Any, params: Any, pairs: PairArrays, devices: Devices
) -> np.ndarray:
  """The rewards of all pairs, float64 [pairs, 2], in batches of one shape."""
  count = len(pairs.lengths)
  places = np.arange(-(-count // _BATCH) * _BATCH) % count
  found = [
    np.asarray(find(params, devices.put(pairs.take(part))), np.float64)
    for part in places.reshape(-1, _BATCH)
  ]
  return np.concatenate(found)[:count]


def _load(setup: Setup, run_dir: pathlib.Path, devices: Devices, member: int) -> Any:
  folder = member_folder(run_dir, member) / CHECKPOINTS
  steps = reward_settings(setup).train.steps
  if steps not in checkpoint.steps(folder):
    raise SymtuneError(
      f"{folder} has no checkpoint of step {steps}, expected a trained reward model. "
      "Train it first: symtune align reward."
    )
  params, places = start_member(setup, devices, member)
  shapes = jax.tree.map(
    lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
    params,
    places,
  )
  return checkpoint.load_params(folder, steps, shapes)
