"""What the checksums of a checkpoint cost, beside Orbax's own reading and writing.

Usage: checksums.py [--megabytes 280] [--repeats 5]
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from symtune.checksums import write_checksums
from symtune.train import checkpoint
from symtune.train.state import TrainState, abstract_state

_SHAPE = (1024, 2816)  # an MLP matrix of T5 1.1 large: 11.5 MB


def main() -> None:
  """Prints the times and the share of the checksums."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--megabytes", type=int, default=280)
  parser.add_argument("--repeats", type=int, default=5)
  options = parser.parse_args()
  numbers = np.random.default_rng(0)
  count = max(options.megabytes * 1_000_000 // (4 * _SHAPE[0] * _SHAPE[1]), 1)
  params = {
    f"layer_{i}": jnp.asarray(numbers.normal(size=_SHAPE).astype(np.float32))
    for i in range(count)
  }
  state = TrainState(
    step=jnp.int32(1),
    params=params,
    opt_state={"count": jnp.zeros(1)},
    rng=jax.random.key(0),
  )
  wanted = abstract_state(state)
  with tempfile.TemporaryDirectory() as home:
    folder = pathlib.Path(home)
    saving = _seconds(lambda: checkpoint.save(folder, state, {}, config_hash=""), 1)
    step = folder / "1"
    write = _seconds(lambda: write_checksums(step), options.repeats)

    def load() -> None:
      jax.block_until_ready(checkpoint.restore(folder, 1, wanted).state.params)

    loading = _seconds(load, options.repeats)
    check = _seconds(
      lambda: checkpoint.check_files(step, *parts, checkpoint.RUN), options.repeats
    )
  size = count * 4 * _SHAPE[0] * _SHAPE[1]
  print(f"{size / 1e6:.0f} MB of parameters, {jax.__version__=}")
  for name, whole, part in (("write", saving, write), ("read", loading, check)):
    rest = whole - part
    print(
      f"{name:6} {whole:.3f} s, of which checksums {part:.3f} s "
      f"({size / 1e9 / part:.1f} GB/s): {part / rest:.1%} of the rest"
    )


def _seconds(work: Callable[[], object], repeats: int) -> float:
  """The median time of some work."""
  times = []
  for _ in range(repeats):
    began = time.perf_counter()
    work()
    times.append(time.perf_counter() - began)
  return statistics.median(times)


if __name__ == "__main__":
  main()
