"""RLOO: policy gradient with a leave-one-out baseline and the KL in the reward.

A step of the loop samples answers, rewards them, and makes several updates with them.
All of it is one function of the state and the prompts, so that a resumed run equals an
uninterrupted one bit for bit.
"""

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import rich.console
from jaxtyping import Array, Float

from symtune.align.answers import Policy, answer_logits, token_log_probs
from symtune.align.learn.devices import Devices, Places
from symtune.align.learn.evaluate import Evaluator
from symtune.align.learn.observe import Frozen, Judge, means, observe
from symtune.align.learn.rewards import load_members
from symtune.align.learn.sums import MetricTotals
from symtune.align.losses import leave_one_out, ratio_loss
from symtune.align.settings import RlooSettings
from symtune.align.setup import Setup
from symtune.errors import SymtuneError
from symtune.experiment.recipe_json import recipe_to_json as base_to_json
from symtune.train.loop import FitResult, fit
from symtune.train.optim import join_params, make_optimizer, make_schedule, split_params
from symtune.train.progress import Progress
from symtune.train.state import TrainState

FOLDER = "rloo"
_EQUAL = 1e-6  # rewards of one prompt that differ by less are the same


def advantages(
  totals: Float[Array, " answers"],
  log_ratios: Float[Array, " answers"],
  settings: RlooSettings,
) -> Float[Array, " answers"]:
  """The advantages of sampled answers: rewards less the KL's share, leave-one-out.

  Args:
    totals: rewards without the KL.
    log_ratios: log-probability under the policy minus that under the reference.
    settings: gives beta, and the number of answers to a prompt.
  """
  rewards = totals - settings.beta * log_ratios
  return leave_one_out(rewards.reshape(-1, settings.samples)).reshape(-1)


