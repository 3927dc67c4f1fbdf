"""Losses of learning from preferences against PyTorch, in value and gradient."""

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

pytestmark = pytest.mark.hf

VOCAB, LENGTH = 7, 5
RNG = np.random.default_rng(0)
LOGITS, REFERENCE = RNG.normal(size=(2, 8, LENGTH, VOCAB)).astype(np.float32)
TOKENS = RNG.integers(0, VOCAB, size=(8, LENGTH))
MASK = np.arange(LENGTH)[None] < RNG.integers(1, LENGTH + 1, size=8)[:, None]
REWARDS = RNG.normal(size=8).astype(np.float32)


def ours(logits):
  """Log-probabilities of the answers, as `token_log_probs` sums them."""
  log_p = jnp.take_along_axis(
    jax.nn.log_softmax(logits), jnp.array(TOKENS)[:, :, None], axis=2
  )[:, :, 0]
  return jnp.where(jnp.array(MASK), log_p, 0.0).sum(axis=1)


def theirs(torch, logits):
  """TRL's `selective_log_softmax`, masked and summed."""
  log_p = torch.gather(
    torch.log_softmax(logits, -1), 2, torch.tensor(TOKENS).unsqueeze(-1)
  ).squeeze(-1)
  return (log_p * torch.tensor(MASK)).sum(1)


def compare(in_jax, in_torch):
  """Values and gradients by the logits agree within 1e-5."""
  torch = pytest.importorskip("torch")
  value, grads = jax.value_and_grad(in_jax)(jnp.array(LOGITS))
  logits = torch.tensor(LOGITS, requires_grad=True)
  wanted = in_torch(torch, logits)
  wanted.backward()
  assert float(value) == pytest.approx(wanted.item(), abs=1e-5)
  np.testing.assert_allclose(grads, logits.grad.numpy(), atol=1e-5)


def test_rloo_as_trl_computes_it():
  """TRL's RLOOTrainer: KL in the reward, leave-one-out, clipped sequence ratio."""
  beta, clip, samples = 0.05, 0.2, 4
  before = np.asarray(ours(jnp.array(LOGITS + 0.1 * REFERENCE)))
  reference = np.asarray(ours(jnp.array(REFERENCE)))

  def in_jax(logits):
    rewards = jnp.array(REWARDS) - beta * (jnp.array(before) - jnp.array(reference))
    gains = leave_one_out(rewards.reshape(-1, samples)).reshape(-1)
    return ratio_loss(ours(logits), jnp.array(before), gains, clip).loss

  def in_torch(torch, logits):
    old, ref = torch.tensor(before), torch.tensor(reference)
    rlhf = (torch.tensor(REWARDS) - beta * (old - ref)).reshape(-1, samples)
    baseline = (rlhf.sum(1, keepdim=True) - rlhf) / (samples - 1)
    gains = (rlhf - baseline).flatten()
    ratio = torch.exp(theirs(torch, logits) - old)
    free, held = -gains * ratio, -gains * torch.clamp(ratio, 1 - clip, 1 + clip)
    return torch.max(free, held).mean()

  compare(in_jax, in_torch)


def test_dpo_as_trl_computes_it():
  """TRL's DPOTrainer, loss type sigmoid: the even answers are the chosen ones."""
  reference = np.asarray(ours(jnp.array(REFERENCE)))

  def in_jax(logits):
    now, ref = ours(logits), jnp.array(reference)
    return dpo_loss(now[::2], now[1::2], ref[::2], ref[1::2], 0.1).loss

  def in_torch(torch, logits):
    now, ref = theirs(torch, logits), torch.tensor(reference)
    ratios = (now[::2] - now[1::2]) - (ref[::2] - ref[1::2])
    return -torch.nn.functional.logsigmoid(0.1 * ratios).mean()

  compare(in_jax, in_torch)


def test_reward_models_as_trl_trains_them():
  """TRL's RewardTrainer with `center_rewards_coefficient`."""

  def in_jax(logits):
    rewards = logits[:, -1, 0]
    return preference_loss(rewards[::2], rewards[1::2], 0.01)

  def in_torch(torch, logits):
    chosen, rejected = logits[::2, -1, 0], logits[1::2, -1, 0]
    loss = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
    return loss + 0.01 * torch.mean((chosen + rejected) ** 2)

  compare(in_jax, in_torch)


def test_exact_kl_and_entropy_as_torch_has_them():
  compare(
    lambda logits: exact_kl(logits, jnp.array(REFERENCE)).sum(),
    lambda torch, logits: torch.distributions.kl_divergence(
      torch.distributions.Categorical(logits=logits),
      torch.distributions.Categorical(logits=torch.tensor(REFERENCE)),
    ).sum(),
  )
  compare(
    lambda logits: entropy(logits).sum(),
    lambda torch, logits: (
      torch.distributions.Categorical(logits=logits).entropy().sum()
    ),
  )


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_kl_estimators_as_torch_computes_them(name):
  reference = np.asarray(ours(jnp.array(REFERENCE)))

  def in_torch(torch, logits):
    k1 = theirs(torch, logits) - torch.tensor(reference)
    return {"k1": k1, "k2": k1**2 / 2, "k3": torch.exp(-k1) - 1 + k1}[name].sum()

  compare(
    lambda logits: getattr(
      kl_estimates(ours(logits), jnp.array(reference)), name
    ).sum(),
    in_torch,
  )
