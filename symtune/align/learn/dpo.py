"""DPO: the policy learns from pairs alone, without reward models or samples."""

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import rich.console

from symtune.align.answers import Policy, answer_logits, describe, token_log_probs
from symtune.align.learn.devices import Devices, Places
from symtune.align.learn.evaluate import Evaluator
from symtune.align.learn.observe import Frozen, Judge
from symtune.align.learn.reward import count_tokens
from symtune.align.learn.rewards import load_members
from symtune.align.learn.sums import MetricTotals
from symtune.align.losses import dpo_loss
from symtune.align.pairs import PairArrays, PairStream
from symtune.align.settings import DpoSettings
from symtune.align.setup import Setup
from symtune.errors import SymtuneError
from symtune.experiment.recipe_json import recipe_to_json as base_to_json
from symtune.train.loop import FitResult, fit
from symtune.train.optim import join_params, make_optimizer, make_schedule, split_params
from symtune.train.progress import Progress
from symtune.train.state import TrainState

FOLDER = "dpo"


def pair_log_probs(
  policy: Policy, params: Any, batch: Mapping[str, jax.Array]
) -> jax.Array:
  """Log-probabilities of the chosen and of the rejected answers, float32 [pairs, 2]."""
  answers = describe(batch["answers"].reshape(-1, policy.max_length), policy.ends)
  logits = answer_logits(policy, params, batch["prompts"], batch["lengths"], answers)
  return token_log_probs(logits, answers).sum(axis=1).reshape(-1, 2)


def train_step(
  state: TrainState,
  batch: Mapping[str, jax.Array],
  reference: Any,
  *,
  policy: Policy,
  settings: DpoSettings,
  places: Places,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Makes one update with a batch of pairs; without dropout.

  Args:
    state: the state before the step.
    batch: as `PairStream` makes it, on the devices.
    reference: parameters of the frozen reference.
    policy: the network.
    settings: of DPO.
    places: where the state's arrays lie.
  """
  optimizer = make_optimizer(settings.optimizer, state.params)
  trained, kept = split_params(state.params, settings.optimizer.trainable)
  before = pair_log_probs(policy, reference, batch)

  def loss(trained):
    now = pair_log_probs(policy, join_params(trained, kept), batch)
    found = dpo_loss(now[:, 0], now[:, 1], before[:, 0], before[:, 1], settings.beta)
    return found.loss, (found.margins, now - before)

  (value, (margins, ratios)), grads = jax.value_and_grad(loss, has_aux=True)(trained)
  updates, opt_state = optimizer.update(grads, state.opt_state, trained)
  metrics = {
    "loss": value,
    "accuracy": jnp.mean((margins > 0.0).astype(jnp.float32)),
    "margin": jnp.mean(margins),
    "chosen_log_ratio": jnp.mean(ratios[:, 0]),
    "rejected_log_ratio": jnp.mean(ratios[:, 1]),
    "grad_norm": optax.tree.norm(grads),
    "learning_rate": make_schedule(settings.optimizer)(state.step),
    "real_tokens": count_tokens(batch),
  }
  params = join_params(optax.apply_updates(trained, updates), kept)
  state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
  return places.keep(state), metrics


_jit_step = jax.jit(
  train_step, static_argnames=("policy", "settings", "places"), donate_argnums=0
)


def train_dpo(
  setup: Setup,
  run_dir: pathlib.Path,
  devices: Devices,
  pairs: PairArrays,
  console: rich.console.Console,
) -> FitResult:
  """Trains the policy on pairs, starting from its newest checkpoint.

  Where the run has reward models, the first of them measures the policy.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder.
    devices: where to compute.
    pairs: the preference rows.
    console: shows progress.

  Raises:
    SymtuneError: the recipe has no settings of DPO, the loss is not finite, or a
      checkpoint is damaged.
  """
  settings, policy, seed = setup.recipe.dpo, setup.policy, setup.recipe.seed
  if settings is None:
    raise SymtuneError(
      f"recipe {setup.recipe.name}: AlignRecipe.dpo is None, expected DpoSettings."
    )
  has_models = setup.recipe.reward is not None
  reference = devices.load(setup.start, policy.network, seed)
  params = devices.load(setup.start, policy.network, seed)
  optimizer = make_optimizer(settings.optimizer, params)
  state, places = devices.state(
    params, devices.param_places(policy.network), optimizer, seed
  )
  step = functools.partial(
    devices.call, _jit_step, policy=policy, settings=settings, places=places
  )
  evaluator = Evaluator(
    setup,
    run_dir / FOLDER,
    devices,
    Judge(gold=setup.recipe.gold),
    Frozen(
      reference=reference,
      members=load_members(setup, run_dir, devices, 1) if has_models else None,
    ),
  )
  evaluator.start(state.params)
  result = fit(
    state=state,
    batches=PairStream(pairs, batch_size=settings.batch_size, seed=seed, use="dpo"),
    train_step=lambda state, batch: step(state, batch, reference),
    settings=settings.train,
    run_dir=run_dir / FOLDER,
    config_hash=setup.config_hash,
    config=json.loads(base_to_json(setup.recipe.base)),
    put_batch=devices.put,
    hooks=[evaluator.after_step],
    progress=Progress(settings.train.steps, console),
    no_sums=MetricTotals(),
  )
  if result.stopped_by is None:
    evaluator.finish(result.step, result.state.params)
  return result
