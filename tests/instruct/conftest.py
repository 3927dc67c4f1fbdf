"""Super-NI tasks as files, and a tiny model that can be asked about them."""

import json

import jax
import pytest

from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.train.weights import save_weights


def _task(definition, category, instances):
  return {
    "Categories": [category, "Other"],
    "Definition": [definition],
    "Positive Examples": [
      {"input": "a pear", "output": "fruit", "explanation": "It grows on a tree."},
      {"input": "a cow", "output": "animal", "explanation": "It eats."},
      {"input": "a dog", "output": "animal", "explanation": "It barks."},
    ],
    "Negative Examples": [
      {"input": "a cat", "output": "fruit", "explanation": "It is no fruit."}
    ],
    "Instances": [{"id": str(i), "input": x, "output": y} for i, (x, y) in instances],
  }


@pytest.fixture
def folder(tmp_path):
  """Three tasks of two categories, as files."""
  path = tmp_path / "tasks"
  path.mkdir()
  pairs = list(enumerate([("an apple", ["fruit", "a fruit"]), ("a hen", ["animal"])]))
  again = [(i, (f"{x} {i}", y)) for i, (x, y) in enumerate([p for _, p in pairs] * 3)]
  tasks = {
    "task001_kind": _task("Is it a fruit or an animal?", "Kinds", pairs),
    "task002_more": _task("Say what kind of thing this is.", "Kinds", again),
    "task003_copy": _task(
      "Repeat the words.", "Copying", [(0, ("cat dog", ["Cat dog."]))]
    ),
  }
  for name, task in tasks.items():
    (path / f"{name}.json").write_text(json.dumps(task))
  return path


@pytest.fixture(scope="session")
def tiny_model(small_vocab, small_vocab_path, tmp_path_factory):
  """A tiny T5 with its vocabulary beside it."""
  path = tmp_path_factory.mktemp("tiny")
  config = T5Config(
    vocab_size=small_vocab.size,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=16,
    mlp_activations=("gelu", "linear"),
  )
  params = init_params(Transformer(config), jax.random.key(1))
  save_weights(path / "tiny.safetensors", params, config)
  (path / "spiece.model").write_bytes(small_vocab_path.read_bytes())
  return str(path / "tiny.safetensors")
