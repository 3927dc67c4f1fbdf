"""T5X trains, evaluates and infers on our mixture, with its own network and ours."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from symtune.cards.examples import read_task
from symtune.cards.load import load_card
from symtune.data.draw.index import EVALUATION_SHOTS
from symtune.data.text.symbols import PoolSplit, make_pool
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.model.network import Transformer
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_model import NativeModel
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.settings import FourSettings

pytestmark = [
  pytest.mark.t5x,
  pytest.mark.shared,
  # T5X, TensorFlow and Orbax warn of their own deprecations.
  pytest.mark.filterwarnings("ignore"),
]

STEPS = 20
TRAIN = """
from __gin__ import dynamic_registration

from symtune.model import config
from t5x import utils

include 'models/tiny.gin'
include 'runs/t5x_train.gin'
{network}

MIXTURE_OR_TASK_NAME = 'symtune_symbol_tuning_train_symbols'
EVAL_MIXTURE_NAME = 'symtune_subj_symbols'
TASK_FEATURE_LENGTHS = {{'inputs': 512, 'targets': 32}}
INITIAL_CHECKPOINT_PATH = ''
TRAIN_STEPS = {steps}
BATCH_SIZE = 4
EVAL_STEPS = 1
EVAL_PERIOD = {steps}
LEARNING_RATE = 0.01
config.T5Config.dtype = 'float32'
config.T5Config.dropout_rate = 0.0
utils.CheckpointConfig.restore = None
utils.SaveCheckpointConfig.period = {steps}
infer_eval/utils.DatasetConfig.task_feature_lengths = {{'inputs': 512, 'targets': 16}}
"""
OTHER = """
from __gin__ import dynamic_registration

from symtune.model import config

include 'models/tiny.gin'
include 'runs/t5x_{mode}.gin'

config.T5Config.dtype = 'float32'
MIXTURE_OR_TASK_NAME = '{mixture}'
TASK_FEATURE_LENGTHS = {{'inputs': 512, 'targets': 32}}
BATCH_SIZE = 4
"""
OWN_NETWORK = "include 'runs/t5x_own_network.gin'"


@pytest.fixture(scope="module")
def run_t5x(tmp_path_factory):
  pytest.importorskip("t5x")
  shared = os.environ.get("SYMTUNE_SHARED", "../shared")
  data = os.path.join(shared, "data")
  if not os.path.isdir(os.path.join(data, "tasks")):
    pytest.skip(f"needs the real data folder: {data}/tasks is missing")
  folder = tmp_path_factory.mktemp("t5x")

  def run(mode, text, **bindings):
    file = folder / f"{len(list(folder.glob('*.gin')))}.gin"
    file.write_text(text)
    command = [sys.executable, "-m", "symtune", "t5x", mode, "--seed", "0"]
    command += [
      "--data",
      f"{data}/tasks",
      "--vocab",
      f"{data}/t5_tokenizer/spiece.model",
    ]
    command += [f"--gin_file={file}", "--alsologtostderr"]
    command += [f"--gin.{name}='{value}'" for name, value in bindings.items()]
    # One device, as any optimisation left out costs the time of this test.
    environment = {**os.environ, "SYMTUNE_MAX_QUERIES": "4", "JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr

  return run


@pytest.fixture(scope="module")
def trained(run_t5x, tmp_path_factory):
  folder = tmp_path_factory.mktemp("trained")
  for name, network in (("ours", ""), ("own", OWN_NETWORK)):
    text = TRAIN.format(network=network, steps=STEPS)
    run_t5x("train", text, MODEL_DIR=str(folder / name))
  return folder


def read_params(path):
  """By Orbax alone, as T5X reads them."""
  import orbax.checkpoint as ocp

  with ocp.PyTreeCheckpointer() as checkpointer:
    tree = checkpointer.restore(path / "state")
  return tree["target"]


def flat(tree):
  from flax.traverse_util import flatten_dict

  return {"/".join(k): np.asarray(v) for k, v in flatten_dict(tree).items()}


def test_both_networks_train_alike(trained):
  ours, own = (
    flat(read_params(trained / name / f"checkpoint_{STEPS}"))
    for name in ("ours", "own")
  )
  assert ours.keys() == own.keys()
  worst = {}
  for name, value in ours.items():
    scale = np.sqrt(np.mean(np.square(own[name])))
    worst[name] = float(np.abs(value - own[name]).max() / scale)
  print("largest difference, relative to the parameter's size:", max(worst.values()))
  assert max(worst.values()) < 1e-2


def test_native_probes_score_t5xs_checkpoint_as_t5x_does(trained, shared_data):
  path = trained / "own" / f"checkpoint_{STEPS}"
  from symtune.convert.load import load_params
  from symtune.convert.source import open_checkpoint

  checkpoint = open_checkpoint(str(path))
  params, their_params = load_params(checkpoint), read_params(path)
  task = read_task(load_card("subj"), shared_data / "tasks")
  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  pool = make_pool(PoolSplit.EVALUATION)
  settings = ProbeSettings(pool=pool, shots=EVALUATION_SHOTS, max_queries=4, seeds=(0,))
  items = list(FourSettings().items(task, settings))
  tokenizer = PromptTokenizer(
    vocab, max_inputs=512, max_targets=32, min_exemplars_per_class=0
  )
  model = NativeModel(Transformer(config=checkpoint.config), params)
  scores = ModelScorer(model, tokenizer, tokens_per_batch=4096)(items)
  ours = [value for found in scores for value in found.log_likelihoods]
  theirs = [
    value
    for item in items
    for value in t5x_scores(
      their_params, checkpoint.config, tokenizer.tokenize(item.prompt)
    )
  ]
  print("largest difference in nats:", np.abs(np.subtract(ours, theirs)).max())
  np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def t5x_scores(params, config, prompt):
  """T5X's own network and score_batch, one row a choice."""
  import jax
  from t5x import models
  from t5x.examples.t5 import network

  names = network.T5Config.__dataclass_fields__
  own = network.T5Config(**{name: getattr(config, name) for name in names})
  model = models.EncoderDecoderModel(network.Transformer(own), None, None, None)
  width = max(len(choice) for choice in prompt.choices)
  targets = np.zeros((len(prompt.choices), width), np.int32)
  for row, choice in zip(targets, prompt.choices, strict=True):
    row[: len(choice)] = choice
  batch = {
    "encoder_input_tokens": np.tile(prompt.inputs, (len(targets), 1)),
    "decoder_target_tokens": targets,
    "decoder_input_tokens": np.pad(targets, ((0, 0), (1, 0)))[:, :-1],
    "decoder_loss_weights": (targets > 0).astype(np.int32),
  }
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    return np.asarray(model.score_batch(params, batch)).tolist()


