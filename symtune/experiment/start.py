"""Recipe.checkpoint -> the parameters that an experiment starts from."""

import dataclasses
import hashlib
import json
import pathlib

import jax

from symtune.cards.resources import resource_dir
from symtune.errors import SymtuneError
from symtune.files import RUN_FILE
from symtune.model.network import Params, Transformer, init_params, param_shapes
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS
from symtune.train.weights import load_weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
  """Where an experiment's parameters come from.

  Attributes:
    path: a weights file, or the run folder of another experiment.
    step: the checkpoint of the run folder; None for a weights file.
    fingerprint: changes when the parameters do.
  """

  path: pathlib.Path
  step: int | None
  fingerprint: str


def find_start(name: str) -> Start:
  """What a recipe's `checkpoint` stands for.

  Args:
    name: a weights file, which may lie inside `tasks/`, or a run folder, whose newest
      checkpoint is meant.

  Returns:
    Where the parameters are; they are not read yet.

  Raises:
    SymtuneError: there is no such file, or the folder is no run with a checkpoint.
  """
  path = pathlib.Path(name)
  shipped = resource_dir("tasks") / path
  if not path.exists() and shipped.is_file():
    path = shipped
  if path.is_dir():
    return _find_run(path)
  if not path.is_file():
    raise SymtuneError(
      f"checkpoint: nothing at {name!r}, expected a weights file (*.safetensors), one "
      f"inside tasks/, or a run folder."
    )
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  return Start(path=path, step=None, fingerprint=digest)


def load_start(start: Start | None, network: Transformer, seed: int) -> Params:
  """The parameters before the first step.

  Args:
    start: where they come from; None draws them.
    network: what they are for.
    seed: of the drawn ones.

  Returns:
    Nested dict of float32 arrays on the first device.

  Raises:
    SymtuneError: the file is damaged, or of another network.
  """
  if start is None:
    return init_params(network, jax.random.key(seed))
  shapes = param_shapes(network)
  if start.step is None:
    return jax.device_put(load_weights(start.path, network.config, shapes))
  folder = start.path / CHECKPOINTS
  return jax.device_put(checkpoint.load_params(folder, start.step, shapes))


def _find_run(path: pathlib.Path) -> Start:
  step = checkpoint.latest_step(path / CHECKPOINTS)
  try:
    about = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
    config_hash = str(about["config_hash"])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise SymtuneError(
      f"checkpoint: {path} is no run folder ({RUN_FILE}: {error}), expected the --out "
      f"of another run, or a weights file."
    ) from error
  if step is None:
    raise SymtuneError(
      f"checkpoint: run folder {path} has no checkpoint yet. Train that run first."
    )
  return Start(path=path, step=step, fingerprint=f"{config_hash}/{step}")