def train_step(
  state: TrainState,
  batch: Mapping[str, jax.Array],
  frozen: Frozen,
  *,
  policy: Policy,
  judge: Judge,
  settings: RlooSettings,
  places: Places,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Samples, rewards, and makes `settings.updates` updates.

  Args:
    state: the state before the step; `state.step` counts steps, not updates.
    batch: prompts, as `gold.make_batch` makes them, on the devices.
    frozen: reference and reward models.
    policy: the network.
    judge: how answers are rewarded.
    settings: of RLOO.
    places: where the state's arrays lie.
  """
  optimizer = make_optimizer(settings.optimizer, state.params)
  key = jax.random.fold_in(state.rng, state.step)
  seen = observe(policy, judge, state.params, frozen, batch, key, settings.samples)
  gains = advantages(seen.rewarded.total, seen.log_ratios, settings)
  trained, kept = split_params(state.params, settings.optimizer.trainable)

  def loss(trained):
    params = join_params(trained, kept)
    logits = answer_logits(
      policy, params, batch["prompts"], batch["lengths"], seen.answers
    )
    now = token_log_probs(logits, seen.answers).sum(axis=1)
    return ratio_loss(now, seen.log_probs, gains, settings.clip)

  def update(carried, _):
    trained, opt_state = carried
    (value, clipped), grads = jax.value_and_grad(loss, has_aux=True)(trained)
    updates, opt_state = optimizer.update(grads, opt_state, trained)
    moved = optax.apply_updates(trained, updates)
    return (moved, opt_state), (value, clipped, optax.tree.norm(grads))

  (trained, opt_state), logs = jax.lax.scan(
    update, (trained, state.opt_state), None, length=settings.updates
  )
  values, clipped, norms = (jnp.mean(log) for log in logs)
  totals = seen.rewarded.total.reshape(-1, settings.samples)
  spread = jnp.max(totals, axis=1) - jnp.min(totals, axis=1)
  tokens = jnp.sum(batch["lengths"]) + jnp.sum(seen.answers.lengths)
  metrics = {
    **means(seen),
    "zero_spread": jnp.mean((spread < _EQUAL).astype(jnp.float32)),
    "loss": values,
    "clipped": clipped,
    "grad_norm": norms,
    "learning_rate": make_schedule(settings.optimizer)(state.step * settings.updates),
    "real_tokens": tokens.astype(jnp.float32),
  }
  params = join_params(trained, kept)
  state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
  return places.keep(state), metrics


_jit_step = jax.jit(
  train_step,
  static_argnames=("policy", "judge", "settings", "places"),
  donate_argnums=0,
)


def rloo_settings(setup: Setup) -> RlooSettings:
  """The settings of RLOO.

  Raises:
    SymtuneError: the recipe has none.
  """
  if setup.recipe.rloo is None:
    raise SymtuneError(
      f"recipe {setup.recipe.name}: AlignRecipe.rloo is None, expected RlooSettings."
    )
  return setup.recipe.rloo


def make_judge(setup: Setup) -> Judge:
  """How RLOO rewards answers."""
  settings = rloo_settings(setup)
  return Judge(
    gold=setup.recipe.gold,
    gold_weight=settings.gold_weight,
    model_weight=settings.model_weight,
    ensemble=settings.ensemble,
    missing_reward=settings.missing_reward,
  )


def make_step(setup: Setup, devices: Devices, frozen: Frozen) -> tuple[Any, TrainState]:
  """The compiled train step, which donates its state, and the state before step 0."""
  settings, policy = rloo_settings(setup), setup.policy
  params = devices.load(setup.start, policy.network, setup.recipe.seed)
  optimizer = make_optimizer(settings.optimizer, params)
  state, places = devices.state(
    params, devices.param_places(policy.network), optimizer, setup.recipe.seed
  )
  step = functools.partial(
    devices.call,
    _jit_step,
    policy=policy,
    judge=make_judge(setup),
    settings=settings,
    places=places,
  )
  return lambda state, batch: step(state, batch, frozen), state


def train_rloo(
  setup: Setup,
  run_dir: pathlib.Path,
  devices: Devices,
  ensemble: int,
  console: rich.console.Console,
) -> FitResult:
  """Trains the policy with some of the reward models, from its newest checkpoint.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder; reward models lie in it.
    devices: where to compute.
    ensemble: number of reward models.
    console: shows progress.

  Raises:
    SymtuneError: a reward model is missing, a reward or the loss is not finite, or a
      checkpoint is damaged.
  """
  settings, policy = rloo_settings(setup), setup.policy
  frozen = Frozen(
    reference=devices.load(setup.start, policy.network, setup.recipe.seed),
    members=load_members(setup, run_dir, devices, ensemble) if ensemble else None,
  )
  folder = policy_folder(run_dir, ensemble)
  evaluator = Evaluator(setup, folder, devices, make_judge(setup), frozen)
  step, state = make_step(setup, devices, frozen)
  evaluator.start(state.params)
  result = fit(
    state=state,
    batches=setup.training_prompts(settings.prompts),
    train_step=step,
    settings=settings.train,
    run_dir=folder,
    config_hash=setup.config_hash,
    config=json.loads(base_to_json(setup.recipe.base)),
    put_batch=devices.put,
    hooks=[evaluator.after_step],
    progress=Progress(settings.train.steps, console),
    no_sums=MetricTotals(),
    stop_when=functools.partial(over_budget, settings.max_kl),
  )
  if result.stopped_by is None:
    evaluator.finish(result.step, result.state.params)
  return result


def over_budget(max_kl: float | None, row: Mapping[str, Any]) -> str | None:
  """Why training ends after a logged row; None if it goes on."""
  if max_kl is None or row["kl"] <= max_kl:
    return None
  return f"the KL is {row['kl']:.3g} nats, above the budget of {max_kl:g}"


def policy_folder(run_dir: pathlib.Path, ensemble: int) -> pathlib.Path:
  """Where the policy of so many reward models lies: rloo, rloo1, rloo4, ..."""
  return run_dir / f"{FOLDER}{ensemble or ''}"
