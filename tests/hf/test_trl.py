"""Reward models, DPO and RLOO of a small Llama against TRL's own trainers.

TRL computes its losses with its own collation, log-probabilities and models; symtune
reads the same weights and the same ids.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.align.answers import (
  Policy,
  answer_logits,
  describe,
  last_vectors,
  token_log_probs,
)
from symtune.align.learn.dpo import pair_log_probs
from symtune.align.learn.rloo import advantages
from symtune.align.losses import dpo_loss, preference_loss, ratio_loss
from symtune.align.settings import RlooSettings
from symtune.convert.decoder.folder import read_decoder
from symtune.convert.load import load_params
from symtune.model.decoder.generate import NO_TOKEN, Ends
from symtune.model.networks import make_network
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimizerName, OptimSettings

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

EOS, LENGTH, WIDTH = 2, 6, 40
BETA, CLIP, CENTRING, SAMPLES = 0.1, 0.2, 0.01, 4
ROWS = [
  ("the film was", " good", " so bad"),
  ("a bad, dull film! it was", " dull", " a good film"),
  ("Question: is it an animal?\nthe fox\nAnswer:", " animal", " x"),
  ("3, 1,", " 4", " 81422"),
]

PAIRS = [dict(zip(("prompt", "chosen", "rejected"), row, strict=True)) for row in ROWS]


@pytest.fixture(scope="module")
def trl():
  return pytest.importorskip("trl", reason="needs TRL (the extra [hf])")


@pytest.fixture(scope="module")
def small(family_folder, tmp_path_factory):
  """The folder of a policy, and that of a reference whose weights differ a little."""
  import torch
  import transformers

  folder, other = family_folder("llama"), tmp_path_factory.mktemp("reference")
  model = transformers.AutoModelForCausalLM.from_pretrained(folder)
  torch.manual_seed(1)
  with torch.no_grad():
    for leaf in model.parameters():
      leaf.add_(0.05 * torch.randn_like(leaf))
  model.save_pretrained(other)
  return folder, other


@pytest.fixture(scope="module")
def load(small):
  """(kind of model) -> policy and reference as Transformers reads them."""
  import transformers

  return lambda kind, **settings: [
    getattr(transformers, kind).from_pretrained(folder, **settings) for folder in small
  ]


@pytest.fixture(scope="module")
def tokenizer(small):
  import transformers

  found = transformers.AutoTokenizer.from_pretrained(small[0])
  found.pad_token = "<unk>"
  return found


@pytest.fixture(scope="module")
def ours(small):
  """The network, and the parameters of policy and reference."""
  read = [read_decoder(folder) for folder in small]
  network = make_network(read[0].config)
  policy = Policy(network=network, ends=Ends(EOS), max_length=LENGTH)
  return policy, *(load_params(found) for found in read)


@pytest.fixture
def settings(tmp_path):
  """What every trainer of TRL is given."""
  return {
    "output_dir": str(tmp_path),
    "per_device_train_batch_size": len(ROWS),
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "disable_tqdm": True,
    "seed": 0,
  }


def lay_out(ids, is_answer):
  """Prompts, their lengths and answers from TRL's rows and the mask of its answers."""
  prompts = np.zeros((len(ids), WIDTH), np.int32)
  answers = np.full((len(ids), LENGTH), NO_TOKEN, np.int32)
  lengths = np.zeros(len(ids), np.int32)
  for row, (tokens, mask) in enumerate(zip(ids, is_answer, strict=True)):
    prompt, answer = tokens[: mask.argmax()], tokens[mask]
    prompts[row, : len(prompt)], lengths[row] = prompt, len(prompt)
    answers[row, : len(answer)] = answer
  return jnp.array(prompts), jnp.array(lengths), jnp.array(answers)


def by_pair(halves):
  """Rows of which one half is chosen, the other rejected: [pairs, 2, ...]."""
  chosen, rejected = jnp.split(halves, 2)
  return jnp.stack([chosen, rejected], axis=1)


def check(loss, params, trainer, model, batch):
  """Loss and the gradient of the embeddings agree within 1e-5."""
  wanted = trainer.compute_loss(model, batch)
  wanted.backward()
  value, grads = jax.value_and_grad(loss)(params)
  assert float(value) == pytest.approx(wanted.item(), abs=1e-5)
  expected = model.get_input_embeddings().weight.grad.numpy()
  np.testing.assert_allclose(grads["token_embedder"]["embedding"], expected, atol=1e-5)
  assert np.abs(expected).max() > 1e-3


