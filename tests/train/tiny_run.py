"""A tiny run for tests; as a script, a process that a test can kill.

Usage: tiny_run.py RUN_DIR STEPS OPTIMIZER [SECONDS_PER_STEP]
"""

import pathlib
import sys
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from symtune.train.loop import TrainSettings, fit
from symtune.train.optim import (
  OptimizerName,
  OptimSettings,
  ScheduleName,
  make_optimizer,
  make_schedule,
)
from symtune.train.state import create_state
from symtune.train.step import LossSettings, jit_train_step

ROWS, INPUTS, TARGETS, VOCAB = 4, 12, 6, 130


class StandIn(nn.Module):
  """T5X's call signature over a bag of words: it compiles ten times as fast.

  The embedding is large enough for Adafactor to factor its second moments.
  """

  dropout_rate: float

  @nn.compact
  def __call__(
    self,
    encoder_input_tokens,
    decoder_input_tokens,
    decoder_target_tokens,
    encoder_segment_ids=None,
    decoder_segment_ids=None,
    encoder_positions=None,
    decoder_positions=None,
    *,
    enable_dropout=True,
  ):
    embed = nn.Embed(VOCAB, 128, name="token_embedder")
    same = decoder_segment_ids[:, :, None] == encoder_segment_ids[:, None, :]
    bag = jnp.einsum(
      "btc,bce->bte", same.astype(jnp.float32), embed(encoder_input_tokens)
    )
    x = bag + embed(decoder_input_tokens)
    x = nn.Dropout(self.dropout_rate)(x, deterministic=not enable_dropout)
    x = x * self.param("scale", nn.initializers.ones, (128,))[None, None, :]
    x = x + nn.Dense(128, use_bias=False, name="mlp")(nn.gelu(x))
    return embed.attend(x) / 128.0


def init_stand_in(network, key):
  token = jnp.ones((1, 1), jnp.int32)
  segments = dict(encoder_segment_ids=token, decoder_segment_ids=token)
  return network.init(key, token, token, token, **segments, enable_dropout=False)[
    "params"
  ]


def tiny_batch(index, rows=ROWS):
  """Packed rows of two examples: the target repeats the input's first tokens."""
  rng = np.random.default_rng([7, index])
  inputs = rng.integers(3, VOCAB, size=(rows, INPUTS), dtype=np.int32)
  inputs[:, -1 - index % 3 :] = 0
  targets = np.zeros((rows, TARGETS), np.int32)
  targets[:, :2], targets[:, 2:4] = inputs[:, :2], inputs[:, 6:8]
  target_segments = np.repeat(np.int32([1, 1, 2, 2, 0, 0])[None], rows, axis=0)
  moved = np.pad(targets[:, :-1], ((0, 0), (1, 0)))
  moved[:, 2] = 0
  return {
    "encoder_input_tokens": inputs,
    "encoder_segment_ids": np.where(
      inputs == 0, 0, np.where(np.arange(INPUTS) < 6, 1, 2)
    ).astype(np.int32),
    "encoder_positions": np.where(inputs == 0, 0, np.arange(INPUTS) % 6).astype(
      np.int32
    ),
    "decoder_target_tokens": targets,
    "decoder_input_tokens": moved,
    "decoder_loss_weights": (targets > 0).astype(np.int32),
    "decoder_segment_ids": target_segments,
    "decoder_positions": np.where(
      target_segments == 0, 0, np.arange(TARGETS) % 2
    ).astype(np.int32),
  }


class TinyBatches:
  """An endless stream whose position is one number."""

  def __init__(self):
    self.index = 0

  def __next__(self):
    self.index += 1
    return tiny_batch(self.index - 1)

  def get_state(self):
    return {"index": self.index}

  def set_state(self, state):
    self.index = state["index"]


def tiny_parts(name=OptimizerName.ADAFACTOR, seed=0, dropout_rate=0.1):
  """Returns (state, arguments of jit_train_step)."""
  network = StandIn(dropout_rate)
  settings = OptimSettings(
    name=name,
    learning_rate=0.02,
    schedule=ScheduleName.LINEAR_WARMUP,
    warmup_steps=3,
  )
  params = init_stand_in(network, jax.random.key(seed))
  optimizer = make_optimizer(settings, params)
  parts = dict(
    network=network,
    optimizer=optimizer,
    schedule=make_schedule(settings),
    loss_settings=LossSettings(),
  )
  return create_state(params, optimizer, seed), parts


def tiny_fit(run_dir, steps, name=OptimizerName.ADAFACTOR, hooks=(), **changes):
  """Trains for `steps`; log and save intervals do not divide each other."""
  state, parts = tiny_parts(name)
  settings = {"steps": steps, "log_every": 3, "save_every": 4, "keep": 2}
  return fit(
    **{
      "state": state,
      "batches": TinyBatches(),
      "train_step": jit_train_step(**parts),
      "settings": TrainSettings(**settings),
      "run_dir": pathlib.Path(run_dir),
      "config_hash": "tiny",
      "hooks": hooks,
      **changes,
    }
  )


def main():
  run_dir, steps, name = sys.argv[1:4]
  pause = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0

  def tell(step, state):
    print("step", step, flush=True)
    time.sleep(pause)

  result = tiny_fit(run_dir, int(steps), OptimizerName(name), hooks=[tell])
  print("stopped by", result.stopped_by, "at", result.step, flush=True)


if __name__ == "__main__":
  main()
