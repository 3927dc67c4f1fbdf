"""Means of the metrics of steps, whatever they are, for rows of metrics.jsonl."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from symtune.errors import SymtuneError
from symtune.train.metrics import check_finite, seven_digits

BAD_REWARDS = "bad_rewards"  # rewards of a step that are not finite
TOKENS = "real_tokens"
_SHOWN = ("loss", "gold", "proxy", "kl", "accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricTotals:
  """Sums over the steps since the last logged row; see `symtune.train.metrics.Sums`.

  A step's metrics are scalars by name, with `loss`, `grad_norm` and `real_tokens`.

  Attributes:
    steps: number of steps summed.
    totals: sum of each metric.
  """

  steps: int = 0
  totals: Mapping[str, float] = dataclasses.field(default_factory=dict)

  @property
  def real_tokens(self) -> float:
    """Positions that are not padding."""
    return self.totals.get(TOKENS, 0.0)

  @classmethod
  def of_step(cls, metrics: Mapping[str, Any]) -> "MetricTotals":
    """Fetches one step's metrics; waits until they are computed."""
    host = jax.device_get(dict(metrics))
    return cls(steps=1, totals={name: float(host[name]) for name in sorted(host)})

  def plus(self, later: "MetricTotals") -> "MetricTotals":
    """Returns the sums over both."""
    totals = {
      name: self.totals.get(name, 0.0) + value for name, value in later.totals.items()
    }
    return MetricTotals(steps=self.steps + later.steps, totals=totals)

  def check_finite(self, step: int) -> None:
    """Stops a run whose rewards, loss or gradient are not finite.

    Raises:
      SymtuneError: says which, and what to do.
    """
    bad = self.totals.get(BAD_REWARDS, 0.0)
    if bad:
      raise SymtuneError(
        f"step {step}: {bad:.0f} rewards are NaN or infinite, expected numbers. The "
        "parameters of this step are not saved. The reward model is damaged or its "
        "training diverged: train it again with a lower learning_rate."
      )
    check_finite(self.totals["loss"], self.totals["grad_norm"], step)

  def row(self, step: int) -> dict[str, int | float]:
    """Returns the means over steps as a row of `metrics.jsonl`."""
    means = {
      name: seven_digits(total / max(self.steps, 1))
      for name, total in self.totals.items()
      if name not in (BAD_REWARDS, TOKENS)
    }
    return {"step": step, **means, TOKENS: int(self.real_tokens)}

  def describe(self) -> list[str]:
    """What the progress line shows."""
    row = self.row(0)
    return [f"{name} {row[name]:.4g}" for name in _SHOWN if name in row]

  def to_json(self) -> dict[str, int | float]:
    """Returns the sums as JSON values."""
    return {"steps": self.steps, **self.totals}

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> "MetricTotals":
    """Reads what `to_json` wrote.

    Raises:
      SymtuneError: a value is not a number.
    """
    for name, value in values.items():
      if type(value) not in (int, float):
        raise SymtuneError(f"metric_sums.{name} is {value!r}; expected a number")
    totals = {name: value for name, value in values.items() if name != "steps"}
    return cls(steps=int(values.get("steps", 0)), totals=totals)
