"""ModelScorer batches by length, asks once, and gives each item its own score."""

import dataclasses

import numpy as np
import pytest

from symtune.data.draw.index import Shots
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError
from symtune.probe.answer.cache import DiskCache
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.padded_batches import PaddedBatches
from symtune.probe.probe import AnswerKind, ProbeSettings, TellsProgress
from symtune.probe.probes.settings import FourSettings


@pytest.fixture
def items(make_task, toy_pools):
  settings = ProbeSettings(
    pool=toy_pools[1], shots=Shots(minimum=4, maximum=4), max_queries=10, seeds=(0,)
  )
  tasks = make_task(("animal", "fruit")), make_task(("animal", "fruit", "tool"))
  return [item for task in tasks for item in FourSettings().items(task, settings)]


class _Fake:
  """Scores an edge by its token, its node and the prompt; keeps the shapes it saw."""

  identity = "fake"

  def __init__(self):
    self.shapes = []
    self.rows = 0

  def _prompt(self, inputs):
    return (inputs * np.arange(inputs.shape[1])).sum(axis=1)

  def score(self, inputs, trees):
    self.shapes.append((inputs.shape, trees.tokens.shape))
    self.rows += int(inputs.any(axis=1).sum())
    tokens = np.take_along_axis(trees.tokens, trees.edge_nodes, axis=1)
    values = trees.edge_tokens * 0.001 + tokens * 0.01
    return -(values + self._prompt(inputs)[:, None] * 1e-6)

  def generate(self, inputs, max_length):
    self.shapes.append((inputs.shape, max_length))
    ids = np.zeros((len(inputs), max_length), np.int32)
    ids[:, 0] = 3 + self._prompt(inputs) % 5
    ids[:, 1], ids[:, 2] = 1, 7  # what follows EOS does not count
    return ids


def _scorer(model, vocab, max_inputs=256, tokens_per_batch=512, **options):
  tokenizer = PromptTokenizer(
    vocab, max_inputs=max_inputs, max_targets=8, min_exemplars_per_class=0
  )
  return ModelScorer(model, tokenizer, tokens_per_batch=tokens_per_batch, **options)


def test_answered_items_are_told_batch_by_batch(items, toy_vocab):
  """Each item once, also one whose question was asked before; answers stay the same."""
  scorer, told = _scorer(_Fake(), toy_vocab, tokens_per_batch=64), []
  assert isinstance(scorer, TellsProgress)
  scorer.on_answered = told.append
  asked = [*items, *items[:7]]
  assert scorer(asked) == _scorer(_Fake(), toy_vocab)(asked)
  assert sum(told) == len(asked)
  assert len(told) > 5
  assert max(told) < len(asked) / 4


def test_scores_do_not_depend_on_batches_or_order(items, toy_vocab):
  together = _scorer(_Fake(), toy_vocab)(items)
  backward = _scorer(_Fake(), toy_vocab, tokens_per_batch=64)(items[::-1])
  assert together == backward[::-1]
  assert [len(s.log_likelihoods) for s in together[:60]] == [2] * 60
  assert [len(s.log_likelihoods) for s in together[60:]] == [3] * 60
  assert {s.tokens for s in together} == {(2, 2), (2, 2, 2)}  # a word and EOS


def test_a_score_is_the_sum_over_its_own_edges(items, toy_vocab):
  item = items[1]
  score = _scorer(_Fake(), toy_vocab)([item])[0]
  ids = np.array([*toy_vocab.encode(item.prompt.inputs), 1])
  prompt = (ids * np.arange(len(ids))).sum() * 1e-6
  for word, value in zip(item.prompt.choices, score.log_likelihoods, strict=True):
    token = int(toy_vocab.encode(word)[0])
    expected = -(token * 0.001 + prompt) - (0.001 + token * 0.01 + prompt)
    assert value == pytest.approx(expected, abs=1e-12)


def test_few_shapes_and_bounded_batches(items, toy_vocab):
  fake = _Fake()
  _scorer(fake, toy_vocab)(items)
  assert len(set(fake.shapes)) <= 4
  assert all(rows * length <= 512 for (rows, length), _ in fake.shapes)


