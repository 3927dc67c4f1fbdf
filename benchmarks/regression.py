"""Speed of a training step of `symtune.regression`, beside a plain Flax loop.

  python benchmarks/regression.py [RECIPE] [--steps 100] [--repeats 3]

The peer is what one writes in an afternoon: Flax's own attention and Dense layers of
the same sizes, optax's AdamW, NumPy's generator, no checkpoints and no metrics. Ours is
what `symtune regression train` does between two checkpoints: episodes from counters,
the step, and the metrics. The two take turns, and the best time counts. Processor
seconds are printed too: on a busy machine, compare those.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from symtune.cli.gin_config import load_settings
from symtune.regression.settings import RegressionRecipe
from symtune.regression.train import (
  EpisodeStream,
  ErrorSums,
  make_step,
  start_params,
)


class Peer(nn.Module):
  """A GPT-2 of Flax's own layers, with a linear read-in and read-out."""

  layers: int
  width: int
  heads: int
  length: int

  @nn.compact
  def __call__(self, tokens):
    """Predicts one number for every token."""
    places = nn.Embed(self.length, self.width)(jnp.arange(self.length))
    x = nn.Dense(self.width)(tokens) + places[None]
    mask = nn.make_causal_mask(jnp.ones(tokens.shape[:2]))
    for _ in range(self.layers):
      y = nn.LayerNorm()(x)
      x = x + nn.MultiHeadDotProductAttention(self.heads)(y, y, mask=mask)
      y = nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(x)))
      x = x + nn.Dense(self.width)(y)
    return nn.Dense(1)(nn.LayerNorm()(x))[:, :, 0]


def make_peer(recipe: RegressionRecipe) -> Callable[[int], None]:
  """A function that makes so many steps of the peer."""
  dim, points = recipe.functions.dim, recipe.functions.points
  sizes = recipe.network
  network = Peer(sizes.layers, sizes.width, sizes.heads, 2 * points)
  rng = np.random.default_rng(0)
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))

  def draw() -> tuple[np.ndarray, np.ndarray]:
    xs = rng.standard_normal((recipe.batch_size, points, dim), np.float32)
    weights = rng.standard_normal((recipe.batch_size, dim, 1), np.float32)
    ys = xs @ weights
    tokens = np.zeros((recipe.batch_size, points, 2, dim + 1), np.float32)
    tokens[:, :, 0, 1:], tokens[:, :, 1, :1] = xs, ys
    return tokens.reshape(recipe.batch_size, 2 * points, dim + 1), ys[:, :, 0]

  @jax.jit
  def step(params, state, tokens, ys):
    def loss(params):
      predicted: Any = network.apply(params, tokens)
      return jnp.square(predicted[:, ::2] - ys).mean()

    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state

  params = network.init(jax.random.key(0), draw()[0])
  state = optimizer.init(params)

  def run(count: int) -> None:
    nonlocal params, state
    for _ in range(count):
      params, state = step(params, state, *draw())
    jax.block_until_ready(params)

  return run


def make_ours(recipe: RegressionRecipe) -> Callable[[int], None]:
  """A function that makes so many steps of ours, metrics included."""
  step, state = make_step(recipe, start_params(recipe))
  stream = EpisodeStream(recipe)

  def run(count: int) -> None:
    nonlocal state
    pending = None
    for _ in range(count):
      batch = jax.device_put(next(stream))
      state, found = step(state, batch)
      if pending is not None:  # as `fit` does, one step late
        ErrorSums.of_step(pending)
      pending = found
    jax.block_until_ready(state.params)

  return run


def main() -> None:
  """Prints milliseconds per step of both, and their ratio."""
  parser = argparse.ArgumentParser(description="Speed of a training step.")
  parser.add_argument("recipe", nargs="?", default="regression_tiny")
  parser.add_argument("--steps", type=int, default=100)
  parser.add_argument("--repeats", type=int, default=3)
  options = parser.parse_args()
  recipe, _ = load_settings(options.recipe, (RegressionRecipe,), folder="regression")
  runs = {"plain Flax": make_peer(recipe), "symtune": make_ours(recipe)}
  best = {name: (float("inf"), float("inf")) for name in runs}
  for run in runs.values():
    run(3)  # compiles
  for _ in range(options.repeats):
    for name, run in runs.items():
      before = time.perf_counter(), time.process_time()
      run(options.steps)
      taken = time.perf_counter() - before[0], time.process_time() - before[1]
      best[name] = (min(best[name][0], taken[0]), min(best[name][1], taken[1]))
  print(f"{recipe.name}, {jax.devices()[0].device_kind}, best of {options.repeats}")
  for name, taken in best.items():
    wall, processor = (1000.0 * t / options.steps for t in taken)
    print(f"  {name:<11} {wall:8.2f} ms a step, {processor:8.2f} ms of processor time")
  ratios = [best["symtune"][i] / best["plain Flax"][i] for i in (0, 1)]
  print(f"  ratio       {ratios[0]:8.2f}            {ratios[1]:8.2f}")


if __name__ == "__main__":
  main()
