"""Checkpoints that other programs wrote, and tiny ones of our own."""

import dataclasses
import pathlib
import tarfile

import numpy as np
import pytest

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
