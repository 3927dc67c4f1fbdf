"""Fifty steps on the same packed batches from the same start: T5X's losses are ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.data.batches.windows import BatchShape
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.train.optim import OptimSettings, make_optimizer, make_schedule
from symtune.train.state import create_state
from symtune.train.step import LossSettings, jit_train_step

pytestmark = [pytest.mark.t5x, pytest.mark.filterwarnings("ignore")]

STEPS = 50
RATE = 0.01
# Wide enough that Adafactor factors the second moments of the larger matrices.
CONFIG = T5Config(
  vocab_size=1792,
  emb_dim=128,
  num_heads=4,
  num_encoder_layers=2,
  num_decoder_layers=2,
  head_dim=32,
  mlp_dim=256,
  mlp_activations=("gelu", "linear"),
  dropout_rate=0.0,
)


@pytest.fixture(scope="module")
def batches():
  pytest.importorskip("t5x.trainer")
  from symtune.bridges import seqio_tasks
  from symtune.bridges.seqio_batches import SeqioBatches
  from symtune.cards.load import load_suite

  names = [task.card.name for task in load_suite("microworld_train", None)[:3]]
  mixture = seqio_tasks.mix("three", [(f"symtune_{n}_symbols", 1.0) for n in names])
  shape = BatchShape(batch_size=4, input_length=256, target_length=32)
  stream = SeqioBatches(mixture, shape, seed=0)
  return [next(stream) for _ in range(STEPS)]


def native_losses(params, batches):
  settings = OptimSettings(learning_rate=RATE)
  optimizer = make_optimizer(settings, params)
  step = jit_train_step(
    network=Transformer(config=CONFIG),
    optimizer=optimizer,
    schedule=make_schedule(settings),
    loss_settings=LossSettings(),
  )
  state = create_state(params, optimizer, 0)
  losses = []
  for batch in batches:
    state, metrics = step(state, jax.device_put(batch))
    losses.append(
      float(metrics.loss_nats + metrics.z_loss) / float(metrics.loss_weight)
    )
  return losses, jax.device_get(state.params)


def t5x_losses(params, batches):
  from flax.core import freeze
  from t5x import adafactor, losses, models, train_state, trainer
  from t5x.examples.t5 import network

  names = network.T5Config.__dataclass_fields__
  config = network.T5Config(**{name: getattr(CONFIG, name) for name in names})
  optimizer = adafactor.Adafactor(
    decay_rate=0.8,
    step_offset=0,
    logical_factor_rules=adafactor.standard_logical_factor_rules(),
  )
  normalizer = losses.SpecialLossNormalizingFactor.NUM_REAL_TARGET_TOKENS
  model = models.EncoderDecoderModel(
    module=network.Transformer(config=config),
    input_vocabulary=None,
    output_vocabulary=None,
    optimizer_def=optimizer,
    z_loss=1e-4,
    loss_normalizing_factor=normalizer,
  )
  shapes = {name: value.shape for name, value in batches[0].items()}
  variables = model.get_initial_variables(jax.random.key(0), shapes)
  variables = freeze({**variables, "params": params})
  state = train_state.FlaxOptimTrainState.create(optimizer, variables)

  @jax.jit
  def step(state, batch):
    # Dropout is off, so the key is of no consequence.
    return trainer.train_with_lr(
      state, batch, jnp.float32(RATE), jax.random.key(0), model, None
    )

  found = []
  for batch in batches:
    state, metrics = step(state, batch)
    # T5X divided the loss by its normalizer, the number of target tokens.
    summed = metrics["loss"].total
    found.append(float(summed))
  return found, jax.device_get(state.params)


def test_fifty_steps_have_the_same_losses(batches):
  params = init_params(Transformer(config=CONFIG), jax.random.key(0))
  copy = jax.tree.map(lambda array: np.array(array), params)
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    theirs, their_params = t5x_losses(copy, batches)
  ours, our_params = native_losses(params, batches)
  print("first and last:", ours[0], theirs[0], ours[-1], theirs[-1])
  print("largest difference:", np.max(np.abs(np.subtract(ours, theirs))))
  np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
  assert ours[-1] < 0.7 * ours[0]
  pairs = zip(jax.tree.leaves(our_params), jax.tree.leaves(their_params), strict=True)
  moved = [float(np.abs(a - b).max()) for a, b in pairs]
  print("largest parameter difference:", max(moved))
