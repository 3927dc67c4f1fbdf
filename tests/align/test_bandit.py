"""RLOO on one prompt with five answers: what a reward and its KL do to a policy."""

import jax
import jax.numpy as jnp
import optax
import pytest

from symtune.align.learn.rloo import advantages
from symtune.align.losses import exact_kl, ratio_loss
from symtune.align.settings import RlooSettings
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimSettings

REFERENCE = jnp.array([0.5, 0.0, -0.5, 0.2, 1.0])
REWARDS = jnp.array([0.0, 1.0, 0.0, 0.0, 0.0])
ROWS, SAMPLES, STEPS = 16, 4, 200


def settings(beta):
  optimizer = OptimSettings(learning_rate=1.0)
  return RlooSettings(
    samples=SAMPLES, beta=beta, optimizer=optimizer, train=TrainSettings(steps=1)
  )


@jax.jit
def learn(rewards, beta):
  """The policy after Adam's steps, and its largest KL on the way."""
  adam = optax.adam(0.01)
  policy = settings(0.0)

  def step(carried, key):
    logits, state = carried
    drawn = jax.random.categorical(key, logits, shape=(ROWS * SAMPLES,))
    before = jax.nn.log_softmax(logits)[drawn]
    ratios = before - jax.nn.log_softmax(REFERENCE)[drawn]
    # beta is traced, so it is not that of the settings
    gains = advantages(rewards[drawn] - beta * ratios, ratios, policy)
    grads = jax.grad(
      lambda x: ratio_loss(jax.nn.log_softmax(x)[drawn], before, gains, 0.2).loss
    )(logits)
    with jax.numpy_dtype_promotion("standard"):
      updates, state = adam.update(grads, state)
    logits = logits + updates
    return (logits, state), exact_kl(logits, REFERENCE)

  keys = jax.random.split(jax.random.key(0), STEPS)
  (logits, _), kl = jax.lax.scan(step, (REFERENCE, adam.init(REFERENCE)), keys)
  return logits, kl


def test_a_reward_is_learned_and_beta_says_how_far():
  logits, free = learn(REWARDS, 0.0)
  assert jax.nn.softmax(logits)[1] > 0.8
  _, held = learn(REWARDS, 0.3)
  _, fixed = learn(REWARDS, 100.0)
  assert free[-1] > 1.2 * held[-1]
  assert held[-1] > 10 * fixed.max()
  assert fixed.max() < 1e-2  # a huge beta leaves the policy at the reference


def test_the_kl_settles_where_the_reward_pays_for_it():
  logits, _ = learn(REWARDS, 1.0)
  # The best policy is the reference times exp(reward / beta).
  best = jax.nn.softmax(REFERENCE + REWARDS)
  assert jax.nn.softmax(logits)[1] == pytest.approx(float(best[1]), abs=0.06)


def test_a_constant_reward_moves_nothing_beyond_noise():
  constant = jnp.full(5, 0.7)
  logits, _ = learn(constant, 0.0)
  assert float(jnp.abs(logits - REFERENCE).max()) == 0.0
  _, kl = learn(constant, 0.05)
  assert kl.max() < 1e-3


def test_beta_is_the_weight_of_the_log_ratio():
  totals, ratios = jnp.array([1.0, 0.0, 0.0, 0.0]), jnp.array([0.0, 2.0, 0.0, 0.0])
  gains = advantages(totals, ratios, settings(0.5))  # rewards 1, -1, 0, 0
  assert gains.tolist() == pytest.approx([4 / 3, -4 / 3, 0.0, 0.0])
