"""What the checksums of a checkpoint cost, beside Orbax's reading and writing.

Usage: checksums.py [--megabytes 280] [--repeats 15]
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from unittest import mock

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
  parser.add_argument("--repeats", type=int, default=15)
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
    saving = _seconds(lambda: checkpoint.save(folder, state, {}, config_hash=""))
    writing = _seconds(lambda: write_checksums(folder / "1"))

    def load() -> None:
      jax.block_until_ready(checkpoint.load_params(folder, 1, wanted.params))

    def load_unchecked() -> None:
      with mock.patch.object(checkpoint, "check_files"):
        load()

    times = [(_seconds(load), _seconds(load_unchecked)) for _ in range(options.repeats)]
  checked, plain = (statistics.median(column) for column in zip(*times, strict=True))
  size = count * _SHAPE[0] * _SHAPE[1] * 4
  print(f"{size / 1e6:.0f} MB of parameters; medians of {options.repeats} in turn")
  print(f"saving {saving:.3f} s, of which checksums {writing:.3f} s")
  print(f"loading {checked:.3f} s, unchecked {plain:.3f} s: {checked / plain:.3f}")


def _seconds(work: Callable[[], object]) -> float:
  began = time.perf_counter()
  work()
  return time.perf_counter() - began


if __name__ == "__main__":
  main()
