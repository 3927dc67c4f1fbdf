"""Simulated answers, judged as rows are."""

import collections

import pytest

from symtune.data.draw.index import Shots
from symtune.probe.probe import AnswerKind, ProbeSettings, parse_answer
from symtune.report.outcomes import judge


def _predict(item, score):
  if item.kind is AnswerKind.GENERATE:
    return parse_answer(score.text, item.prompt.choices)
  return score.log_likelihoods.index(max(score.log_likelihoods))


@pytest.fixture(scope="session")
def predict():
  """(item, score) -> index of the chosen choice, or None."""
  return _predict


@pytest.fixture(scope="session")
def accuracy():
  """(score function, items) -> share of right answers by setting."""

  def measure(score, items):
    right, total = collections.Counter(), collections.Counter()
    for item, answer in zip(items, score(items), strict=True):
      right[item.setting] += _predict(item, answer) == item.prompt.answer
      total[item.setting] += 1
    return {setting: right[setting] / total[setting] for setting in total}

  return measure


@pytest.fixture(scope="session")
def outcomes():
  """(score function, items) -> {setting: {outcome: count}}."""

  def measure(score, items):
    found = collections.defaultdict(collections.Counter)
    for item, answer in zip(items, score(items), strict=True):
      found[item.setting][judge(_predict(item, answer), item.context, item.prior)] += 1
    return {setting: dict(counts) for setting, counts in found.items()}

  return measure


@pytest.fixture
def settings(toy_pools):
  return ProbeSettings(
    pool=toy_pools[1],
    shots=Shots(minimum=4, maximum=4),
    max_queries=12,
    seeds=(0, 1),
  )
