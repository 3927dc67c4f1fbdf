"""The metrics of a run, shown as it goes by TensorBoard or Weights & Biases.

metrics.jsonl and timing.jsonl in the run's folder stay the record; a tracker gets the
same rows. It has no influence on the run, and is no part of its configuration.
"""

import contextlib
import enum
import importlib.util
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from symtune.errors import SymtuneError

TENSORBOARD_FOLDER = "tensorboard"
_PROJECT = "symtune"
_FLUSH_SECONDS = 10

# Called with each row that is logged, which has a "step" and numbers.
Tracker = Callable[[Mapping[str, Any]], None]


class TrackerKind(enum.StrEnum):
  """Where metrics are shown.

  Members:
    TENSORBOARD: event files in the run's folder (`tensorboard --logdir RUN`).
    WANDB: a run of the project "symtune" at Weights & Biases, named after the folder;
      WANDB_MODE=offline and the other variables of wandb apply.
  """

  TENSORBOARD = "tensorboard"
  WANDB = "wandb"


_PACKAGES = {TrackerKind.TENSORBOARD: "tensorboardX", TrackerKind.WANDB: "wandb"}


def check_tracker(kind: TrackerKind) -> None:
  """Refuses a tracker whose package is not installed; imports nothing.

  Raises:
    SymtuneError: names the extra to install.
  """
  if importlib.util.find_spec(_PACKAGES[kind]) is None:
    raise SymtuneError(
      f"--track {kind.value} needs {_PACKAGES[kind]}: pip install 'symtune[track]'."
    )


@contextlib.contextmanager
def open_tracker(
  kind: TrackerKind, run_dir: pathlib.Path, identity: str, config: Mapping[str, Any]
) -> Iterator[Tracker]:
  """Opens a tracker, which continues where an earlier process of the run stopped.

  Args:
    kind: where the metrics are shown.
    run_dir: the run's folder.
    identity: identifies the run's configuration.
    config: all settings as JSON values.

  Yields:
    A function to call with each row.

  Raises:
    SymtuneError: the package is not installed, or wandb refuses to start.
  """
  check_tracker(kind)
  if kind is TrackerKind.TENSORBOARD:
    yield from _tensorboard(run_dir)
  else:
    yield from _wandb(run_dir, identity, config)


def _tensorboard(run_dir: pathlib.Path) -> Iterator[Tracker]:
  import tensorboardX

  writer: Any = None

  def track(row: Mapping[str, Any]) -> None:
    nonlocal writer
    if writer is None:  # now the step is known from which older events do not count
      folder = str(run_dir / TENSORBOARD_FOLDER)
      writer = tensorboardX.SummaryWriter(
        folder, purge_step=row["step"], flush_secs=_FLUSH_SECONDS
      )
    for name, value in row.items():
      if name != "step":
        writer.add_scalar(name, value, row["step"])

  try:
    yield track
  finally:
    if writer is not None:
      writer.close()


def _wandb(
  run_dir: pathlib.Path, identity: str, config: Mapping[str, Any]
) -> Iterator[Tracker]:
  import wandb

  try:
    run = wandb.init(
      project=_PROJECT,
      id=f"{run_dir.name}-{identity}",
      name=run_dir.name,
      resume="allow",
      dir=str(run_dir),
      config=dict(config),
    )
  except Exception as error:  # wandb's own errors share no base class
    raise SymtuneError(
      f"--track wandb: Weights & Biases does not start ({error}). Log in with `wandb "
      "login`, set WANDB_MODE=offline, or leave --track out."
    ) from error

  def track(row: Mapping[str, Any]) -> None:
    values = {name: value for name, value in row.items() if name != "step"}
    run.log(values, step=row["step"])

  try:
    yield track
  finally:
    run.finish()
