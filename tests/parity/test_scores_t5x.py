"""What one side trained the other restores and scores alike: T5X, native probes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import freeze

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.data.draw.index import Shots
from symtune.data.tokens.tokenizer import PromptTokenizer, TokenPair
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_model import NativeModel
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.settings import FourSettings
from symtune.train.optim import OptimSettings, make_optimizer, make_schedule
from symtune.train.state import create_state
from symtune.train.step import LossSettings, jit_train_step
from symtune.train.weights import save_weights

pytestmark = [pytest.mark.t5x, pytest.mark.filterwarnings("ignore")]

STEPS = 10
RATE = 0.05
LENGTHS = (64, 8)


@pytest.fixture
def config(toy_vocab):
  return T5Config(
    # T5X's mesh takes all devices, and divides the table by them.
    vocab_size=8 * math.ceil(toy_vocab.size / 8),
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=2,
    head_dim=8,
    mlp_dim=32,
    mlp_activations=("gelu", "linear"),
    dropout_rate=0.0,
  )


@pytest.fixture
def items(toy_task, toy_pools):
  settings = ProbeSettings(
    pool=toy_pools[1], shots=Shots(minimum=2, maximum=2), max_queries=4
  )
  return list(FourSettings().items(toy_task, settings))


@pytest.fixture
def tokenizer(toy_vocab):
  inputs, targets = LENGTHS
  return PromptTokenizer(
    toy_vocab, max_inputs=inputs, max_targets=targets, min_exemplars_per_class=0
  )


@pytest.fixture
def batch(items, tokenizer, pack_row):
  """The right answers to the questions, one a row."""
  prompts = [tokenizer.tokenize(item.prompt) for item in items]
  pairs = [
    TokenPair(inputs=prompt.inputs, targets=prompt.choices[item.prompt.answer])
    for item, prompt in zip(items, prompts, strict=True)
  ]
  rows = [pack_row([pair], *LENGTHS) for pair in pairs]
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def trained_natively(config, batch):
  network = Transformer(config=config)
  params = init_params(network, jax.random.key(0))
  settings = OptimSettings(learning_rate=RATE)
  optimizer = make_optimizer(settings, params)
  step = jit_train_step(
    network=network,
    optimizer=optimizer,
    schedule=make_schedule(settings),
    loss_settings=LossSettings(),
  )
  state = create_state(params, optimizer, 0)
  for _ in range(STEPS):
    state, _ = step(state, jax.device_put(batch))
  return jax.device_get(state.params)


def native_scores(params, config, items, tokenizer):
  model = NativeModel(Transformer(config=config), params)
  scores = ModelScorer(model, tokenizer, tokens_per_batch=1024)(items)
  return [value for found in scores for value in found.log_likelihoods]


def make_model(t5x, config):
  names = t5x.network.T5Config.__dataclass_fields__
  own = t5x.network.T5Config(**{name: getattr(config, name) for name in names})
  optimizer = t5x.adafactor.Adafactor(
    decay_rate=0.8,
    step_offset=0,
    logical_factor_rules=t5x.adafactor.standard_logical_factor_rules(),
  )
  return t5x.models.EncoderDecoderModel(
    t5x.network.Transformer(own), None, None, optimizer
  )


def new_state(t5x, model, batch, seed):
  shapes = {name: value.shape for name, value in batch.items()}
  variables = model.get_initial_variables(jax.random.key(seed), shapes)
  return t5x.train_state.FlaxOptimTrainState.create(
    model.optimizer_def, freeze(variables)
  )


def trained_by_t5x(t5x, model, batch):
  @jax.jit
  def step(state):
    # Dropout is off, so the key is of no consequence.
    return t5x.trainer.train_with_lr(
      state, batch, jnp.float32(RATE), jax.random.key(0), model, None
    )[0]

  state = new_state(t5x, model, batch, 1)
  for _ in range(STEPS):
    state = step(state)
  return state


def checkpointer(t5x, layout, folder, state):
  """T5X's own writer and reader of one layout."""
  partitioner = t5x.partitioning.PjitPartitioner(num_partitions=1)
  if layout == "msgpack":
    return t5x.checkpoints.Checkpointer(state, partitioner, str(folder))
  return t5x.checkpoints.OrbaxCheckpointManagerInterface(
    str(folder), state, partitioner
  )


def t5x_scores(model, params, items, tokenizer):
  """T5X's score_batch, one question a batch and one choice a row."""
  score = jax.jit(model.score_batch)
  found = []
  for item in items:
    prompt = tokenizer.tokenize(item.prompt)
    inputs, targets = (np.zeros((len(prompt.choices), n), np.int32) for n in LENGTHS)
    inputs[:, : len(prompt.inputs)] = prompt.inputs
    for row, choice in zip(targets, prompt.choices, strict=True):
      row[: len(choice)] = choice
    tokens = {
      "encoder_input_tokens": inputs,
      "decoder_target_tokens": targets,
      "decoder_input_tokens": np.pad(targets, ((0, 0), (1, 0)))[:, :-1],
      "decoder_loss_weights": (targets > 0).astype(np.int32),
    }
    found += np.asarray(score(params, tokens)).tolist()
  return found


def assert_equal(ours, theirs):
  print("largest difference in nats:", np.abs(np.subtract(ours, theirs)).max())
  np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", ["msgpack", "orbax"])
def test_t5x_restores_and_scores_what_was_trained_natively(
  layout, t5x, config, batch, items, tokenizer, tmp_path
):
  params = trained_natively(config, batch)
  save_weights(tmp_path / "own.safetensors", params, config)
  place = Destination(path=tmp_path / "t5x", format=Format.T5X, step=STEPS)
  written = convert(open_checkpoint(tmp_path / "own.safetensors"), place)
  model = make_model(t5x, config)
  state = new_state(t5x, model, batch, 7)
  # Either of T5X's readers takes it; the optimizer is left as it starts.
  reader = checkpointer(t5x, layout, written.parent, state)
  restored = reader.restore(path=str(written), fallback_state=state.state_dict())
  assert int(restored.step) == STEPS
  ours = native_scores(params, config, items, tokenizer)
  assert_equal(ours, t5x_scores(model, restored.params, items, tokenizer))
  start = native_scores(
    init_params(Transformer(config), jax.random.key(0)), config, items, tokenizer
  )
  assert np.abs(np.subtract(ours, start)).max() > 0.5  # it was trained


@pytest.mark.parametrize("layout", ["msgpack", "orbax"])
def test_native_probes_score_what_t5x_trained_and_reads(
  layout, t5x, config, batch, items, tokenizer, tmp_path
):
  model = make_model(t5x, config)
  trained = trained_by_t5x(t5x, model, batch)
  fresh = new_state(t5x, model, batch, 7)
  writer = checkpointer(t5x, layout, tmp_path, trained)
  writer.save(trained)
  if layout == "orbax":
    writer.wait_until_finished()
  folder = tmp_path / f"checkpoint_{STEPS}"
  reader = checkpointer(t5x, layout, tmp_path, fresh)
  params = reader.restore(path=str(folder)).params
  source = open_checkpoint(folder)
  assert source.step == STEPS
  ours = native_scores(load_params(source), source.config, items, tokenizer)
  assert_equal(ours, t5x_scores(model, params, items, tokenizer))
  start = t5x_scores(model, fresh.params, items, tokenizer)
  assert np.abs(np.subtract(ours, start)).max() > 0.5  # it was trained