@pytest.mark.parametrize(
  ("tokens", "length"),
  [(1, 64), (64, 64), (65, 80), (129, 160), (512, 512), (523, 640), (5000, 4096)],
)
def test_rows_have_four_lengths_per_doubling(toy_vocab, tokens, length):
  tokenizer = PromptTokenizer(toy_vocab, max_inputs=4096, max_targets=8)
  batches = PaddedBatches(_Fake(), tokenizer, tokens_per_batch=512)
  assert batches.row_length(tokens) == length


def test_equal_questions_are_asked_once(items, toy_vocab):
  fake = _Fake()
  other = [dataclasses.replace(item, probe="other") for item in items]
  scores = _scorer(fake, toy_vocab)([*items, *other])
  assert scores[: len(items)] == scores[len(items) :]
  distinct = {(i.prompt.turns, i.prompt.choices) for i in items}
  assert fake.rows == len(distinct)


def test_cached_answers_are_not_asked_again_and_are_equal(items, toy_vocab, tmp_path):
  path = tmp_path / "scores.sqlite"
  first = _scorer(_Fake(), toy_vocab, cache=DiskCache(path))(items)
  fake = _Fake()
  again = _scorer(fake, toy_vocab, cache=DiskCache(path))(items)
  assert again == first
  assert fake.rows == 0
  changed = _Fake()
  changed.identity = "another checkpoint"
  _scorer(changed, toy_vocab, cache=DiskCache(path))(items)
  assert changed.rows > 0
  elsewhere = _Fake()
  _scorer(elsewhere, toy_vocab, cache=DiskCache(path), runtime="another release")(items)
  assert elsewhere.rows > 0


def test_a_batch_that_is_cached_in_part_gives_the_cached_values(items, toy_vocab):
  """Numbers may depend on the batch in the last bit; the first answer stays."""
  cache = _FirstStays()
  first = _scorer(_Fake(), toy_vocab, cache=cache)(items[:5])

  class Other(_Fake):
    def score(self, inputs, trees):
      return super().score(inputs, trees) - 1.0

  again = _scorer(Other(), toy_vocab, cache=cache)(items)
  assert again[:5] == first


class _FirstStays:
  """A cache in memory with the two functions that the scorer uses."""

  def __init__(self):
    self.values = {}

  def get(self, keys):
    return {key: self.values[key] for key in keys if key in self.values}

  def put(self, values):
    self.values = {**values, **self.values}


def test_generated_answers_end_before_eos(items, toy_vocab):
  asked = [dataclasses.replace(item, kind=AnswerKind.GENERATE) for item in items]
  scores = _scorer(_Fake(), toy_vocab)(asked)
  words = {toy_vocab.decode([i]) for i in range(3, 8)}
  assert {score.text for score in scores} <= words
  assert {score.log_likelihoods for score in scores} == {()}


def test_exemplars_that_do_not_fit_are_dropped_and_reported(items, toy_vocab):
  plain = [i for i in items if i.setting in ("labels", "neither")]
  # Exemplars are 3 or 4 tokens long; with an arrow for a cue they are shorter.
  cues = [i for i in plain if i.prompt.turns[-1][0] == "Input: "]
  scores = _scorer(_Fake(), toy_vocab, max_inputs=24)(cues)
  assert {s.exemplars for s in scores} == {(24 - 1 - 3) // 4}


def test_query_that_does_not_fit_is_named(items, toy_vocab):
  with pytest.raises(SymtuneError, match=r"task toy_animal_fruit, query row \d+: "):
    _scorer(_Fake(), toy_vocab, max_inputs=3)(items)


def test_scores_that_are_not_finite_are_refused(items, toy_vocab):
  class Broken(_Fake):
    def score(self, inputs, trees):
      return np.full(trees.edge_nodes.shape, np.nan)

  with pytest.raises(SymtuneError, match="expected finite ones"):
    _scorer(Broken(), toy_vocab)(items)
