"""Our Adafactor moves parameters as T5X's does, given T5X's factoring rules."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from symtune.train.optim import (
  OptimSettings,
  ScheduleName,
  make_optimizer,
  make_schedule,
)

pytestmark = [pytest.mark.t5x, pytest.mark.filterwarnings("ignore")]

# Shapes on both sides of 128, and the axis names T5X's network gives them.
PARAMS = {
  "embedding": ((384, 128), ("vocab", "embed")),
  "query": ((128, 256), ("embed", "joined_kv")),
  "out": ((256, 128), ("joined_kv", "embed")),
  "square": ((128, 128), ("embed", "mlp")),
  "narrow": ((128, 96), ("embed", "mlp")),
  "tiny": ((16, 64), ("embed", "mlp")),
  "relpos": ((64, 32), ("heads", "relpos_buckets")),
  "scale": ((128,), ("embed",)),
}
STEPS = 20


@contextlib.contextmanager
def lax_promotion():
  """T5X is not written for strict promotion."""
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    yield


def draw(*seed):
  rng = np.random.default_rng(seed)
  scales = 10.0 ** rng.uniform(-4, 1, size=len(PARAMS))
  return {
    name: jnp.asarray(scale * rng.normal(size=shape), jnp.float32)
    for scale, (name, (shape, _)) in zip(scales, PARAMS.items(), strict=True)
  }


def t5x_params(schedule, **settings):
  adafactor = pytest.importorskip("t5x.adafactor")

  with lax_promotion():
    definition = adafactor.Adafactor(
      decay_rate=0.8,
      step_offset=0,
      logical_factor_rules=adafactor.standard_logical_factor_rules(),
      **settings,
    )
    definition.set_param_axes(
      {name: PartitionSpec(*axes) for name, (_, axes) in PARAMS.items()}
    )
    params = draw(0)
    state = definition.init_state(params)
    for step in range(STEPS):
      rate = definition.hyper_params.replace(learning_rate=schedule(step))
      params, state = definition.apply_gradient(rate, params, state, draw(1, step))
      yield params


def our_params(settings):
  params = draw(0)
  optimizer = make_optimizer(settings, params)
  state = optimizer.init(params)
  for step in range(STEPS):
    updates, state = optimizer.update(draw(1, step), state, params)
    params = optax.apply_updates(params, updates)
    yield params


@pytest.mark.parametrize("weight_decay", [0.0, 0.001])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_twenty_steps_move_parameters_as_t5x_does(weight_decay, clip):
  settings = OptimSettings(
    learning_rate=0.01,
    schedule=ScheduleName.LINEAR_WARMUP,
    warmup_steps=5,
    weight_decay=weight_decay,
    clip_global_norm=clip,
  )
  theirs = t5x_params(
    make_schedule(settings),
    weight_decay_rate=weight_decay or None,
    global_norm_clip_threshold=clip,
  )
  for ours, wanted in zip(our_params(settings), theirs, strict=True):
    for name in PARAMS:
      want = np.asarray(wanted[name])
      size = np.sqrt(np.mean(np.square(want)))
      np.testing.assert_allclose(
        ours[name], want, rtol=1e-6, atol=1e-6 * size, err_msg=name
      )


@pytest.mark.parametrize(
  ("settings", "factors"),
  [
    (dict(schedule=ScheduleName.CONSTANT), "constant"),
    (
      dict(schedule=ScheduleName.LINEAR_WARMUP, warmup_steps=10),
      "constant * linear_warmup",
    ),
    (
      dict(schedule=ScheduleName.WARMUP_RSQRT, warmup_steps=10),
      "constant * linear_warmup * rsqrt_normalized_decay",
    ),
  ],
)
def test_schedules_are_t5xs(settings, factors):
  utils = pytest.importorskip("t5x.utils")

  ours = make_schedule(OptimSettings(learning_rate=0.5, **settings))
  theirs = utils.create_learning_rate_scheduler(
    factors=factors, base_learning_rate=0.5, warmup_steps=10, min_learning_rate=0.0
  )
  for step in (0, 1, 5, 9, 10, 11, 40, 1000):
    with lax_promotion():
      wanted = theirs(jnp.int32(step))
    np.testing.assert_allclose(ours(jnp.int32(step)), wanted, rtol=1e-6)
