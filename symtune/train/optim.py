"""Optimizers and learning-rate schedules, chosen by name and built from optax."""

import dataclasses
import enum
import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from symtune.errors import SymtuneError

EVERYTHING = ".*"  # a pattern: all parameters are trained
_SHOWN = 8


class OptimizerName(enum.StrEnum):
  """The optimizers that symtune trains with.

  ADAFACTOR: T5X's Adafactor (T5, Flan-T5 and the symbol tuning paper use it).
  ADAMW: Adam with decoupled weight decay of every parameter that has two axes.
  """

  ADAFACTOR = "adafactor"
  ADAMW = "adamw"


class ScheduleName(enum.StrEnum):
  """How the learning rate depends on the step; `make_schedule` has the formulas."""

  CONSTANT = "constant"
  LINEAR_WARMUP = "linear_warmup"
  WARMUP_LINEAR_DECAY = "warmup_linear_decay"
  WARMUP_COSINE_DECAY = "warmup_cosine_decay"
  WARMUP_RSQRT = "warmup_rsqrt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimSettings:
  """Settings of the optimizer and of its learning-rate schedule.

  Attributes:
    name: the optimizer.
    learning_rate: the schedule's peak. Adafactor multiplies it by the root mean
      square of each parameter, so its rates (1e-3) are larger than AdamW's (1e-4).
    schedule: how the rate depends on the step.
    warmup_steps: number of steps of linear warm-up; 0 means no warm-up.
    total_steps: the step at which a schedule that decays reaches 0; other schedules
      ignore it.
    weight_decay: in each step, AdamW shrinks every parameter that has two axes by the
      share `learning_rate * weight_decay`; Adafactor shrinks every parameter by the
      share `weight_decay`, as T5X does.
    clip_global_norm: largest norm of the whole gradient; None does not clip.
    decay_rate: Adafactor's exponent c: at step t (0-based) the second moments keep
      1 - (t + 1) ** -c of their value (Adafactor paper, section 7.2).
    beta1: AdamW's decay of the first moment.
    beta2: AdamW's decay of the second moment.
    trainable: a regular expression for the whole slash-joined path of each parameter
      that is trained; the others are frozen and need no optimizer state.
  """

  name: OptimizerName = OptimizerName.ADAFACTOR
  learning_rate: float
  schedule: ScheduleName = ScheduleName.CONSTANT
  warmup_steps: int = 0
  total_steps: int | None = None
  weight_decay: float = 0.0
  clip_global_norm: float | None = None
  decay_rate: float = 0.8
  beta1: float = 0.9
  beta2: float = 0.999
  trainable: str = EVERYTHING

  def __post_init__(self):
    if not self.learning_rate > 0.0:
      raise SymtuneError(f"learning_rate is {self.learning_rate}; it must be above 0.")
    if self.warmup_steps < 0:
      raise SymtuneError(f"warmup_steps is {self.warmup_steps}; it must be 0 or more.")
    _check_schedule(self)
    if self.weight_decay < 0.0:
      raise SymtuneError(f"weight_decay is {self.weight_decay}; it must be 0 or more.")
    if self.clip_global_norm is not None and not self.clip_global_norm > 0.0:
      raise SymtuneError(
        f"clip_global_norm is {self.clip_global_norm}; it must be above 0, or None."
      )


def _check_schedule(settings: OptimSettings) -> None:
  """Raises SymtuneError if the steps do not suit the schedule."""
  name, warmup = settings.schedule, settings.warmup_steps
  if name is ScheduleName.WARMUP_RSQRT and warmup < 1:
    raise SymtuneError(
      f"schedule {name} needs warmup_steps of 1 or more, got {warmup}: "
      "its decay starts at the end of the warm-up."
    )
  if name is ScheduleName.CONSTANT and warmup:
    raise SymtuneError(
      f"schedule {name} has no warm-up, but warmup_steps is {warmup}. "
      f"Use schedule {ScheduleName.LINEAR_WARMUP}, or warmup_steps 0."
    )
  decays = (ScheduleName.WARMUP_LINEAR_DECAY, ScheduleName.WARMUP_COSINE_DECAY)
  if name in decays and (
    settings.total_steps is None or settings.total_steps <= warmup
  ):
    raise SymtuneError(
      f"schedule {name} needs total_steps above warmup_steps ({warmup}), "
      f"got {settings.total_steps}."
    )


