"""Policies on held-out prompts, measured as training goes: rows of held_out.jsonl.

A row has the step and a number for each held-out prompt, the mean over its answers, so
that all that is said about a policy can be computed from it, with paired intervals.
"""

import functools
import pathlib
from typing import Any

import jax
import numpy as np

from symtune.align.answers import Policy
from symtune.align.learn.devices import Devices
from symtune.align.learn.observe import Frozen, Judge, observe
from symtune.align.setup import Setup
from symtune.errors import SymtuneError
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS
from symtune.train.metrics import append_row, read_rows, seven_digits, truncate_rows
from symtune.train.state import TrainState

HELD_OUT = "held_out.jsonl"
# The numbers of a row, one per prompt.
MEASURES = ("gold", "proxy", "kl", "entropy", "length", "ended", "empty")
_STREAM = 11  # of random keys, apart from those of training


@functools.partial(jax.jit, static_argnames=("policy", "judge", "samples"))
def _measure(
  params: Any,
  frozen: Frozen,
  batch: Any,
  key: Any,
  *,
  policy: Policy,
  judge: Judge,
  samples: int,
) -> dict[str, jax.Array]:
  """The means over each prompt's answers."""
  seen = observe(policy, judge, params, frozen, batch, key, samples)
  by_name = {
    "gold": seen.rewarded.gold,
    "proxy": seen.rewarded.proxy,
    "kl": seen.kl,
    "entropy": seen.entropy,
    "length": seen.answers.lengths,
    "ended": seen.answers.is_ended,
    "empty": seen.is_empty,
  }
  return {
    name: values.astype("float32").reshape(-1, samples).mean(axis=1)
    for name, values in by_name.items()
  }


class Evaluator:
  """Measures a policy before training, every so many steps, and at the end."""

  def __init__(
    self,
    setup: Setup,
    folder: pathlib.Path,
    devices: Devices,
    judge: Judge,
    frozen: Frozen,
  ) -> None:
    """Makes the held-out prompts.

    Args:
      setup: the recipe and its data.
      folder: of the policy; gets held_out.jsonl.
      devices: where to compute.
      judge: how answers are rewarded.
      frozen: reference and reward models.
    """
    settings = setup.recipe.evaluation
    self._settings = settings
    self._path = folder / HELD_OUT
    self._checkpoints = folder / CHECKPOINTS
    self._frozen = frozen
    prompts = setup.held_out_prompts(settings.batch_size)
    count = -(-settings.prompts // settings.batch_size)
    self._batches = [devices.put(next(prompts)) for _ in range(count)]
    self._measure = functools.partial(
      devices.call,
      _measure,
      policy=setup.policy,
      judge=judge,
      samples=settings.samples,
    )
    self._key = jax.random.fold_in(jax.random.key(setup.recipe.seed), _STREAM)

  def start(self, params: Any) -> None:
    """Drops rows of steps that are made again, and measures the start.

    Raises:
      SymtuneError: a reward is NaN or infinite; so do `after_step` and `finish`.
    """
    self._path.parent.mkdir(parents=True, exist_ok=True)
    step = checkpoint.latest_step(self._checkpoints)
    truncate_rows(self._path, -1 if step is None else step)
    if step is None:
      self._append(0, params)

  def after_step(self, step: int, state: TrainState) -> None:
    """A hook of `fit`: measures every so many steps."""
    if step % self._settings.every == 0:
      self._append(step, state.params)

  def finish(self, step: int, params: Any) -> None:
    """Measures the last step, unless that is done."""
    rows = read_rows(self._path)
    if not rows or rows[-1]["step"] < step:
      self._append(step, params)

  def _append(self, step: int, params: Any) -> None:
    found = [
      jax.device_get(
        self._measure(params, self._frozen, batch, jax.random.fold_in(self._key, i))
      )
      for i, batch in enumerate(self._batches)
    ]
    row: dict[str, Any] = {"step": step}
    for name in MEASURES:
      values = np.concatenate([part[name] for part in found])
      values = values[: self._settings.prompts]
      self._check(name, step, values)
      row[name] = [seven_digits(v) for v in values.tolist()]
    append_row(self._path, row)

  def _check(self, name: str, step: int, values: np.ndarray) -> None:
    """Refuses numbers that are none, before a row of them is written."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
      raise SymtuneError(
        f"{self._path}, step {step}: {name} of held-out prompt {bad[0]} is "
        f"{values[bad[0]]}, expected a number. The row is not written. A reward model "
        "is damaged, or training diverged: train again with a lower learning_rate, in "
        "another folder."
      )