def test_eval_ranks_the_choices(trained, run_t5x, tmp_path):
  text = OTHER.format(mode="eval", mixture="symtune_subj_symbols_rank")
  run_t5x(
    "eval",
    text,
    CHECKPOINT_PATH=str(trained / "ours" / f"checkpoint_{STEPS}"),
    EVAL_OUTPUT_DIR=str(tmp_path / "eval"),
  )
  (file,) = (tmp_path / "eval").rglob("symtune_subj_symbols_rank-metrics.jsonl")
  (row,) = [json.loads(line) for line in file.read_text().splitlines()]
  print(row)
  assert row["queries"] == 4
  assert row["chance"] == 50
  assert row["rank_accuracy"] in (0, 25, 50, 75, 100)


def test_infer_answers_every_question(trained, run_t5x, tmp_path):
  text = OTHER.format(mode="infer", mixture="symtune_subj_symbols")
  run_t5x(
    "infer",
    text,
    CHECKPOINT_PATH=str(trained / "ours" / f"checkpoint_{STEPS}"),
    INFER_OUTPUT_DIR=str(tmp_path / "infer"),
  )
  files = (tmp_path / "infer").rglob("*predict.jsonl*")
  (file,) = [file for file in files if file.suffix != ".COMPLETED"]
  rows = [json.loads(line) for line in file.read_text().splitlines()]
  assert len(rows) == 4
  assert all("prediction" in row and "inputs" in row for row in rows)


def test_every_t5x_recipe_builds_as_a_toy(run_t5x):
  code = """
import sys, pathlib, gin, jax, seqio
import t5x.trainer
from t5x.train import train
from t5x import gin_utils, utils
from symtune.cards.resources import resource_dir

root = resource_dir("gin_configs")
t5x_root = str(pathlib.Path(t5x.trainer.__file__).parents[1])
for path in sorted((root / "recipes" / "t5x").glob("*.gin")):
  if "t5x_decoder_train" in path.read_text():
    continue  # tests/parity/test_decoder_t5x.py runs one of these
  gin.clear_config()
  gin_utils.parse_gin_flags(
    [str(root), t5x_root], [str(path)],
    ["MODEL_DIR='x'", "config.T5Config.emb_dim=8", "config.T5Config.num_heads=2",
     "config.T5Config.head_dim=4", "config.T5Config.mlp_dim=16",
     "config.T5Config.num_encoder_layers=1", "config.T5Config.num_decoder_layers=1",
     "USE_CACHED_TASKS=True"])
  model = gin.query_parameter("%MODEL").scoped_configurable_fn()
  shapes = {"encoder_input_tokens": (1, 4), "decoder_input_tokens": (1, 4)}
  tree = jax.eval_shape(
    lambda: model.get_initial_variables(jax.random.key(0), shapes))["params"]
  assert tree["token_embedder"]["embedding"].shape == (32128, 8), tree
  with gin.config_scope("train"):
    config = gin.get_configurable(utils.DatasetConfig)()
  mixture = config.mixture_or_task_name
  if isinstance(mixture, str):
    mixture = seqio.get_mixture_or_task(mixture)
  assert len(mixture.tasks) >= 22, mixture
  assert config.task_feature_lengths == {"inputs": 2048, "targets": 512}
  assert (config.batch_size, config.pack) == (32, True)
  assert config.use_cached
  for scope in ("train_eval", "infer_eval"):  # evaluation tasks cannot be cached
    with gin.config_scope(scope):
      questions = gin.get_configurable(utils.DatasetConfig)()
    assert questions.use_cached is False
    assert questions.task_feature_lengths["inputs"] == 2048
  print("built", path.stem, mixture.name)
"""
  environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
  done = subprocess.run(
    [sys.executable, "-c", code], env=environment, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr[-4000:]
  assert done.stdout.count("built") >= 6