def make_schedule(settings: OptimSettings) -> optax.Schedule:
  """Returns the function step (0-based) -> learning rate, a float32 scalar.

  With peak p, warm-up w, total T and ramp(s) = min(1, s / w) (1 when w is 0):

      constant             p
      linear_warmup        p * ramp(s)
      warmup_linear_decay  p * ramp(s), then p * (T - s) / (T - w), 0 from T on
      warmup_cosine_decay  p * ramp(s), then p * (1 + cos(pi * (s - w) / (T - w))) / 2
      warmup_rsqrt         p * ramp(s) * sqrt(w / max(s, w))

  As in T5X, a warm-up starts from 0, so its first update changes nothing. T5X's
  "constant * linear_warmup * rsqrt_decay" (`t5x/utils.py`) with base rate b is
  warmup_rsqrt with p = b / sqrt(w).

  Args:
    settings: peak, schedule name and numbers of steps.
  """
  peak = settings.learning_rate
  warmup, total = settings.warmup_steps, settings.total_steps

  def schedule(step) -> jax.Array:
    now = jnp.asarray(step, jnp.float32)
    ramp = jnp.minimum(1.0, now / warmup) if warmup else jnp.float32(1.0)
    match settings.schedule:
      case ScheduleName.CONSTANT | ScheduleName.LINEAR_WARMUP:
        shape = ramp
      case ScheduleName.WARMUP_LINEAR_DECAY:
        assert total is not None
        left = jnp.clip((total - now) / (total - warmup), 0.0, 1.0)
        shape = jnp.minimum(ramp, left)
      case ScheduleName.WARMUP_COSINE_DECAY:
        assert total is not None
        done = jnp.clip((now - warmup) / (total - warmup), 0.0, 1.0)
        shape = ramp * (1.0 + jnp.cos(jnp.pi * done)) / 2.0
      case ScheduleName.WARMUP_RSQRT:
        shape = ramp * jnp.sqrt(warmup / jnp.maximum(now, warmup))
    return jnp.float32(peak) * shape

  return schedule


def make_optimizer(
  settings: OptimSettings, params, *, epsilon: float = 1e-8
) -> optax.GradientTransformation:
  """Builds the optimizer: (gradients, state, params) -> (updates, state).

  It is initialised with all parameters; updates are of the trained ones
  (`split_params`).

  Args:
    settings: which optimizer, its schedule and its constants.
    params: the parameters to optimize, or their shapes; used to check dtypes.
    epsilon: AdamW's addend to the root of the second moment.

  Raises:
    SymtuneError: a parameter is not float32. Bfloat16 weights lose updates of 1e-3
      relative size: keep the weights in float32, even if you compute in bfloat16. Or
      `trainable` matches no parameter.
  """
  _check_float32(params)
  _check_trainable(settings.trainable, params)
  steps = []
  if settings.clip_global_norm is not None:
    steps.append(optax.clip_by_global_norm(settings.clip_global_norm))
  match settings.name:
    case OptimizerName.ADAFACTOR:
      steps.append(_adafactor(settings))
    case OptimizerName.ADAMW:
      steps.append(_adamw(settings, epsilon))
  return _of_trained(optax.chain(*steps), settings.trainable)


def _of_trained(
  optimizer: optax.GradientTransformation, trainable: str
) -> optax.GradientTransformation:
  """The optimizer, which has a state for the trained parameters only."""

  def init(params):
    return optimizer.init(split_params(params, trainable)[0])

  return optax.GradientTransformation(init, optimizer.update)


