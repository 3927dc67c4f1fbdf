"""One decoder by its native and its Transformers reader: same prompts and scores."""

import pytest

from symtune.experiment.answerers import open_answerers
from symtune.experiment.tokens import Reader

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

WORDS = ["good", "a bad film", "the film", "so good and so bad", "bad", "x"]


@pytest.mark.parametrize("family", ["gpt2", "qwen"])
def test_both_drop_the_same_exemplars_at_any_limit(family, family_folder, make_item):
  folder = family_folder(family)
  items = [
    make_item([*WORDS, query], choices, cue)
    for query in ("good", "the bad old film")
    for choices in (("good", "bad"), ("4921", "x", "film"))
    for cue in (("Input: ", "\nOutput:"), ("", " ->"))
  ]
  lost = set()
  for limit in (40, 80, 110, 200):
    native, theirs = (
      answerer.read().score(items)
      for answerer in open_answerers(
        [str(folder), f"transformers:{folder}"], Reader(max_inputs=limit), None
      )
    )
    assert [s.exemplars for s in theirs] == [s.exemplars for s in native]
    for ours, found in zip(native, theirs, strict=True):
      assert found.log_likelihoods == pytest.approx(ours.log_likelihoods, abs=1e-4)
    lost |= {6 - score.exemplars for score in theirs}
  assert {0, 1, 4} <= lost
