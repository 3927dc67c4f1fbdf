"""A flipped bit of a run folder is named, mended, or changes nothing."""

import pytest

pytestmark = pytest.mark.usefixtures("compile_cache")


def test_flipped_bits_are_named_or_change_nothing(tmp_path):
  """A flip in each kind of file; `make fuzz` makes 500."""
  import bit_flips  # it chooses the CPU for JAX, which other tests may not want

  flips = list(bit_flips.flip_bits(12, seed=1, home=tmp_path))
  wrong = [f for f in flips if f.outcome in ("silent difference", "traceback")]
  assert wrong == []
  named = {flip.file.parts[1] for flip in flips if flip.outcome == "named"}
  assert {"checkpoints", "results.jsonl"} <= named
  tokens = {flip.outcome for flip in flips if flip.file.parts[0] == bit_flips.CACHE}
  assert tokens == {"mended"}
