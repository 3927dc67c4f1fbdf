"""T5X's DecoderOnlyModel trains the decoder-only network as we do: twenty steps."""

import json
import os
import subprocess
import sys

import family_tokenizers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_models import TINY, write_model

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.source import open_checkpoint
from symtune.convert.t5x.tree import t5x_decoder
from symtune.data.batches.causal_batch import lay_out_sequences
from symtune.data.batches.packing import PackedRow
from symtune.errors import SymtuneError
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.network import Decoder, init_params, param_axes
from symtune.train.optim import OptimSettings, make_optimizer, make_schedule
from symtune.train.state import create_state
from symtune.train.step import LossSettings, jit_train_step

pytestmark = [pytest.mark.t5x, pytest.mark.filterwarnings("ignore")]

STEPS, ROWS, LENGTH, SCORED = 20, 4, 384, 128
RATE = 0.01


def make_config(attention):
  # Wide enough that Adafactor factors the second moments of the larger matrices.
  return DecoderConfig(
    vocab_size=640,
    emb_dim=128,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    mlp_dim=256,
    max_positions=LENGTH,
    logits_via_embedding=True,
    attention=attention,
  )


@pytest.fixture(scope="module")
def make_rows(t5x, tmp_path_factory):
  """Packed rows of a microworld suite with a family's tokenizer, and its BOS."""
  import seqio

  from symtune.bridges.seqio_causal import register_causal_task
  from symtune.convert.tokenizer.causal import read_causal_vocab

  def make(family):
    folder = tmp_path_factory.mktemp(family)
    for name, content in family_tokenizers.make_files(family).items():
      (folder / name).write_text(json.dumps(content))
    name = register_causal_task("microworld_train", vocab=folder)
    short = {"inputs": LENGTH // 2, "targets": 32}  # two prompts or more in a row
    prompts = seqio.get_mixture_or_task(name).get_dataset(
      short, split="train", shuffle=False
    )
    lengths = {"inputs": LENGTH - 32, "targets": 32}
    rows = seqio.DecoderFeatureConverter(pack=True)(prompts, lengths)
    batches = rows.batch(ROWS).take(STEPS).as_numpy_iterator()
    return list(batches), read_causal_vocab(folder).bos_id

  return make


def native(batch, bos_id):
  """The sequences of SeqIO's rows, laid out as native batches."""
  rows = []
  start = [] if bos_id is None else [bos_id]
  for i in range(ROWS):
    segments = batch["decoder_segment_ids"][i]
    sequences, places = [], []
    for number in range(1, segments.max() + 1):
      here = segments == number
      ids = batch["decoder_target_tokens"][i][here]
      scored = np.flatnonzero(batch["decoder_loss_weights"][i][here])
      sequences.append(np.asarray([*start, *ids], np.int32))
      places.append((scored + len(start)).astype(np.int32))
    rows.append(
      PackedRow(
        inputs=np.concatenate(sequences),
        input_lengths=np.asarray([len(s) for s in sequences], np.int32),
        targets=np.concatenate(places),
        target_lengths=np.asarray([len(p) for p in places], np.int32),
      )
    )
  return lay_out_sequences(rows, LENGTH + 16, SCORED)


def our_losses(config, params, batches):
  settings = OptimSettings(learning_rate=RATE)
  optimizer = make_optimizer(settings, params)
  step = jit_train_step(
    network=Decoder(config),
    optimizer=optimizer,
    schedule=make_schedule(settings),
    loss_settings=LossSettings(),
  )
  state = create_state(params, optimizer, 0)
  losses = []
  for batch in batches:
    state, metrics = step(state, jax.device_put(batch))
    total = float(metrics.loss_nats + metrics.z_loss)
    losses.append(total / float(metrics.loss_weight))
  return losses


def their_losses(t5x, config, params, batches, bos_id):
  from flax.core import freeze

  from symtune.bridges.t5x_decoder import T5XDecoder

  optimizer = t5x.adafactor.Adafactor(
    decay_rate=0.8,
    step_offset=0,
    logical_factor_rules=t5x.adafactor.standard_logical_factor_rules(),
  )
  model = t5x.models.DecoderOnlyModel(
    module=T5XDecoder(config, bos_id=bos_id),
    vocabulary=None,
    optimizer_def=optimizer,
    inputs_bidirectional_attention=config.attention == "prefix",
    z_loss=1e-4,
    loss_normalizing_factor=(
      t5x.losses.SpecialLossNormalizingFactor.NUM_REAL_TARGET_TOKENS
    ),
  )
  shapes = {name: value.shape for name, value in batches[0].items()}
  types = {name: jnp.int32 for name in batches[0]}
  variables = model.get_initial_variables(jax.random.key(0), shapes, types)
  assert jax.tree.map(jnp.shape, dict(variables["params"])) == jax.tree.map(
    jnp.shape, params
  )
  state = t5x.train_state.FlaxOptimTrainState.create(
    optimizer, freeze({**variables, "params": params})
  )

  @jax.jit
  def step(state, batch):
    return t5x.trainer.train_with_lr(
      state, batch, jnp.float32(RATE), jax.random.key(0), model, None
    )

  losses = []
  for batch in batches:
    state, metrics = step(state, batch)
    losses.append(float(metrics["loss"].total))
  return losses


@pytest.mark.parametrize(
  ("family", "attention"), [("smollm2", "causal"), ("gemma", "prefix")]
)
def test_twenty_steps_have_the_same_losses(t5x, make_rows, family, attention):
  batches, bos_id = make_rows(family)
  assert (bos_id is None) == (family == "smollm2")
  config = make_config(attention)
  assert max(batch["decoder_segment_ids"].max() for batch in batches) > 1
  params = init_params(Decoder(config), jax.random.key(0))
  copy = jax.tree.map(np.array, params)
  theirs = their_losses(t5x, config, copy, batches, bos_id)
  ours = our_losses(config, params, [native(batch, bos_id) for batch in batches])
  print("first and last:", ours[0], theirs[0], ours[-1], theirs[-1])
  print("largest difference:", np.max(np.abs(np.subtract(ours, theirs))))
  np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
  assert ours[-1] < 0.9 * ours[0]


def test_axes_are_those_of_the_network(t5x):
  from flax.core import unfreeze
  from flax.linen.partitioning import get_axis_names

  from symtune.bridges.t5x_decoder import T5XDecoder

  config = make_config("causal")
  row = jnp.ones((1, 4), jnp.int32)
  made = T5XDecoder(config).init(jax.random.key(0), row, row)
  assert unfreeze(get_axis_names(made["params_axes"])) == param_axes(Decoder(config))


def test_generation_is_refused(t5x):
  from symtune.bridges.t5x_decoder import T5XDecoder

  row = jnp.ones((1, 4), jnp.int32)
  with pytest.raises(SymtuneError, match="symtune probe --checkpoint"):
    T5XDecoder(make_config("causal")).init(jax.random.key(0), row, row, decode=True)


RUN = """
from __gin__ import dynamic_registration

from symtune.bridges import seqio_causal
from symtune.model.decoder import config
from t5x import utils

include 'runs/t5x_decoder_train.gin'

DECODER_VOCAB = '{folder}'
INITIAL_CHECKPOINT_PATH = '{start}'
MODEL_DIR = '{out}'
TASK_FEATURE_LENGTHS = {{'inputs': 224, 'targets': 32}}
TRAIN_STEPS = 2
BATCH_SIZE = 2
seqio_causal.register_causal_task.suite = 'microworld_train'
config.DecoderConfig:
  vocab_size = 512
  emb_dim = 16
  num_layers = {layers}
  num_heads = 2
  num_kv_heads = 1
  head_dim = 8
  mlp_dim = 16
  max_positions = 512
  logits_via_embedding = True
utils.SaveCheckpointConfig.period = 2
"""


def run_t5x(tmp_path, folder, start, *, layers):
  file = tmp_path / f"{layers}.gin"
  out = tmp_path / f"out{layers}"
  file.write_text(RUN.format(folder=folder, start=start, out=out, layers=layers))
  command = [sys.executable, "-m", "symtune", "t5x", "train", f"--gin_file={file}"]
  environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
  environment.pop("XLA_FLAGS", None)
  done = subprocess.run(command, env=environment, capture_output=True, text=True)
  return out / "checkpoint_2", done


def test_t5x_starts_from_a_folder_and_what_it_trains_is_read(t5x, tmp_path):
  folder = tmp_path / "model"
  folder.mkdir()
  write_model(folder, TINY, 0.1)
  source = open_checkpoint(folder)
  start = convert(source, Destination(path=tmp_path / "start", format=Format.T5X))
  trained, done = run_t5x(tmp_path, folder, start, layers=1)
  assert done.returncode == 0, done.stderr[-4000:]
  found = t5x_decoder(str(trained), source)
  assert (found.step, found.config) == (2, TINY)
  moved = [
    float(np.abs(tensor.read() - found.tensors[path].read()).max())
    for path, tensor in source.tensors.items()
  ]
  assert 0 < max(moved) < 0.1  # near its start, not at random numbers
  _, refused = run_t5x(tmp_path, folder, start, layers=2)
  assert refused.returncode != 0
  assert "layers_1/attention" in refused.stderr
  assert "is missing" in refused.stderr