def test_dpo(trl, load, tokenizer, ours, settings):
  import datasets

  model, reference = load("AutoModelForCausalLM")
  trainer = trl.DPOTrainer(
    model=model,
    ref_model=reference,
    args=trl.DPOConfig(**settings, beta=BETA),
    train_dataset=datasets.Dataset.from_list(PAIRS),
    processing_class=tokenizer,
  )
  batch = next(iter(trainer.get_train_dataloader()))
  prompts, lengths, answers = lay_out(
    batch["input_ids"].numpy(), batch["completion_mask"].numpy().astype(bool)
  )
  pairs = len(ROWS)
  asked = {
    "prompts": prompts[:pairs],
    "lengths": lengths[:pairs],
    "answers": by_pair(answers),
  }
  policy, params, frozen = ours
  before = pair_log_probs(policy, frozen, asked)

  def loss(params):
    now = pair_log_probs(policy, params, asked)
    return dpo_loss(now[:, 0], now[:, 1], before[:, 0], before[:, 1], BETA).loss

  check(loss, params, trainer, model, batch)


def test_reward_models(trl, load, tokenizer, ours, settings):
  import datasets

  model, _ = load("AutoModelForSequenceClassification", num_labels=1, pad_token_id=0)
  trainer = trl.RewardTrainer(
    model=model,
    args=trl.RewardConfig(**settings, center_rewards_coefficient=CENTRING),
    train_dataset=datasets.Dataset.from_list(PAIRS),
    processing_class=tokenizer,
  )
  batch = next(iter(trainer.get_train_dataloader()))
  ids, mask = (batch[name].numpy() for name in ("input_ids", "attention_mask"))
  # TRL's rows are whole; which part is the answer does not matter to a reward.
  place = np.arange(ids.shape[1])
  is_answer = (place >= mask.sum(1, keepdims=True) - 2) & mask.astype(bool)
  prompts, lengths, answers = lay_out(ids, is_answer)
  head = jnp.array(model.score.weight.detach().numpy())[0]
  policy, params, _ = ours

  def loss(params):
    found = describe(answers, policy.ends)
    rewards = last_vectors(policy, params, prompts, lengths, found) @ head
    chosen, rejected = jnp.split(rewards, 2)
    return preference_loss(chosen, rejected, CENTRING)

  check(loss, params, trainer, model, batch)


def test_rloo(trl, load, tokenizer, ours, settings):
  import datasets

  def reward(completion_ids, **_):
    """Of lengths and ids, so that answers to one prompt differ."""
    return [0.1 * len(ids) + 0.001 * sum(ids) for ids in completion_ids]

  model, reference = load("AutoModelForCausalLM")
  settings["per_device_train_batch_size"] = SAMPLES * len(ROWS)
  trainer = trl.RLOOTrainer(
    model=model,
    reward_funcs=reward,
    args=trl.RLOOConfig(
      **settings,
      beta=BETA,
      epsilon=CLIP,
      num_generations=SAMPLES,
      max_completion_length=LENGTH,
      num_iterations=2,
    ),
    train_dataset=datasets.Dataset.from_list([{"prompt": row[0]} for row in ROWS]),
    processing_class=tokenizer,
  )
  trainer.ref_model.load_state_dict(reference.state_dict())  # it was the policy's
  batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
  parts = {name: batch[name].numpy() for name in batch if hasattr(batch[name], "numpy")}
  is_prompt, is_answer = (parts[f"{n}_mask"] > 0 for n in ("prompt", "completion"))
  ids = [
    np.concatenate([prompt[a], answer[b]])
    for prompt, a, answer, b in zip(
      parts["prompt_ids"], is_prompt, parts["completion_ids"], is_answer, strict=True
    )
  ]
  in_answer = [
    np.arange(len(row)) >= length
    for row, length in zip(ids, is_prompt.sum(1), strict=True)
  ]
  prompts, lengths, answers = lay_out(ids, in_answer)
  policy, params, frozen = ours
  found = describe(answers, policy.ends)

  def log_probs(params):
    logits = answer_logits(policy, params, prompts, lengths, found)
    return token_log_probs(logits, found).sum(axis=1)

  before = log_probs(params)
  np.testing.assert_allclose(before, parts["old_logps"], atol=1e-4)
  rewards = jnp.array(
    reward([row[is_it] for row, is_it in zip(ids, in_answer, strict=True)])
  )
  rloo = RlooSettings(
    samples=SAMPLES,
    prompts=len(ROWS),
    beta=BETA,
    optimizer=OptimSettings(name=OptimizerName.ADAMW, learning_rate=0.1),
    train=TrainSettings(steps=1),
  )
  gains = advantages(rewards, before - log_probs(frozen), rloo)
  np.testing.assert_allclose(gains, parts["advantages"], atol=1e-4)
  # As after an update: the policy is no longer the one that sampled.
  moved = jax.tree.map(lambda leaf, other: 0.9 * leaf + 0.1 * other, params, frozen)
  import torch

  with torch.no_grad():
    for leaf, other in zip(model.parameters(), reference.parameters(), strict=True):
      leaf.mul_(0.9).add_(0.1 * other)

  def loss(params):
    return ratio_loss(log_probs(params), before, gains, CLIP).loss

  check(loss, moved, trainer, model, batch)
