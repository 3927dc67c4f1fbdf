"""A flipped bit of a run folder is named, mended, or changes nothing."""

import importlib.util
import pathlib

import pytest

pytestmark = pytest.mark.usefixtures("compile_cache")


@pytest.fixture(scope="module")
def bit_flips():
  path = pathlib.Path(__file__).with_name("bit_flips.py")
  spec = importlib.util.spec_from_file_location("bit_flips", path)
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_flipped_bits_are_named_or_change_nothing(bit_flips, tmp_path):
  """A flip in each kind of file; `make fuzz` makes 500."""
  flips = list(bit_flips.flip_bits(12, seed=1, home=tmp_path))
  wrong = [f for f in flips if f.outcome in ("silent difference", "traceback")]
  assert wrong == []
  named = {flip.file.parts[1] for flip in flips if flip.outcome == "named"}
  assert {"checkpoints", "results.jsonl"} <= named
  tokens = {flip.outcome for flip in flips if flip.file.parts[0] == bit_flips.CACHE}
  assert tokens == {"mended"}
