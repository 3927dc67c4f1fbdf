"""Decoder-only models that Transformers wrote; see golden/make_decoder_golden.py."""

import pathlib
import shutil
import tarfile
from collections.abc import Callable

import pytest

GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "decoder_models.tar.xz"
VARIANTS = (
  "llama",
  "llama3",
  "mistral",
  "qwen2",
  "qwen3",
  "gemma3",
  "gpt_neox",
  "gpt_neox_in_turn",
  "gpt2",
)


@pytest.fixture(scope="session")
def golden(tmp_path_factory) -> pathlib.Path:
  """One folder per variant, which tests must not change."""
  folder = tmp_path_factory.mktemp("decoders")
  with tarfile.open(GOLDEN) as archive:
    archive.extractall(folder, filter="data")
  return folder


@pytest.fixture(params=VARIANTS)
def model_folder(request, golden) -> pathlib.Path:
  """The folder of each variant in turn."""
  return golden / request.param


@pytest.fixture
def copy_of(golden, tmp_path) -> Callable[[str], pathlib.Path]:
  """(variant) -> a copy of its folder, which a test may damage."""
  return lambda variant: shutil.copytree(golden / variant, tmp_path / variant)
