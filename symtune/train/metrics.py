"""Running sums of the metrics, and the JSON-lines files they are written to.

`metrics.jsonl` holds only what the run determines (loss, accuracy, counts), so the file
of a resumed run is byte for byte that of an uninterrupted one. What depends on the
machine (seconds, tokens per second) goes to `timing.jsonl`.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax

from symtune.checksums import file_checksum
from symtune.errors import SymtuneError
from symtune.files import append_text, write_whole
from symtune.train.step import Metrics

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"


@runtime_checkable
class Sums(Protocol):
  """Sums over the steps since the last logged row; empty ones have only defaults."""

  @property
  def steps(self) -> int:
    """Number of steps summed."""
    ...

  @property
  def real_tokens(self) -> float:
    """Positions that are not padding."""
    ...

  @classmethod
  def of_step(cls, metrics: Any) -> Any:
    """Fetches one step's metrics from the devices; waits until they are computed."""
    ...

  def plus(self, later: Any) -> Any:
    """Returns the sums over both."""
    ...

  def check_finite(self, step: int) -> None:
    """Stops a run whose loss or gradient is not finite; `step` is for the message."""
    ...

  def row(self, step: int) -> dict[str, int | float]:
    """Returns the means as a row of `metrics.jsonl`."""
    ...

  def describe(self) -> list[str]:
    """Returns what the progress line shows."""
    ...

  def to_json(self) -> dict[str, int | float]:
    """Returns the sums as JSON values; floats survive JSON exactly."""
    ...

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> Any:
    """Reads what `to_json` wrote."""
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricSums:
  """Sums over the steps since the last logged row, as Python numbers.

  The host adds them in float64, in step order, so they do not depend on where a run was
  stopped.

  Attributes:
    steps: number of steps summed.
    loss_nats: cross-entropy without z-loss, nats, summed over target tokens.
    z_loss: the z-loss term, summed over target tokens.
    loss_weight: sum of the target tokens' weights; dividing both losses by it gives
      means.
    target_tokens: number of target tokens.
    correct_tokens: number of target tokens that had the largest logit.
    real_tokens: encoder and decoder positions that are not padding.
    token_slots: all encoder and decoder positions.
    grad_norm: the gradient's global norm, summed over steps.
    learning_rate: the last step's learning rate.
  """

  steps: int = 0
  loss_nats: float = 0.0
  z_loss: float = 0.0
  loss_weight: float = 0.0
  target_tokens: float = 0.0
  correct_tokens: float = 0.0
  real_tokens: float = 0.0
  token_slots: float = 0.0
  grad_norm: float = 0.0
  learning_rate: float = 0.0

  @classmethod
  def of_step(cls, metrics: Metrics) -> "MetricSums":
    """Fetches one step's metrics from the devices; waits until they are computed."""
    host = jax.device_get(metrics)
    names = [field.name for field in dataclasses.fields(Metrics)]
    return cls(steps=1, **{name: float(getattr(host, name)) for name in names})

  def plus(self, later: "MetricSums") -> "MetricSums":
    """Returns the sums over both; the learning rate is that of `later`."""
    names = [field.name for field in dataclasses.fields(self)]
    sums = {name: getattr(self, name) + getattr(later, name) for name in names}
    return MetricSums(**{**sums, "learning_rate": later.learning_rate})

  def row(self, step: int) -> dict[str, int | float]:
    """Returns the means as a row of `metrics.jsonl`.

    Args:
      step: the number of updates made so far; it becomes part of the row.
    """
    weight = self.loss_weight or 1.0
    means = {
      "loss_nats": self.loss_nats / weight,
      "z_loss": self.z_loss / weight,
      "accuracy": self.correct_tokens / max(self.target_tokens, 1.0),
      "grad_norm": self.grad_norm / max(self.steps, 1),
      "learning_rate": self.learning_rate,
      "non_padding_share": self.real_tokens / max(self.token_slots, 1.0),
    }
    return {
      "step": step,
      **{name: seven_digits(value) for name, value in means.items()},
      "target_tokens": int(self.target_tokens),
      "real_tokens": int(self.real_tokens),
    }

  def check_finite(self, step: int) -> None:
    """Stops a run whose loss or gradient is not finite (`check_finite`)."""
    check_finite(self.loss_nats, self.grad_norm, step)

  def describe(self) -> list[str]:
    """The loss per token and the share of positions that are not padding."""
    row = self.row(0)
    return [
      f"loss {row['loss_nats']:.4f} nats/token",
      f"{row['non_padding_share']:.0%} non-padding",
    ]

  def to_json(self) -> dict[str, int | float]:
    """Returns the sums as JSON values; floats survive JSON exactly."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> "MetricSums":
    """Reads what `to_json` wrote; an empty mapping gives empty sums.

    Raises:
      SymtuneError: an unknown name, or a value that is not a number.
    """
    return cls(**checked_sums(values, cls))


def checked_sums(values: Mapping[str, Any], kind: type) -> dict[str, Any]:
  """Sums from a file, whose names are fields of a dataclass and whose values numbers.

  Raises:
    SymtuneError: an unknown name, or a value that is not a number.
  """
  known = {field.name for field in dataclasses.fields(kind)}
  for name, value in values.items():
    if name not in known or type(value) not in (int, float):
      raise SymtuneError(
        f"metric_sums.{name} is {value!r}; expected numbers named {sorted(known)}"
      )
  return dict(values)


def check_finite(loss: float, grad_norm: float, step: int) -> None:
  """Stops a run whose loss or gradient is not finite.

  Args:
    loss: sum of the losses of the newest step.
    grad_norm: norm of its gradient.
    step: the number of updates made, for the message.

  Raises:
    SymtuneError: the loss or the gradient norm is NaN or infinite.
  """
  if math.isfinite(loss) and math.isfinite(grad_norm):
    return
  raise SymtuneError(
    f"step {step}: the sum of losses is {loss} and the sum of gradient "
    f"norms is {grad_norm}; both must be finite. The parameters of this step "
    "are not saved. Lower learning_rate, raise warmup_steps, set clip_global_norm, or "
    "compute in float32; then resume from the last checkpoint."
  )


def append_row(path: pathlib.Path, row: Mapping[str, Any]) -> None:
  """Appends one JSON line; it is on disk when the function returns.

  Raises:
    SymtuneError: the disk is full; the file is as it was.
  """
  append_text(path, json.dumps(row) + "\n")


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
  """Reads the rows of a JSON-lines file that has a `step` in every row.

  A last line without a newline was cut off by a crash and is ignored; a missing file
  has no rows.

  Raises:
    SymtuneError: a complete line is not such a row.
  """
  return [row for _, row in _whole_lines(path)]


def rows_checksum(path: pathlib.Path) -> str:
  """A checksum of a file of rows; "" if it is missing or empty."""
  return file_checksum(path) if path.exists() and path.stat().st_size else ""


def check_rows(path: pathlib.Path, wanted: str) -> None:
  """Refuses rows that are not those that a run wrote.

  Args:
    path: the file of rows up to the step of a checkpoint.
    wanted: what `rows_checksum` returned when the checkpoint was written.

  Raises:
    SymtuneError: they are other rows. A file that was removed has none, and is no
      error.
  """
  found = rows_checksum(path)
  if found not in (wanted, ""):
    raise SymtuneError(
      f"{path} is damaged: its rows up to the checkpoint have the checksum {found}, "
      f"expected {wanted or 'no rows'}. Restore it from a copy, or remove it: the file "
      "then begins with the rows of the steps that follow."
    )


def truncate_rows(path: pathlib.Path, last_step: int) -> None:
  """Drops the rows after step `last_step`, and a last line that a crash cut off.

  The file is replaced atomically; the bytes of kept rows do not change.

  Args:
    path: a JSON-lines file with a `step` in every row; it may be missing.
    last_step: the step from which a run resumes.

  Raises:
    SymtuneError: a complete line is not such a row.
  """
  if not path.exists():
    return
  kept = [line for line, row in _whole_lines(path) if row["step"] <= last_step]
  write_whole(path, "".join(kept))


def _whole_lines(path: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
  if not path.exists():
    return []
  lines = path.read_bytes().decode("utf-8", errors="replace").splitlines(keepends=True)
  if lines and not lines[-1].endswith("\n"):
    del lines[-1]
  return [(line, _parse(path, i, line)) for i, line in enumerate(lines, start=1)]


def _parse(path: pathlib.Path, number: int, line: str) -> dict[str, Any]:
  try:
    row = json.loads(line)
  except json.JSONDecodeError:
    row = None
  if not isinstance(row, dict) or not isinstance(row.get("step"), int):
    raise SymtuneError(
      f"{path}, line {number}: got {line[:60]!r}, expected a JSON object with an "
      "integer `step`. Move the file away if symtune did not write it."
    )
  return row


def seven_digits(value: float) -> float:
  """Rounds to the precision of float32, so that 0.001 is written as 0.001."""
  return float(f"{value:.7g}")
