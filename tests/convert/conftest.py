"""Checkpoints that other programs wrote, and tiny ones of our own."""

import dataclasses
import pathlib
import tarfile

import jax
import numpy as np
import optax
import pytest

from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS
from symtune.train.state import create_state
from symtune.train.weights import config_dict

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


@dataclasses.dataclass(frozen=True)
class T5XGolden:
  """Folders of T5X's checkpoints, and the arrays they hold."""

  root: pathlib.Path

  def folder(self, network: str, layout: str) -> pathlib.Path:
    return self.root / network / layout / "checkpoint_1000"

  def arrays(self, network: str, prefix: str) -> dict[str, np.ndarray]:
    with np.load(self.root / network / "arrays.npz") as file:
      return {
        name.removeprefix(prefix): file[name]
        for name in file.files
        if name.startswith(prefix)
      }


@pytest.fixture
def t5x_golden(tmp_path) -> T5XGolden:
  """A fresh copy, which a test may damage."""
  with tarfile.open(GOLDEN / "t5x_checkpoints.tar.xz") as archive:
    archive.extractall(tmp_path / "t5x", filter="data")
  return T5XGolden(tmp_path / "t5x")


@pytest.fixture
def huggingface_golden(tmp_path) -> pathlib.Path:
  """Folders that Transformers wrote, one per variant; a test may damage them."""
  with tarfile.open(GOLDEN / "huggingface_models.tar.xz") as archive:
    archive.extractall(tmp_path / "hf", filter="data")
  return tmp_path / "hf"


@pytest.fixture
def small_run(tmp_path) -> pathlib.Path:
  """The folder of a run's only checkpoint, which a test may damage."""
  config = T5Config(
    vocab_size=16,
    emb_dim=4,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=2,
    mlp_dim=4,
  )
  state = create_state(
    init_params(Transformer(config), jax.random.key(0)), optax.sgd(0.1), 0
  )
  return checkpoint.save(
    tmp_path / "run" / CHECKPOINTS,
    state,
    {},
    config_hash="x",
    config={"model": config_dict(config), "vocab": None},
  )
