"""Layer probes: can X^T y and the weights be read off the residual stream?

A probe pools the tokens of a layer by learned position scores and maps the result to a
target (Akyurek et al. 2022, section 5):

  v = F(sum_t softmax(s)_t h_t),  F linear, or a layer of GELUs between two linear ones

Each layer, target and kind has a probe of its own; all are trained at once, on fresh
episodes. The targets after n exemplars are X^T y and the least-squares w. The control
targets are the same two for outputs z = sum_j |x_j| that the network is never shown:
they are as hard to compute from the exemplars, but of no use to it. (The paper's
control is another network, trained with w = 1.)
"""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Float64

from symtune.progress import Progress
from symtune.regression.draw import Episodes, draw_episodes
from symtune.regression.network import Params, Regressor
from symtune.regression.predictors import least_squares
from symtune.regression.settings import RegressionRecipe

TARGETS = ("X^T y", "w", "control X^T z", "control w of z")
KINDS = ("linear", "MLP")


def probe_layers(
  recipe: RegressionRecipe, network: Regressor, params: Params
) -> dict[str, Float64[np.ndarray, "targets episodes layers"]]:
  """Trains probes on a network and measures them on other episodes.

  Args:
    recipe: the class of functions and the settings of the probes.
    network: the network.
    params: its parameters, which stay as they are.

  Returns:
    By kind, the squared error of each held-out episode and layer, divided by the
    target's variance: 0 is perfect, 1 as good as the mean. Layer 0 is before the first
    block; the targets are TARGETS.
  """
  settings = recipe.probes
  held_out = _draw(recipe, "test", 0, settings.test_episodes)
  targets = probe_targets(recipe, held_out)
  mean, deviation = targets.mean(axis=1, keepdims=True), targets.std(axis=1)
  scale = deviation[:, None, :] + 1e-12
  states = _states(network, params, recipe, held_out)
  found = {}
  for kind in KINDS:
    probes = _train(recipe, network, params, kind, (mean, scale), states.shape)
    predicted = np.asarray(_apply(probes, states), np.float64)
    errors = np.square(predicted - ((targets - mean) / scale)[None]).mean(axis=3)
    found[kind] = errors.transpose(1, 2, 0)
  return found


def num_exemplars(recipe: RegressionRecipe) -> int:
  """After how many exemplars the probes read: 2 d, or the most that there are."""
  most = recipe.functions.points - 1
  return min(recipe.probes.exemplars or 2 * recipe.functions.dim, most)


def _draw(recipe: RegressionRecipe, part: str, first: int, count: int) -> Episodes:
  seed = f"probes {part} {recipe.seed}"
  return draw_episodes(recipe.functions, seed=seed, first=first, count=count)


def probe_targets(
  recipe: RegressionRecipe, episodes: Episodes
) -> Float64[np.ndarray, "targets episodes dim"]:
  """What probes are to read off the network for these episodes.

  Args:
    recipe: the number of exemplars and the scale of the weights.
    episodes: the episodes.

  Returns:
    The targets in the order of TARGETS.
  """
  n = num_exemplars(recipe)
  xs, ys = episodes.xs[:, :n].astype(np.float64), episodes.ys[:, :n].astype(np.float64)
  cubic = (xs**3 - 3.0 * xs).sum(axis=2) / np.sqrt(6.0)
  zs = recipe.functions.weight_scale * cubic
  moments = [np.einsum("end,en->ed", xs, outputs) for outputs in (ys, zs)]
  weights = [least_squares(xs, outputs) for outputs in (ys, zs)]
  return np.stack([moments[0], weights[0], moments[1], weights[1]])


def _states(
  network: Regressor, params: Params, recipe: RegressionRecipe, episodes: Episodes
) -> Float32[Array, "layers episodes tokens embed"]:
  """The residual streams up to the token of the x after the exemplars."""
  return _read(network, params, num_exemplars(recipe), episodes.xs, episodes.ys)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _read(network: Regressor, params: Params, n: int, xs: jax.Array, ys: jax.Array):
  states: Any = network.apply({"params": params}, xs, ys, method="states")
  return jnp.stack(states)[:, :, : 2 * n + 1].astype(jnp.float32)


