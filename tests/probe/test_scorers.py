"""ModelScorer batches by length and gives each item its own score."""

import numpy as np
import pytest

from symtune.data.episodes import Shots
from symtune.data.tokens import PromptTokenizer
from symtune.errors import SymtuneError
from symtune.probe.probe import ProbeSettings
from symtune.probe.scorers import ModelScorer
from symtune.probe.settings import FourSettings


@pytest.fixture
def items(make_task, toy_pools):
  settings = ProbeSettings(
    pool=toy_pools[1], shots=Shots(minimum=4, maximum=4), max_queries=10
  )
  tasks = make_task(("animal", "fruit")), make_task(("animal", "fruit", "tool"))
  return [item for task in tasks for item in FourSettings().items(task, settings)]


class _Fake:
  """Scores a candidate by its own ids and its prompt's; keeps the shapes it saw."""

  def __init__(self):
    self.shapes = []

  def __call__(self, inputs, targets):
    self.shapes.append((inputs.shape, targets.shape))
    prompt = np.where(inputs == 0, 0, inputs * np.arange(inputs.shape[1])).sum(axis=1)
    values = (targets * np.arange(1, targets.shape[2] + 1)).sum(axis=2)
    scores = -(values * 0.001 + prompt[:, None] * 1e-6)
    return np.where((targets > 0).any(axis=2), scores, -np.inf)


def _scorer(score_arrays, vocab, max_inputs=256, tokens_per_batch=512):
  tokenizer = PromptTokenizer(
    vocab, max_inputs=max_inputs, max_targets=8, min_demos_per_class=0
  )
  return ModelScorer(score_arrays, tokenizer, tokens_per_batch=tokens_per_batch)


def test_scores_do_not_depend_on_batches_or_order(items, toy_vocab):
  together = _scorer(_Fake(), toy_vocab)(items)
  backward = _scorer(_Fake(), toy_vocab, tokens_per_batch=64)(items[::-1])
  assert together == backward[::-1]
  assert [len(s.log_likelihoods) for s in together[:40]] == [2] * 40
  assert [len(s.log_likelihoods) for s in together[40:]] == [3] * 40


def test_few_shapes_and_bounded_batches(items, toy_vocab):
  fake = _Fake()
  _scorer(fake, toy_vocab)(items)
  assert len(set(fake.shapes)) <= 4
  assert all(rows * length <= 512 for (rows, length), _ in fake.shapes)


def test_demos_that_do_not_fit_are_dropped_and_reported(items, toy_vocab):
  plain = [i for i in items if i.setting in ("labels", "neither")]
  # Exemplars are 3 or 4 tokens long; with an arrow for a cue they are shorter.
  cues = [i for i in plain if i.prompt.turns[-1][0] == "Input: "]
  scores = _scorer(_Fake(), toy_vocab, max_inputs=24)(cues)
  assert {s.demos for s in scores} == {(24 - 1 - 3) // 4}


def test_query_that_does_not_fit_is_named(items, toy_vocab):
  with pytest.raises(SymtuneError, match=r"task toy_animal_fruit, query row \d+: "):
    _scorer(_Fake(), toy_vocab, max_inputs=3)(items)


def test_scores_that_are_not_finite_are_refused(items, toy_vocab):
  def broken(inputs, targets):
    return np.full(targets.shape[:2], np.nan)

  with pytest.raises(SymtuneError, match="expected finite ones"):
    _scorer(broken, toy_vocab)(items)
