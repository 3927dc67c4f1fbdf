"""Losses and KL estimators: hand-computed values and exact expectations."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.align.losses import (
  dpo_loss,
  entropy,
  exact_kl,
  kl_estimates,
  leave_one_out,
  preference_loss,
  ratio_loss,
)


def array(*values):
  return jnp.array(values, jnp.float32)


def test_preference_loss_by_hand():
  # Margins 1 and -2; sums 3 and 2.
  loss = preference_loss(array(2.0, 0.0), array(1.0, 2.0), 0.01)
  nats = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2
  assert loss == pytest.approx(nats + 0.01 * (9 + 4) / 2, rel=1e-6)


def test_centring_draws_the_sum_of_both_rewards_to_zero():
  grads = jax.grad(preference_loss, argnums=(0, 1))(array(3.0), array(2.0), 0.01)
  free = jax.grad(preference_loss, argnums=(0, 1))(array(3.0), array(2.0), 0.0)
  both = [float((g - f)[0]) for g, f in zip(grads, free, strict=True)]
  assert both == pytest.approx([0.1, 0.1], rel=1e-5)  # 2 * 0.01 * (3 + 2)


def test_leave_one_out_by_hand():
  found = leave_one_out(array([1.0, 4.0, 7.0], [2.0, 2.0, 2.0]))
  np.testing.assert_allclose(found, [[-4.5, 0.0, 4.5], [0.0, 0.0, 0.0]])


def expected_gradient(logits, rewards, samples, advantages):
  """The mean gradient of the loss over all tuples of answers, by their probability."""
  tuples = jnp.array(list(itertools.product(range(len(logits)), repeat=samples)))

  def loss(logits, drawn):
    now = jax.nn.log_softmax(logits)[drawn]
    return ratio_loss(now, now, advantages(rewards[drawn][None])[0], 0.2).loss

  @jax.jit
  def expect(logits):
    grads = jax.vmap(jax.grad(loss), in_axes=(None, 0))(logits, tuples)
    return jnp.prod(jax.nn.softmax(logits)[tuples], axis=1) @ grads

  return expect(logits)


def test_the_leave_one_out_gradient_is_unbiased():
  logits, rewards = array(0.3, -0.5, 1.0), array(1.0, 5.0, -2.0)
  exact = -jax.grad(lambda x: jax.nn.softmax(x) @ rewards)(logits)
  found = expected_gradient(logits, rewards, 2, leave_one_out)
  np.testing.assert_allclose(found, exact, atol=1e-6)

  def with_own(rewards):  # a baseline with the answer's own reward shrinks the gradient
    return rewards - rewards.mean(axis=1, keepdims=True)

  biased = expected_gradient(logits, rewards, 2, with_own)
  np.testing.assert_allclose(biased, exact / 2, atol=1e-6)


def test_the_leave_one_out_baseline_is_unbiased_and_calmer_in_simulation():
  rng = np.random.default_rng(0)
  logits, rewards = np.array([0.3, -0.5, 1.0]), np.array([11.0, 15.0, 8.0])
  p = np.exp(logits) / np.exp(logits).sum()
  drawn = rng.choice(3, size=(20_000, 4), p=p)
  scores = np.eye(3)[drawn] - p  # gradient of log p of each answer
  gains = np.asarray(leave_one_out(jnp.asarray(rewards[drawn], jnp.float32)))
  exact = p * (rewards - p @ rewards)
  estimates = (scores * gains[:, :, None]).mean(axis=1)
  errors = estimates.std(axis=0) / math.sqrt(len(estimates))
  assert (np.abs(estimates.mean(axis=0) - exact) < 4 * errors).all()
  plain = (scores * rewards[drawn][:, :, None]).mean(axis=1)
  assert (estimates.std(axis=0) < plain.std(axis=0) / 2).all()


def test_ratio_loss_by_hand():
  before = array(-1.0, -1.0, -1.0, -1.0)
  ratios = [1.5, 1.5, 0.5, 0.5]
  now = before + jnp.log(array(*ratios))
  found = ratio_loss(now, before, array(1.0, -1.0, 1.0, -1.0), 0.2)
  # min(1.5, 1.2), min(-1.5, -1.2), min(0.5, 0.8), min(-0.5, -0.8)
  assert found.loss == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4, rel=1e-6)
  assert found.clipped == pytest.approx(0.5)


def test_on_policy_the_ratio_loss_has_the_gradient_of_reinforce():
  gains = array(1.0, -3.0)
  grads = jax.grad(lambda now: ratio_loss(now, array(-1.0, -2.0), gains, 0.2).loss)(
    array(-1.0, -2.0)
  )
  np.testing.assert_allclose(grads, -gains / 2, rtol=1e-6)


def test_no_gradient_flows_through_advantages_and_old_log_probabilities():
  grads = jax.grad(
    lambda before, gains: ratio_loss(array(-1.0), before, gains, 0.2).loss,
    argnums=(0, 1),
  )(array(-1.1), array(2.0))
  assert [float(g[0]) for g in grads] == [0.0, 0.0]


def test_dpo_loss_by_hand():
  found = dpo_loss(
    array(-1.0, -3.0), array(-2.0, -1.0), array(-2.0, -2.0), array(-1.0, -1.0), 0.5
  )
  np.testing.assert_allclose(found.margins, [1.0, -0.5])
  nats = (math.log1p(math.exp(-1.0)) + math.log1p(math.exp(0.5))) / 2
  assert found.loss == pytest.approx(nats, rel=1e-6)


def test_k1_and_k3_have_the_exact_kl_as_their_mean():
  policy, reference = array(0.1, 1.2, -0.7, 0.4), array(0.6, -0.3, 0.2, 0.0)
  log_p, log_q = jax.nn.log_softmax(policy), jax.nn.log_softmax(reference)
  found = kl_estimates(log_p, log_q)
  p = jnp.exp(log_p)
  exact = exact_kl(policy, reference)
  assert exact == pytest.approx(float((p * (log_p - log_q)).sum()), rel=1e-6)
  assert p @ found.k1 == pytest.approx(float(exact), rel=1e-5)
  assert p @ found.k3 == pytest.approx(float(exact), rel=1e-5)
  assert float(found.k3.min()) >= 0.0
  # k2 is the KL to second order: nearly exact for a policy near the reference.
  near = kl_estimates(log_p, jax.nn.log_softmax(policy + 0.05 * reference))
  small = exact_kl(policy, policy + 0.05 * reference)
  assert p @ near.k2 == pytest.approx(float(small), rel=0.05)


def test_k1_has_the_exact_kl_as_its_mean_in_simulation():
  policy, reference = array(0.1, 1.2, -0.7), array(0.6, -0.3, 0.2)
  drawn = jax.random.categorical(jax.random.key(0), policy, shape=(50_000,))
  log_p, log_q = jax.nn.log_softmax(policy), jax.nn.log_softmax(reference)
  found = kl_estimates(log_p[drawn], log_q[drawn])
  for estimate in (found.k1, found.k3):
    error = float(estimate.std()) / math.sqrt(50_000)
    assert abs(float(estimate.mean()) - float(exact_kl(policy, reference))) < 4 * error


def test_entropy_by_hand():
  assert entropy(array(0.0, 0.0)) == pytest.approx(math.log(2.0))
  assert entropy(array(0.0, math.log(3.0))) == pytest.approx(
    -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
  )
