"""Probes whose exemplars are looked up with their query."""

import collections
import dataclasses

import pytest

from symtune.probe.answer.baselines import score_by_neighbours
from symtune.probe.ask import Asker
from symtune.probe.probe import ExemplarSets
from symtune.probe.probes.exemplars.choice import ExemplarChoice, Way
from symtune.probe.probes.settings import FourSettings
from symtune.probe.probes.shots import NumberOfShots


def shown(item):
  return tuple((turn[-3], turn[-1]) for turn in item.prompt.turns[:-1])


@pytest.mark.parametrize("way", [ExemplarSets.SIMILAR, ExemplarSets.DISSIMILAR])
def test_queries_and_words_are_those_of_random_exemplars(toy_task, settings, way):
  looked_up = dataclasses.replace(settings, exemplars=way)
  probe = FourSettings()
  pairs = zip(
    probe.items(toy_task, settings), probe.items(toy_task, looked_up), strict=True
  )
  for drawn, found in pairs:
    assert drawn.key == found.key
    assert drawn.prompt.choices == found.prompt.choices
    assert drawn.prompt.turns[-1] == found.prompt.turns[-1]
    counts = collections.Counter(found.prompt.exemplar_labels)
    assert counts == collections.Counter(drawn.prompt.exemplar_labels)
    assert found.prompt.turns[-1][-2] not in [text for text, _ in shown(found)]


def test_random_is_another_name_of_per_query():
  assert ExemplarSets("random") is ExemplarSets.PER_QUERY


def test_fewer_similar_exemplars_are_the_last_ones(toy_task, settings):
  settings = dataclasses.replace(settings, exemplars=ExemplarSets.SIMILAR, seeds=(0,))
  by_query = collections.defaultdict(dict)
  for item in NumberOfShots().items(toy_task, settings):
    if item.setting.startswith("natural"):
      by_query[item.query][item.setting] = shown(item)
  for prompts in by_query.values():
    one, two = (prompts[f"natural, {number:02d} per class"] for number in (1, 2))
    assert set(one) <= set(two)
    assert one[-1] == two[-1]


def test_choice_asks_the_same_queries_in_every_way(toy_task, settings):
  items = list(ExemplarChoice().items(toy_task, settings))
  asked = collections.defaultdict(set)
  for item in items:
    asked[item.setting].add((item.seed, item.query))
  assert set(asked) == {f"{s}, {way}" for s in ("natural", "symbols") for way in Way}
  assert len({frozenset(some) for some in asked.values()}) == 1
  random = [i for i in items if i.setting == "natural, random"]
  own = Asker("exemplar_choice", toy_task, settings)
  assert random[0].prompt.exemplar_labels == tuple(
    e.label for e in own.episode(random[0].seed, own.queries[0]).exemplars
  )
  assert len(score_by_neighbours(items)) == len(items)
