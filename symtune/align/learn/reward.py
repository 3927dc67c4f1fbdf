"""Reward models: the start's network with a scalar head at the last token of an answer.

The parameters of a member are {"network": those of the network, "head": {"kernel"
[embed, 1], "bias" [1]}}. Its checkpoints lie in reward/MEMBER/.
"""

import functools
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import rich.console
from jaxtyping import Array, Float, Int

from symtune.align.answers import Answers, Policy, describe, last_vectors
from symtune.align.learn.devices import Devices, Places
from symtune.align.learn.sums import MetricTotals
from symtune.align.losses import preference_loss
from symtune.align.pairs import PairArrays, PairStream
from symtune.align.settings import RewardSettings, recipe_to_json
from symtune.align.setup import Setup
from symtune.errors import SymtuneError
from symtune.train.loop import FitResult, fit
from symtune.train.optim import join_params, make_optimizer, make_schedule, split_params
from symtune.train.progress import Progress
from symtune.train.state import TrainState

FOLDER = "reward"
_HEAD = 7  # a stream of random keys


def init_head(width: int, key: Any) -> dict[str, Float[Array, "..."]]:
  """A head that has a standard deviation of 1 / sqrt(width + 1) (arXiv 2009.01325).

  Args:
    width: of the network's vectors.
    key: random key.
  """
  scale = 1.0 / math.sqrt(width + 1)
  return {
    "kernel": scale * jax.random.normal(key, (width, 1), jnp.float32),
    "bias": jnp.zeros((1,), jnp.float32),
  }


def rewards(
  policy: Policy,
  params: Mapping[str, Any],
  prompts: Int[Array, "prompts prompt_length"],
  lengths: Int[Array, " prompts"],
  answers: Answers,
) -> Float[Array, " answers"]:
  """The reward that one member gives to each answer, in float32.

  Args:
    policy: the network.
    params: the member's parameters.
    prompts: ids, padded on the right with 0.
    lengths: tokens of each prompt.
    answers: as many for each prompt, one after another.
  """
  vectors = last_vectors(policy, params["network"], prompts, lengths, answers)
  head = params["head"]
  return vectors.astype(jnp.float32) @ head["kernel"][:, 0] + head["bias"][0]


def pair_rewards(
  policy: Policy, params: Mapping[str, Any], batch: Mapping[str, jax.Array]
) -> Float[Array, "pairs 2"]:
  """The rewards of the chosen and of the rejected answers of a batch of pairs."""
  found = rewards(
    policy,
    params,
    batch["prompts"],
    batch["lengths"],
    describe(batch["answers"].reshape(-1, policy.max_length), policy.ends),
  )
  return found.reshape(-1, 2)


def train_step(
  state: TrainState,
  batch: Mapping[str, jax.Array],
  *,
  policy: Policy,
  settings: RewardSettings,
  places: Places,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Makes one update with a batch of pairs; without dropout.

  Args:
    state: the state before the step.
    batch: as `PairStream` makes it, on the devices.
    policy: the network.
    settings: the loss.
    places: where the state's arrays lie.
  """
  optimizer = _optimizer(settings, state.params)
  trained, frozen = split_params(state.params, settings.optimizer.trainable)

  def loss(trained):
    found = pair_rewards(policy, join_params(trained, frozen), batch)
    nats = preference_loss(found[:, 0], found[:, 1], settings.centring)
    return nats, found[:, 0] - found[:, 1]

  (nats, margins), grads = jax.value_and_grad(loss, has_aux=True)(trained)
  updates, opt_state = optimizer.update(grads, state.opt_state, trained)
  metrics = {
    "loss": nats,
    "accuracy": jnp.mean((margins > 0.0).astype(jnp.float32)),
    "margin": jnp.mean(margins),
    "grad_norm": optax.tree.norm(grads),
    "learning_rate": make_schedule(settings.optimizer)(state.step),
    "real_tokens": count_tokens(batch),
  }
  params = join_params(optax.apply_updates(trained, updates), frozen)
  state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
  return places.keep(state), metrics


_jit_step = jax.jit(
  train_step, static_argnames=("policy", "settings", "places"), donate_argnums=0
)


def _optimizer(settings: RewardSettings, params: Any) -> optax.GradientTransformation:
  return make_optimizer(settings.optimizer, params, epsilon=settings.epsilon)


def count_tokens(batch: Mapping[str, jax.Array]) -> jax.Array:
  """Tokens of the prompts and answers of a batch of pairs, a float32 scalar."""
  tokens = jnp.sum(batch["lengths"]) + jnp.sum(batch["answers"] >= 0)
  return tokens.astype(jnp.float32)


def start_member(setup: Setup, devices: Devices, member: int) -> tuple[Any, Any]:
  """The parameters of a member before training, and their shardings."""
  network, seed = setup.policy.network, setup.recipe.seed
  key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _HEAD), member)
  head = init_head(network.config.emb_dim, key)
  places = {
    "network": devices.param_places(network),
    "head": jax.tree.map(lambda _: devices.everywhere, head),
  }
  params = {
    "network": devices.load(setup.start, network, seed),
    "head": jax.device_put(head, places["head"]),
  }
  return params, places


def train_member(
  setup: Setup,
  run_dir: pathlib.Path,
  devices: Devices,
  pairs: PairArrays,
  member: int,
  console: rich.console.Console,
) -> FitResult:
  """Trains one reward model, starting from its newest checkpoint.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder.
    devices: where to compute.
    pairs: the preference rows.
    member: its number, from 0.
    console: shows progress.

  Raises:
    SymtuneError: the loss is not finite, or a checkpoint is damaged.
  """
  settings = reward_settings(setup)
  params, param_places = start_member(setup, devices, member)
  state, places = devices.state(
    params, param_places, _optimizer(settings, params), setup.recipe.seed
  )
  step = functools.partial(
    devices.call, _jit_step, policy=setup.policy, settings=settings, places=places
  )
  return fit(
    state=state,
    batches=PairStream(
      pairs,
      batch_size=settings.batch_size,
      seed=setup.recipe.seed,
      use=f"reward {member}",
    ),
    train_step=step,
    settings=settings.train,
    run_dir=member_folder(run_dir, member),
    config_hash=setup.config_hash,
    config=json.loads(recipe_to_json(setup.recipe)),
    put_batch=devices.put,
    progress=Progress(settings.train.steps, console),
    no_sums=MetricTotals(),
  )


def member_folder(run_dir: pathlib.Path, member: int) -> pathlib.Path:
  """Where a reward model lies."""
  return run_dir / FOLDER / str(member)


def reward_settings(setup: Setup) -> RewardSettings:
  """The settings of reward models.

  Raises:
    SymtuneError: the recipe has none.
  """
  if setup.recipe.reward is None:
    raise SymtuneError(
      f"recipe {setup.recipe.name}: AlignRecipe.reward is None, expected "
      "RewardSettings: without them there is no reward model."
    )
  return setup.recipe.reward
