"""(policy, prompts) -> sampled answers with their rewards, their KL and the rest.

The same function serves training and measuring.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from symtune.align.answers import (
  Answers,
  Policy,
  answer_logits,
  sample,
  token_log_probs,
)
from symtune.align.gold import gold_rewards, is_whole
from symtune.align.learn.reward import rewards
from symtune.align.losses import entropy, exact_kl
from symtune.align.settings import Ensemble, Gold


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judge:
  """How answers are rewarded.

  Attributes:
    gold: the gold reward.
    gold_weight: its weight.
    model_weight: the weight of the reward models.
    ensemble: how several of them become one reward.
    missing_reward: the reward of an answer that is empty or does not end.
  """

  gold: Gold
  gold_weight: float = 0.0
  model_weight: float = 1.0
  ensemble: Ensemble = Ensemble.MEAN
  missing_reward: float = -1.0


class Frozen(NamedTuple):
  """Parameters that nothing updates.

  Attributes:
    reference: of the policy's network, at the start.
    members: of reward models, stacked, with the `mean` and `std` of their rewards; None
      where there are none.
  """

  reference: Any
  members: Any


class Rewarded(NamedTuple):
  """Rewards of answers.

  Attributes:
    gold: 0 to 1.
    proxy: of the reward models: 0 on average over the training pairs, with a standard
      deviation of 1; 0 without reward models.
    total: what a policy is trained for, without the KL.
  """

  gold: Float[Array, " answers"]
  proxy: Float[Array, " answers"]
  total: Float[Array, " answers"]


class Observed(NamedTuple):
  """Sampled answers, and what is known of them; nats are summed over an answer.

  Attributes:
    answers: the answers.
    rewarded: their rewards.
    log_probs: log-probability under the policy.
    log_ratios: that minus the one under the reference (k1).
    kl: exact KL of the next token, at each token of the answer, summed.
    entropy: mean entropy of the next token.
    is_empty: whether the answer has no content.
  """

  answers: Answers
  rewarded: Rewarded
  log_probs: Float[Array, " answers"]
  log_ratios: Float[Array, " answers"]
  kl: Float[Array, " answers"]
  entropy: Float[Array, " answers"]
  is_empty: Bool[Array, " answers"]


def observe(
  policy: Policy,
  judge: Judge,
  params: Any,
  frozen: Frozen,
  batch: Mapping[str, jax.Array],
  key: Key[Array, ""],
  samples: int,
) -> Observed:
  """Samples answers to a batch of prompts and looks at them.

  Args:
    policy: the network.
    judge: how answers are rewarded.
    params: the policy's parameters.
    frozen: reference and reward models.
    batch: as `gold.make_batch` makes it, on the devices.
    key: random key.
    samples: answers to each prompt.
  """
  asked = (batch["prompts"], batch["lengths"])
  answers = sample(policy, params, *asked, key, samples)
  logits = answer_logits(policy, params, *asked, answers)
  reference = answer_logits(policy, frozen.reference, *asked, answers)
  log_probs = token_log_probs(logits, answers).sum(axis=1)
  is_token = answers.is_token
  spread = jnp.where(is_token, entropy(logits), 0.0).sum(axis=1)
  return Observed(
    answers=answers,
    rewarded=judge_answers(policy, judge, frozen.members, batch, answers),
    log_probs=log_probs,
    log_ratios=log_probs - token_log_probs(reference, answers).sum(axis=1),
    kl=jnp.where(is_token, exact_kl(logits, reference), 0.0).sum(axis=1),
    entropy=spread / answers.lengths.astype(jnp.float32),
    is_empty=answers.contents == 0,
  )


def judge_answers(
  policy: Policy,
  judge: Judge,
  members: Any,
  batch: Mapping[str, jax.Array],
  answers: Answers,
) -> Rewarded:
  """Rewards of answers, as many for each prompt of a batch, one after another."""
  samples = len(answers.tokens) // len(batch["prompts"])
  expected = jnp.repeat(batch["expected"], samples, axis=0)
  gold = gold_rewards(judge.gold, answers, expected, policy.ends)
  proxy = jnp.zeros_like(gold)
  if members is not None:
    proxy = proxy_rewards(
      policy, judge.ensemble, members, batch["prompts"], batch["lengths"], answers
    )
  total = judge.gold_weight * gold + judge.model_weight * proxy
  total = jnp.where(is_whole(answers), total, judge.missing_reward)
  return Rewarded(gold=gold, proxy=proxy, total=total)


def proxy_rewards(
  policy: Policy,
  ensemble: Ensemble,
  members: Any,
  prompts: Int[Array, "prompts prompt_length"],
  lengths: Int[Array, " prompts"],
  answers: Answers,
) -> Float[Array, " answers"]:
  """One reward from several reward models, each on its own scale."""

  def of_member(member: Any) -> jax.Array:
    found = rewards(policy, member, prompts, lengths, answers)
    return (found - member["mean"]) / member["std"]

  found = jax.lax.map(of_member, members)
  if ensemble is Ensemble.WORST:
    return jnp.min(found, axis=0)
  return jnp.mean(found, axis=0)


def means(seen: Observed) -> dict[str, jax.Array]:
  """What a log says of sampled answers, float32 scalars."""
  answers, rewarded = seen.answers, seen.rewarded
  return {
    "gold": jnp.mean(rewarded.gold),
    "proxy": jnp.mean(rewarded.proxy),
    "reward": jnp.mean(rewarded.total),
    "kl": jnp.mean(seen.kl),
    "log_ratio": jnp.mean(seen.log_ratios),
    "entropy": jnp.mean(seen.entropy),
    "length": jnp.mean(answers.lengths.astype(jnp.float32)),
    "ended": jnp.mean(answers.is_ended.astype(jnp.float32)),
    "empty": jnp.mean(seen.is_empty.astype(jnp.float32)),
    "length_reward_correlation": correlation(
      answers.lengths.astype(jnp.float32), rewarded.total
    ),
    "bad_rewards": jnp.sum(~jnp.isfinite(rewarded.total)).astype(jnp.float32),
  }


def correlation(
  left: Float[Array, " answers"], right: Float[Array, " answers"]
) -> Float[Array, ""]:
  """Pearson's correlation; 0 where one side does not vary."""
  left, right = left - jnp.mean(left), right - jnp.mean(right)
  size = jnp.sqrt(jnp.mean(jnp.square(left)) * jnp.mean(jnp.square(right)))
  product = jnp.mean(left * right)
  return jnp.where(size > 1e-6, product / jnp.maximum(size, 1e-6), 0.0)
