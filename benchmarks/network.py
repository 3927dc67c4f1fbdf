"""Forward and backward pass of our network against T5X's: seconds and their ratio.

  python benchmarks/network.py [--rows 2] [--repeats 5]

T5 1.1 small, float32, 256 + 64 tokens per row, no dropout. Without T5X it times ours
alone. The two take turns, and the best of the repeats counts, so that other work on the
machine disturbs both alike.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from symtune.model.config import PublishedSize, T5Config, published_config
from symtune.model.loss import sum_losses
from symtune.model.network import Transformer, init_params


def t5x_network(config: T5Config):
  """T5X's network with the same settings, or None where T5X is not installed."""
  try:
    from t5x.examples.t5 import network
  except ImportError as error:
    print(f"T5X is not installed ({error}): timing ours alone.")
    return None
  fields = network.T5Config.__dataclass_fields__
  values = {name: getattr(config, name) for name in fields}
  return network.Transformer(network.T5Config(**values))


def make_step(module, rows: int):
  """Compiled params -> (loss, gradients) on fixed random tokens."""
  inputs = jax.random.randint(jax.random.key(1), (rows, 256), 2, 32000)
  targets = jax.random.randint(jax.random.key(2), (rows, 64), 2, 32000)

  def loss(params):
    logits = module.apply(
      {"params": params}, inputs, targets, targets, enable_dropout=False
    )
    return sum_losses(logits, targets, z_loss=1e-4).loss

  return jax.jit(jax.value_and_grad(loss))


def seconds_per_step(steps: dict, params, repeats: int) -> dict[str, float]:
  """Best time of each step; the first, compiling call does not count."""
  best = dict.fromkeys(steps, float("inf"))
  for step in steps.values():
    jax.block_until_ready(step(params))
  for _ in range(repeats):
    for name, step in steps.items():
      start = time.perf_counter()
      jax.block_until_ready(step(params))
      best[name] = min(best[name], time.perf_counter() - start)
  return best


def main() -> None:
  """Prints the figures."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--rows", type=int, default=2)
  parser.add_argument("--repeats", type=int, default=5)
  args = parser.parse_args()
  config = published_config(PublishedSize.SMALL, dtype=jnp.float32)
  modules = {"symtune": Transformer(config), "t5x": t5x_network(config)}
  params = init_params(modules["symtune"], jax.random.key(0))
  steps = {
    name: make_step(module, args.rows) for name, module in modules.items() if module
  }
  best = seconds_per_step(steps, params, args.repeats)
  for name, seconds in best.items():
    print(f"{name:8} {seconds:.3f} s")
  if "t5x" in best:
    print(f"ratio    {best['t5x'] / best['symtune']:.2f} (T5X time / our time)")


if __name__ == "__main__":
  main()