def split_params(params: Any, trainable: str) -> tuple[Any, Any]:
  """Parameters that are trained, and frozen ones.

  Args:
    params: nested dict of arrays or shapes.
    trainable: a regular expression that matches the whole slash-joined path of each
      parameter to train, such as ".*/attention/value/.*".

  Returns:
    Two nested dicts, which `join_params` joins again.
  """
  if trainable == EVERYTHING:
    return params, {}
  pattern = re.compile(trainable)
  flat = flatten_dict(params, sep="/")
  trained = {path: leaf for path, leaf in flat.items() if pattern.fullmatch(str(path))}
  frozen = {path: leaf for path, leaf in flat.items() if path not in trained}
  return unflatten_dict(trained, sep="/"), unflatten_dict(frozen, sep="/")


def join_params(trained: Any, frozen: Any) -> Any:
  """The parameters of which `split_params` made two parts."""
  if not frozen:
    return trained
  flat = {**flatten_dict(trained, sep="/"), **flatten_dict(frozen, sep="/")}
  return unflatten_dict(flat, sep="/")


def _check_trainable(trainable: str, params: Any) -> None:
  """Refuses a pattern that is no regular expression, or matches no parameter.

  Raises:
    SymtuneError: names some of the parameters.
  """
  try:
    trained, _ = split_params(params, trainable)
  except re.error as error:
    raise SymtuneError(
      f"optimizer.trainable: got {trainable!r}, which is no regular expression "
      f"({error}). An example is '.*/attention/value/.*'."
    ) from error
  if not flatten_dict(trained):
    paths = sorted(flatten_dict(params, sep="/"))
    shown = paths[:: max(1, len(paths) // _SHOWN)][:_SHOWN]
    raise SymtuneError(
      f"optimizer.trainable: {trainable!r} matches none of the {len(paths)} "
      f"parameters, such as {', '.join(shown)}. It has to match a whole path: put .* "
      "before and after."
    )


def _check_float32(params) -> None:
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    if leaf.dtype != jnp.float32:
      raise SymtuneError(
        f"parameter {jax.tree_util.keystr(path)} is {leaf.dtype}; the optimizer "
        "needs float32. Load the weights as float32 and set the network's dtype "
        "to bfloat16 for speed."
      )


def _adafactor(settings: OptimSettings) -> optax.GradientTransformation:
  """T5X's Adafactor (`t5x/adafactor.py`) without momentum.

  A parameter with two axes, both of size 128 or more, keeps one second moment per row
  and one per column; any other keeps one per entry. T5X does the same for T5: it
  accepts factoring rules by axis name (embed, mlp, ...), but `_parse_rule` ignores them
  for parameters with up to two axes, and T5 1.1 has no others.
  """
  steps = [
    optax.scale_by_factored_rms(
      decay_rate=settings.decay_rate, min_dim_size_to_factor=128, epsilon=1e-30
    ),
    optax.clip_by_block_rms(1.0),
    optax.scale_by_param_block_rms(min_scale=1e-3),
    optax.scale_by_learning_rate(make_schedule(settings)),
  ]
  if settings.weight_decay:
    # After the learning rate, which does not scale it: T5X's weight_decay_rate.
    steps.append(optax.add_decayed_weights(-settings.weight_decay))
  return optax.chain(*steps)


def _adamw(settings: OptimSettings, epsilon: float) -> optax.GradientTransformation:
  """Adam with decoupled weight decay; the scales of norms are not decayed."""
  adamw = optax.adamw(
    make_schedule(settings),
    b1=settings.beta1,
    b2=settings.beta2,
    eps=epsilon,
    weight_decay=settings.weight_decay,
    mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim >= 2, params),
  )

  def update(updates, state, params=None):
    # optax raises beta to an integer power, which strict dtype promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
      return adamw.update(updates, state, params)

  return optax.GradientTransformation(adamw.init, update)
