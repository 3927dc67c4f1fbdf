"""Optimizers against references written out in NumPy, and schedules by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from symtune.errors import SymtuneError
from symtune.train.optim import (
  OptimizerName,
  OptimSettings,
  ScheduleName,
  make_optimizer,
  make_schedule,
)

# Large enough to be factored, one axis too small, and one axis only.
SHAPES = {
  "wide": (128, 192),
  "tall": (256, 130),
  "square": (128, 128),
  "relpos": (64, 32),
  "scale": (300,),
}


def random_params(seed):
  rng = np.random.default_rng(seed)
  params = {k: rng.normal(size=s).astype(np.float32) for k, s in SHAPES.items()}
  params["tall"] *= 1e-5  # its root mean square is under Adafactor's floor of 1e-3
  return params


def random_grads(seed, step):
  rng = np.random.default_rng([seed, step])
  scale = np.float32(10.0 ** rng.integers(-3, 2))
  return {k: scale * rng.normal(size=s).astype(np.float32) for k, s in SHAPES.items()}


def run(settings, num_steps):
  params = jax.tree.map(jnp.asarray, random_params(0))
  optimizer = make_optimizer(settings, params)

  @jax.jit
  def update(params, opt_state, grads):
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state

  opt_state = optimizer.init(params)
  for step in range(num_steps):
    grads = jax.tree.map(jnp.asarray, random_grads(1, step))
    params, opt_state = update(params, opt_state, grads)
  return params


def numpy_adafactor(params, grads_of, num_steps, rate_of, decay=0.0):
  """Adafactor (arXiv:1804.04235, algorithms 4 and 5), in float64."""
  params = {k: v.astype(np.float64) for k, v in params.items()}
  rows = {k: 0.0 for k in params}
  cols = {k: 0.0 for k in params}
  full = {k: 0.0 for k in params}
  for step in range(num_steps):
    keep = 1.0 - (step + 1.0) ** -0.8
    for k, grad in grads_of(step).items():
      square = grad.astype(np.float64) ** 2 + 1e-30
      if grad.ndim == 2 and min(grad.shape) >= 128:
        rows[k] = keep * rows[k] + (1 - keep) * square.mean(axis=1)
        cols[k] = keep * cols[k] + (1 - keep) * square.mean(axis=0)
        second = np.outer(rows[k], cols[k]) / rows[k].mean()
      else:
        second = full[k] = keep * full[k] + (1 - keep) * square
      update = grad / np.sqrt(second)
      update /= max(1.0, np.sqrt(np.mean(update**2)))
      scale = max(1e-3, np.sqrt(np.mean(params[k] ** 2)))
      params[k] = (1 - decay) * params[k] - rate_of(step) * scale * update
  return params


def numpy_adamw(params, grads_of, num_steps, rate, decay):
  """AdamW (arXiv:1711.05101, algorithm 2), in float64."""
  params = {k: v.astype(np.float64) for k, v in params.items()}
  first = {k: 0.0 for k in params}
  second = {k: 0.0 for k in params}
  for step in range(1, num_steps + 1):
    for k, grad in grads_of(step - 1).items():
      grad = grad.astype(np.float64)
      first[k] = 0.9 * first[k] + 0.1 * grad
      second[k] = 0.95 * second[k] + 0.05 * grad**2
      unbiased = second[k] / (1 - 0.95**step)
      update = first[k] / (1 - 0.9**step) / (np.sqrt(unbiased) + 1e-8)
      if params[k].ndim == 2:
        update = update + decay * params[k]
      params[k] = params[k] - rate * update
  return params


def assert_close(got, wanted):
  assert got.keys() == wanted.keys()
  for k in got:
    error = np.abs(np.asarray(got[k], np.float64) - wanted[k])
    scale = np.sqrt(np.mean(wanted[k] ** 2))
    assert error.max() < 1e-5 * scale, k


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_adafactor_is_the_papers(weight_decay):
  settings = OptimSettings(
    name=OptimizerName.ADAFACTOR,
    learning_rate=0.01,
    schedule=ScheduleName.LINEAR_WARMUP,
    warmup_steps=4,
    weight_decay=weight_decay,
  )
  got = run(settings, 12)
  wanted = numpy_adafactor(
    random_params(0),
    lambda step: random_grads(1, step),
    12,
    lambda step: 0.01 * min(1.0, step / 4),
    weight_decay,
  )
  assert_close(got, wanted)


def test_adamw_is_the_papers_and_spares_scales():
  settings = OptimSettings(
    name=OptimizerName.ADAMW, learning_rate=0.003, weight_decay=0.1, beta2=0.95
  )
  got = run(settings, 12)
  wanted = numpy_adamw(
    random_params(0), lambda step: random_grads(1, step), 12, 0.003, 0.1
  )
  assert_close(got, wanted)


def test_adafactor_keeps_one_moment_per_row_and_column_of_large_matrices_only():
  params = jax.tree.map(jnp.asarray, random_params(0))
  state = make_optimizer(OptimSettings(learning_rate=1e-3), params).init(params)
  shapes = sorted(
    leaf.shape for leaf in jax.tree.leaves(state) if leaf.size > 1 and leaf.ndim
  )
  assert shapes == sorted(
    [(128,), (192,), (256,), (130,), (128,), (128,), (64, 32), (300,)]
  )


def test_global_norm_clip_bounds_the_gradient_before_adam():
  params = {"w": jnp.zeros((1, 2))}
  settings = OptimSettings(
    name=OptimizerName.ADAMW, learning_rate=1.0, clip_global_norm=1.0
  )
  optimizer = make_optimizer(settings, params)
  state = optimizer.init(params)
  _, state = optimizer.update({"w": jnp.asarray([[30.0, 40.0]])}, state, params)
  first_moment = optax.tree_utils.tree_get(state, "mu")["w"]
  np.testing.assert_allclose(first_moment, [[0.06, 0.08]], rtol=1e-6)


@pytest.mark.parametrize(
  ("settings", "wanted"),
  [
    (
      dict(schedule=ScheduleName.CONSTANT),
      {0: 2.0, 1: 2.0, 1000: 2.0},
    ),
    (
      dict(schedule=ScheduleName.LINEAR_WARMUP, warmup_steps=4),
      {0: 0.0, 1: 0.5, 3: 1.5, 4: 2.0, 1000: 2.0},
    ),
    (
      dict(schedule=ScheduleName.LINEAR_WARMUP),
      {0: 2.0, 1: 2.0},
    ),
    (
      dict(schedule=ScheduleName.WARMUP_LINEAR_DECAY, warmup_steps=4, total_steps=12),
      {0: 0.0, 2: 1.0, 4: 2.0, 6: 1.5, 8: 1.0, 12: 0.0, 20: 0.0},
    ),
    (
      dict(schedule=ScheduleName.WARMUP_LINEAR_DECAY, total_steps=4),
      {0: 2.0, 1: 1.5, 4: 0.0},
    ),
    (
      dict(schedule=ScheduleName.WARMUP_RSQRT, warmup_steps=4),
      {0: 0.0, 2: 1.0, 4: 2.0, 16: 1.0, 64: 0.5},
    ),
  ],
)
def test_schedule_values(settings, wanted):
  schedule = make_schedule(OptimSettings(learning_rate=2.0, **settings))
  for step, rate in wanted.items():
    got = schedule(jnp.asarray(step, jnp.int32))
    assert got.dtype == jnp.float32
    assert got.shape == ()
    assert float(got) == rate, step


def test_cosine_decay_is_that_of_optax():
  name = ScheduleName.WARMUP_COSINE_DECAY
  settings = OptimSettings(
    learning_rate=2.0, schedule=name, warmup_steps=4, total_steps=12
  )
  steps = jnp.arange(20, dtype=jnp.float32)
  wanted = optax.warmup_cosine_decay_schedule(0.0, 2.0, warmup_steps=4, decay_steps=12)
  np.testing.assert_allclose(
    make_schedule(settings)(steps), wanted(steps), rtol=1e-6, atol=1e-6
  )


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    (dict(learning_rate=0.0), "learning_rate is 0.0"),
    (dict(learning_rate=float("nan")), "learning_rate is nan"),
    (dict(warmup_steps=-1), "warmup_steps is -1"),
    (dict(warmup_steps=5), "has no warm-up"),
    (dict(schedule=ScheduleName.WARMUP_RSQRT), "needs warmup_steps"),
    (dict(schedule=ScheduleName.WARMUP_LINEAR_DECAY), "needs total_steps"),
    (
      dict(schedule=ScheduleName.WARMUP_LINEAR_DECAY, warmup_steps=9, total_steps=9),
      "above warmup_steps",
    ),
    (dict(weight_decay=-0.1), "weight_decay is -0.1"),
    (dict(clip_global_norm=0.0), "clip_global_norm is 0.0"),
  ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
  with pytest.raises(SymtuneError, match=message):
    OptimSettings(**{"learning_rate": 1e-3, **settings})


def test_parameters_must_be_float32():
  params = {"layer": {"kernel": jnp.zeros((2, 2), jnp.bfloat16)}}
  with pytest.raises(SymtuneError, match=r"'kernel'.*bfloat16"):
    make_optimizer(OptimSettings(learning_rate=1e-3), params)
