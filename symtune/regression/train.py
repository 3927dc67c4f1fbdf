"""Training: fresh episodes for every step, squared error of every prediction.

The loop, checkpoints and optimizers are those of `symtune.train`.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich.console

from symtune.errors import SymtuneError
from symtune.regression.draw import draw_episodes
from symtune.regression.network import Params, Regressor, init_params
from symtune.regression.settings import RegressionRecipe, config_hash, recipe_to_json
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS, FitResult, StepFn, fit
from symtune.train.metrics import check_finite, checked_sums, seven_digits
from symtune.train.optim import make_optimizer, make_schedule
from symtune.train.progress import Progress
from symtune.train.state import TrainState, create_state


class ErrorMetrics(flax.struct.PyTreeNode):
  """One step's sums and counts, float32 scalars.

  Attributes:
    squared_error: sum over predictions.
    predictions: number of predictions that the loss counts.
    real_tokens: tokens of the batch.
    grad_norm: norm of the gradient, before clipping.
    learning_rate: the schedule's value at this step.
  """

  squared_error: Any
  predictions: Any
  real_tokens: Any
  grad_norm: Any
  learning_rate: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class ErrorSums:
  """Sums over the steps since the last logged row; see `symtune.train.metrics.Sums`.

  Attributes:
    steps: number of steps summed.
    squared_error: sum over predictions.
    predictions: number of predictions.
    real_tokens: tokens.
    grad_norm: the gradient's norm, summed over steps.
    learning_rate: the last step's learning rate.
  """

  steps: int = 0
  squared_error: float = 0.0
  predictions: float = 0.0
  real_tokens: float = 0.0
  grad_norm: float = 0.0
  learning_rate: float = 0.0

  @classmethod
  def of_step(cls, metrics: ErrorMetrics) -> "ErrorSums":
    """Fetches one step's metrics; waits until they are computed."""
    host = jax.device_get(metrics)
    names = [field.name for field in dataclasses.fields(ErrorMetrics)]
    return cls(steps=1, **{name: float(getattr(host, name)) for name in names})

  def plus(self, later: "ErrorSums") -> "ErrorSums":
    """Returns the sums over both; the learning rate is that of `later`."""
    names = [field.name for field in dataclasses.fields(self)]
    sums = {name: getattr(self, name) + getattr(later, name) for name in names}
    return ErrorSums(**{**sums, "learning_rate": later.learning_rate})

  def check_finite(self, step: int) -> None:
    """Stops a run whose error or gradient is not finite."""
    check_finite(self.squared_error, self.grad_norm, step)

  def row(self, step: int) -> dict[str, int | float]:
    """Returns the means as a row of `metrics.jsonl`."""
    means = {
      "squared_error": self.squared_error / max(self.predictions, 1.0),
      "grad_norm": self.grad_norm / max(self.steps, 1),
      "learning_rate": self.learning_rate,
    }
    return {
      "step": step,
      **{name: seven_digits(value) for name, value in means.items()},
      "predictions": int(self.predictions),
    }

  def describe(self) -> list[str]:
    """The mean squared error."""
    return [f"squared error {self.row(0)['squared_error']:.4f}"]

  def to_json(self) -> dict[str, int | float]:
    """Returns the sums as JSON values."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> "ErrorSums":
    """Reads what `to_json` wrote.

    Raises:
      SymtuneError: an unknown name, or a value that is not a number.
    """
    return cls(**checked_sums(values, cls))


class EpisodeStream:
  """An endless stream of batches, whose position is the number of the next one."""

  def __init__(self, recipe: RegressionRecipe) -> None:
    """Starts at the first batch of a recipe."""
    self._recipe = recipe
    self._index = 0

  def __next__(self) -> dict[str, np.ndarray]:
    """The next batch: xs, ys and counted, float32 [batch, points, ...].

    Predictions whose `counted` is 0 lie beyond the curriculum's length.
    """
    recipe = self._recipe
    functions, size = recipe.functions, recipe.batch_size
    dim, points = functions.dim, functions.points
    if recipe.curriculum is not None:
      dim, points = recipe.curriculum.at(self._index, functions)
    episodes = draw_episodes(
      functions,
      seed=recipe.seed,
      first=self._index * size,
      count=size,
      active_dim=dim,
    )
    self._index += 1
    counted = np.zeros((size, functions.points), np.float32)
    counted[:, :points] = 1.0
    return {"xs": episodes.xs, "ys": episodes.ys, "counted": counted}

  def get_state(self) -> dict[str, int]:
    """The number of the next batch."""
    return {"index": self._index}

  def set_state(self, state: dict[str, Any]) -> None:
    """Moves to a batch.

    Raises:
      SymtuneError: the state is not that of such a stream.
    """
    if type(state.get("index")) is not int:
      raise SymtuneError(
        f"data position: got {state!r:.60}, expected {{'index': NUMBER}}. The "
        "checkpoint is damaged: remove it to resume from an older one."
      )
    self._index = state["index"]


def train_step(
  state: TrainState,
  batch: Mapping[str, jax.Array],
  *,
  network: Regressor,
  optimizer: optax.GradientTransformation,
  schedule: optax.Schedule,
) -> tuple[TrainState, ErrorMetrics]:
  """Makes one update: the mean squared error over all counted predictions.

  Args:
    state: the state before the step.
    batch: as `EpisodeStream` makes it, on the device.
    network: the network.
    optimizer: updates the parameters.
    schedule: step -> learning rate, for the metrics.
  """

  def loss(params):
    predicted: Any = network.apply({"params": params}, batch["xs"], batch["ys"])
    errors = jnp.square(predicted - batch["ys"]) * batch["counted"]
    return errors.sum() / batch["counted"].sum(), errors.sum()

  grads, total = jax.grad(loss, has_aux=True)(state.params)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  counted = batch["counted"].sum()
  metrics = ErrorMetrics(
    squared_error=total,
    predictions=counted,
    real_tokens=2.0 * counted,
    grad_norm=optax.tree.norm(grads),
    learning_rate=schedule(state.step),
  )
  params = optax.apply_updates(state.params, updates)
  return (
    state.replace(step=state.step + 1, params=params, opt_state=opt_state),
    metrics,
  )


def make_network(recipe: RegressionRecipe) -> Regressor:
  """The network of a recipe, without parameters."""
  return Regressor(recipe.network.config(points=recipe.functions.points))


def start_params(recipe: RegressionRecipe) -> Params:
  """The parameters before the first step."""
  key = jax.random.key(recipe.train.seed)
  return init_params(make_network(recipe), key, dim=recipe.functions.dim)


def make_step(recipe: RegressionRecipe, params: Params) -> tuple[StepFn, TrainState]:
  """The compiled train step, which donates its state, and the state before step 0."""
  optimizer = make_optimizer(recipe.optimizer, params)
  step = functools.partial(
    train_step,
    network=make_network(recipe),
    optimizer=optimizer,
    schedule=make_schedule(recipe.optimizer),
  )
  state = create_state(params, optimizer, recipe.train.seed)
  return jax.jit(step, donate_argnums=0), state


def train_model(
  recipe: RegressionRecipe, run_dir: pathlib.Path, console: rich.console.Console
) -> FitResult:
  """Trains the network, starting from the folder's newest checkpoint.

  Args:
    recipe: everything that the run depends on.
    run_dir: gets checkpoints/, metrics.jsonl and timing.jsonl.
    console: shows progress.

  Raises:
    SymtuneError: the error is not finite, or a checkpoint is damaged.
  """
  step, state = make_step(recipe, start_params(recipe))
  return fit(
    state=state,
    batches=EpisodeStream(recipe),
    train_step=step,
    settings=recipe.train,
    run_dir=run_dir,
    config_hash=config_hash(recipe),
    config=json.loads(recipe_to_json(recipe)),
    progress=Progress(recipe.train.steps, console),
    no_sums=ErrorSums(),
  )


def load_params(
  recipe: RegressionRecipe, run_dir: pathlib.Path, step: int | None
) -> tuple[Params, int]:
  """The parameters of a run at a step, and that step.

  Args:
    recipe: the run's recipe.
    run_dir: the run's folder.
    step: 0 is before training; None: the newest checkpoint.

  Raises:
    SymtuneError: there is no such checkpoint, or it is damaged.
  """
  folder = run_dir / CHECKPOINTS
  step = checkpoint.latest_step(folder) if step is None else step
  if step is None:
    raise SymtuneError(
      f"{run_dir} has no checkpoint, expected a trained model. Train first, or give "
      "--step 0 to evaluate the model before training."
    )
  if step == 0:
    return start_params(recipe), 0
  shapes = jax.eval_shape(lambda: start_params(recipe))
  return jax.device_put(checkpoint.load_params(folder, step, shapes)), step
