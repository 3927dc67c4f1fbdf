"""Probes mean what they say: oracle, prior-only and random scorers land as defined."""

import collections

import pytest
import scipy.stats

from symtune.data.episodes import Shots
from symtune.data.mixture import LabelStyle
from symtune.errors import SymtuneError
from symtune.probe.flipped_labels import FlippedLabels
from symtune.probe.probe import Probe, ProbeSettings
from symtune.probe.scorers import make_random_scorer, score_by_oracle, score_by_prior
from symtune.probe.settings import FourSettings, Setting

PROBES = (FourSettings(), FlippedLabels())


@pytest.fixture
def settings(toy_pools):
  return ProbeSettings(
    pool=toy_pools[1],
    shots=Shots(minimum=4, maximum=4),
    max_queries=24,
    seeds=(0, 1, 2, 3, 4),
  )


def _accuracy(score, items):
  """Share of right answers by setting."""
  right = collections.Counter()
  total = collections.Counter()
  for item, answer in zip(items, score(items), strict=True):
    values = answer.log_likelihoods
    right[item.setting] += values.index(max(values)) == item.prompt.answer
    total[item.setting] += 1
  return {setting: right[setting] / total[setting] for setting in total}, total


def _items(task, settings):
  return [item for probe in PROBES for item in probe.items(task, settings)]


def test_oracle_is_always_right(toy_task, settings):
  accuracy, _ = _accuracy(score_by_oracle, _items(toy_task, settings))
  assert accuracy == {**dict.fromkeys(Setting, 1.0), "flipped": 1.0}


def test_prior_only_is_right_with_relevant_labels_and_wrong_with_flipped_ones(
  toy_task, settings
):
  accuracy, _ = _accuracy(score_by_prior, _items(toy_task, settings))
  assert accuracy["instruction+labels"] == accuracy["labels"] == 1.0
  assert accuracy["flipped"] == 0.0
  # Symbols mean nothing: it always takes the first class, which is half of the queries.
  assert accuracy["neither"] == accuracy["instruction"] == 0.5


def test_random_scorer_stays_within_its_interval_of_chance(make_task, settings):
  task = make_task(("animal", "fruit", "tool"))
  items = list(FourSettings().items(task, settings))
  accuracy, total = _accuracy(make_random_scorer(0), items)
  for setting in Setting:
    n = total[setting]
    low, high = scipy.stats.binom.interval(0.99, n, 1 / 3)
    assert low <= accuracy[setting] * n <= high


def test_settings_share_queries_exemplars_and_formats(toy_task, settings):
  by_query = collections.defaultdict(list)
  for item in FourSettings().items(toy_task, settings):
    by_query[item.seed, item.query].append(item)
  assert len(by_query) == 5 * 24
  for items in by_query.values():
    assert [item.setting for item in items] == list(Setting)
    assert len({item.prompt.demo_labels for item in items}) == 1
    natural, symbols = items[1].prompt, items[3].prompt
    assert natural.turns[-1] == symbols.turns[-1]


def test_symbols_are_of_the_evaluation_pool_alone(toy_task, settings, toy_pools):
  evaluation = set(toy_pools[1].all_symbols())
  for item in FourSettings().items(toy_task, settings):
    if item.labels is LabelStyle.SYMBOLS:
      assert set(item.prompt.choices) <= evaluation
    else:
      assert item.prompt.choices == toy_task.card.labels


def test_instruction_is_shown_in_two_of_four_settings(toy_task, settings):
  shown = collections.Counter(
    item.setting
    for item in FourSettings().items(toy_task, settings)
    if "What is it?" in item.prompt.inputs
  )
  assert dict(shown) == {"instruction+labels": 120, "instruction": 120}


def test_flipped_swaps_exemplars_and_answer(toy_task, settings):
  for item in FlippedLabels().items(toy_task, settings):
    assert item.prompt.choices == ("fruit", "animal")
    query = item.prompt.turns[-1][-2]
    natural = toy_task.card.labels[item.prompt.answer]
    expected = {"animal": "fruit", "fruit": "animal"}[natural]
    assert item.prompt.choices[item.prompt.answer] == expected
    assert query not in {turn[-3] for turn in item.prompt.turns[:-1]}


def test_flipped_is_for_two_classes(make_task):
  assert FlippedLabels().accepts(make_task(("animal", "fruit")))
  assert not FlippedLabels().accepts(make_task(("animal", "fruit", "tool")))


def test_at_most_max_queries_and_each_once(toy_task, toy_pools):
  settings = ProbeSettings(pool=toy_pools[1], max_queries=7)
  items = list(FlippedLabels().items(toy_task, settings))
  assert len({item.query for item in items}) == len(items) == 7


def test_every_probe_meets_the_protocol():
  assert all(isinstance(probe, Probe) for probe in PROBES)


def test_no_queries_or_seeds_are_refused(toy_pools):
  with pytest.raises(SymtuneError, match="expected at least one of each"):
    ProbeSettings(pool=toy_pools[1], max_queries=0)
  with pytest.raises(SymtuneError, match="expected at least one of each"):
    ProbeSettings(pool=toy_pools[1], seeds=())
  with pytest.raises(SymtuneError, match="expected each once"):
    ProbeSettings(pool=toy_pools[1], seeds=(0, 0))
