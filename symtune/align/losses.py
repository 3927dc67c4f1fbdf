"""Losses of learning from preferences, and estimators of the KL; pure functions.

Sources: reward models, Stiennon et al. 2020 (arXiv 2009.01325); RLOO, Ahmadian et al.
2024 (arXiv 2402.14740); DPO, Rafailov et al. 2023 (arXiv 2305.18290). Log-probabilities
and KL are in nats.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def preference_loss(
  chosen: Float[Array, " pairs"], rejected: Float[Array, " pairs"], centring: float
) -> Float[Array, ""]:
  """Bradley and Terry's loss of a reward model, averaged over pairs.

    mean(-log sigmoid(r_chosen - r_rejected) + centring * (r_chosen + r_rejected)^2)

  Args:
    chosen: rewards of the answers that were preferred.
    rejected: rewards of the others.
    centring: draws the rewards towards a mean of 0, which the first term leaves open.
  """
  nats = -jax.nn.log_sigmoid(chosen - rejected)
  return jnp.mean(nats + centring * jnp.square(chosen + rejected))


def leave_one_out(
  rewards: Float[Array, "prompts samples"],
) -> Float[Array, "prompts samples"]:
  """RLOO's advantages: a reward minus the mean of the prompt's other answers.

  The baseline of an answer does not depend on it, so the gradient stays unbiased.

  Args:
    rewards: of several answers to each prompt, at least two.
  """
  samples = rewards.shape[1]
  others = (jnp.sum(rewards, axis=1, keepdims=True) - rewards) / (samples - 1)
  return rewards - others


class RatioLoss(NamedTuple):
  """A policy-gradient loss, and how often its ratio was cut.

  Attributes:
    loss: what is minimised.
    clipped: share of the answers whose clipped term was the smaller one.
  """

  loss: Float[Array, ""]
  clipped: Float[Array, ""]


def ratio_loss(
  now: Float[Array, " answers"],
  before: Float[Array, " answers"],
  advantages: Float[Array, " answers"],
  clip: float,
) -> RatioLoss:
  """RLOO's loss, with one probability ratio for each whole answer.

    -mean(min(rho A, clip(rho, 1 - c, 1 + c) A)),  rho = exp(now - before)

  On policy, where both are equal, its gradient is that of REINFORCE.

  Args:
    now: log-probabilities of the answers under the policy that is trained.
    before: under the policy that sampled them.
    advantages: no gradient flows through them.
    clip: c, how far the ratio may move in one generation.
  """
  advantages = jax.lax.stop_gradient(advantages)
  ratio = jnp.exp(now - jax.lax.stop_gradient(before))
  free = ratio * advantages
  held = jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantages
  return RatioLoss(
    loss=-jnp.mean(jnp.minimum(free, held)),
    clipped=jnp.mean((held < free).astype(jnp.float32)),
  )


class DpoLoss(NamedTuple):
  """DPO's loss, and the implicit rewards that it compares.

  Attributes:
    loss: what is minimised.
    margins: beta times (log-ratio of the chosen answer - that of the rejected one).
  """

  loss: Float[Array, ""]
  margins: Float[Array, " pairs"]


def dpo_loss(
  chosen: Float[Array, " pairs"],
  rejected: Float[Array, " pairs"],
  reference_chosen: Float[Array, " pairs"],
  reference_rejected: Float[Array, " pairs"],
  beta: float,
) -> DpoLoss:
  """Direct preference optimisation, averaged over pairs.

  Args:
    chosen: log-probabilities of the preferred answers under the policy.
    rejected: of the others.
    reference_chosen: the same under the frozen reference.
    reference_rejected: the same under the frozen reference.
    beta: how dear it is to leave the reference.
  """
  margins = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
  return DpoLoss(loss=-jnp.mean(jax.nn.log_sigmoid(margins)), margins=margins)


class KlEstimates(NamedTuple):
  """Three estimators of KL(policy, reference) from a sample of the policy (Schulman).

  Attributes:
    k1: log policy - log reference: unbiased, of either sign.
    k2: k1^2 / 2: biased, of low variance.
    k3: exp(-k1) - 1 + k1: unbiased, never negative; infinite where the reference is
      e^88 times as likely in float32.
  """

  k1: Float[Array, "*shape"]
  k2: Float[Array, "*shape"]
  k3: Float[Array, "*shape"]


def kl_estimates(
  policy: Float[Array, "*shape"], reference: Float[Array, "*shape"]
) -> KlEstimates:
  """The estimators, for each token or answer that the policy sampled.

  Args:
    policy: log-probabilities under the policy.
    reference: under the reference.
  """
  k1 = policy - reference
  return KlEstimates(k1=k1, k2=jnp.square(k1) / 2.0, k3=jnp.expm1(-k1) + k1)


def exact_kl(
  policy: Float[Array, "*shape vocab"], reference: Float[Array, "*shape vocab"]
) -> Float[Array, "*shape"]:
  """KL(policy, reference) of the next token, summed over the vocabulary.

  Args:
    policy: logits.
    reference: logits.
  """
  log_p, log_q = jax.nn.log_softmax(policy), jax.nn.log_softmax(reference)
  return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)


def entropy(logits: Float[Array, "*shape vocab"]) -> Float[Array, "*shape"]:
  """Entropy of the next token."""
  log_p = jax.nn.log_softmax(logits)
  return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)