def _train(
  recipe: RegressionRecipe,
  network: Regressor,
  params: Params,
  kind: str,
  moments: tuple[np.ndarray, np.ndarray],
  shape: tuple[int, ...],
) -> Any:
  """The parameters of all probes of a kind."""
  settings, (mean, scale) = recipe.probes, moments
  layers, _, tokens, embed = shape
  hidden = None if kind == "linear" else settings.hidden
  key = jax.random.key(recipe.train.seed)
  sizes = (layers, len(TARGETS), tokens, embed, recipe.functions.dim)
  probes = _init(key, sizes, hidden)
  optimizer = optax.adam(
    optax.cosine_decay_schedule(settings.learning_rate, settings.steps)
  )
  state = optimizer.init(probes)
  step = jax.jit(functools.partial(_step, optimizer), donate_argnums=(0, 1))
  with Progress(f"{kind} probes", settings.steps, unit="steps") as progress:
    for number in range(settings.steps):
      first = number * settings.batch_size
      episodes = _draw(recipe, "train", first, settings.batch_size)
      wanted = (probe_targets(recipe, episodes) - mean) / scale
      states = _states(network, params, recipe, episodes)
      probes, state = step(probes, state, states, jnp.asarray(wanted, jnp.float32))
      progress.advance()
  return probes


def _init(
  key: jax.Array, sizes: tuple[int, int, int, int, int], hidden: int | None
) -> dict[str, jax.Array]:
  layers, targets, tokens, embed, dim = sizes
  one = (layers, targets)
  keys = jax.random.split(key)
  widths = (embed, dim) if hidden is None else (embed, hidden, dim)
  probes = {"scores": jnp.zeros((*one, tokens))}
  for i, (inner, outer) in enumerate(itertools.pairwise(widths)):
    kernel = jax.random.normal(keys[i], (*one, inner, outer)) / np.sqrt(inner)
    probes[f"kernel_{i}"] = kernel.astype(jnp.float32)
    probes[f"bias_{i}"] = jnp.zeros((*one, 1, outer))
  return probes


@jax.jit
def _apply(
  probes: Mapping[str, jax.Array],
  states: Float32[Array, "layers episodes tokens embed"],
) -> Float32[Array, "layers targets episodes dim"]:
  """What the probes read: standardised targets."""
  shares = jax.nn.softmax(probes["scores"])
  pooled = jnp.einsum("lvt,leth->lveh", shares, states)
  # The stream grows from layer to layer; probes of all layers learn at one rate.
  size = jnp.sqrt(jnp.square(states).mean(axis=(1, 2, 3)))[:, None, None, None] + 1e-6
  found = pooled / size
  found = _linear(probes, 0, found)
  if "kernel_1" in probes:
    found = _linear(probes, 1, jax.nn.gelu(found))
  return found


def _linear(
  probes: Mapping[str, jax.Array], i: int, x: Float[Array, "layers targets batch inner"]
) -> Float[Array, "layers targets batch outer"]:
  return jnp.einsum("lvei,lvij->lvej", x, probes[f"kernel_{i}"]) + probes[f"bias_{i}"]


def _step(
  optimizer: optax.GradientTransformation,
  probes: Any,
  state: Any,
  states: jax.Array,
  wanted: jax.Array,
) -> tuple[Any, Any]:
  """One update of all probes; the loss of each has no part in the others' gradients."""

  def loss(probes):
    errors = jnp.square(_apply(probes, states) - wanted[None])
    return errors.mean(axis=(2, 3)).sum()

  grads = jax.grad(loss)(probes)
  # optax raises beta to an integer power, which strict dtype promotion refuses.
  with jax.numpy_dtype_promotion("standard"):
    updates, state = optimizer.update(grads, state, probes)
  return optax.apply_updates(probes, updates), state
