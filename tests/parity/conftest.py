"""T5X's modules, for the tests that train, write and read with it."""

import gc
import types
import warnings

import jax
import pytest


@pytest.fixture(scope="module")
def t5x():
  """T5X's modules by name; skips where it is not installed."""
  with warnings.catch_warnings():
    # TensorFlow and T5X warn of their own deprecations.
    warnings.simplefilter("ignore")
    try:
      from t5x import (
        adafactor,
        checkpoints,
        losses,
        models,
        partitioning,
        train_state,
        trainer,
      )
      from t5x.examples.t5 import network
    except ImportError as error:
      pytest.skip(f"needs T5X (see CONTRIBUTING.md): {error}")
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
      yield types.SimpleNamespace(
        adafactor=adafactor,
        checkpoints=checkpoints,
        losses=losses,
        models=models,
        partitioning=partitioning,
        train_state=train_state,
        trainer=trainer,
        network=network,
      )
    # T5X leaves event loops open; collected here, they warn nobody else's test.
    gc.collect()
