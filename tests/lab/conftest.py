"""A tiny model with its vocabulary beside it, and a task of toy words."""

import jax
import pytest

from symtune.lab.models import load
from symtune.lab.tasks import LabTask
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.train.weights import save_weights


@pytest.fixture(scope="session")
def tiny(small_vocab, small_vocab_path, tmp_path_factory):
  """The folder, the network and the parameters of a tiny model."""
  folder = tmp_path_factory.mktemp("tiny")
  network = Transformer(
    T5Config(
      vocab_size=small_vocab.size,
      emb_dim=16,
      num_heads=2,
      num_encoder_layers=1,
      num_decoder_layers=1,
      head_dim=8,
      mlp_dim=16,
      mlp_activations=("gelu", "linear"),
    )
  )
  params = init_params(network, jax.random.key(1))
  save_weights(folder / "tiny.safetensors", params, network.config)
  (folder / "spiece.model").write_bytes(small_vocab_path.read_bytes())
  return folder / "tiny.safetensors", network, params


@pytest.fixture(scope="session")
def model(tiny):
  """That model, opened as a notebook does."""
  return load(tiny[0])


@pytest.fixture(scope="session")
def words(toy_task):
  """Fruits and animals."""
  return LabTask(task=toy_task)
