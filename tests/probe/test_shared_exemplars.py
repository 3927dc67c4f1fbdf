"""With exemplars per seed, all queries of a task follow one set of exemplars."""

import collections
import dataclasses

import pytest

from symtune.data.draw.index import index_task
from symtune.errors import SymtuneError
from symtune.probe.answer.scorers import score_by_context, score_by_oracle
from symtune.probe.ask import Asker
from symtune.probe.probe import ExemplarSets
from symtune.probe.probes.flip_share import FlipShare
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.format_sensitivity import FormatSensitivity
from symtune.probe.probes.label_semantics import LabelSemantics
from symtune.probe.probes.order_sensitivity import OrderSensitivity
from symtune.probe.probes.settings import FourSettings
from symtune.probe.probes.shots import NumberOfShots
from symtune.probe.probes.unrelated_labels import UnrelatedLabels


def _shared(settings, **changes):
  return dataclasses.replace(settings, exemplars=ExemplarSets.PER_SEED, **changes)


_SHARE = [
  FourSettings(),
  FlippedLabels(),
  FlipShare(),
  UnrelatedLabels(),
  OrderSensitivity(),
  FormatSensitivity(),
  NumberOfShots(),
  LabelSemantics(),
]


@pytest.mark.parametrize("probe", _SHARE, ids=lambda probe: probe.name)
def test_all_queries_of_a_seed_can_follow_the_same_exemplars(probe, toy_task, settings):
  settings = _shared(settings, max_queries=4)
  (subject,) = probe.subjects((toy_task,), settings)
  items = list(probe.items(subject, settings))
  shown = collections.defaultdict(set)
  for item in items:
    *exemplars, query = item.prompt.turns
    cues = (*query[:-2], query[-1])  # all but the query's text
    shown[item.setting, item.seed].add((*exemplars, cues, item.prompt.choices))
  assert {len(starts) for starts in shown.values()} == {1}
  # Another seed shows others.
  assert any(shown[name, 0] != shown[name, 1] for name, seed in shown if seed == 0)
  # The same questions are asked as with exemplars of each query's own.
  own = dataclasses.replace(settings, exemplars=ExemplarSets.PER_QUERY)
  (subject,) = probe.subjects((toy_task,), own)
  assert {i.key for i in items} <= {i.key for i in probe.items(subject, own)}


def test_nothing_of_any_querys_group_is_a_shared_exemplar(make_task, settings):
  """Every text stands in two rows, which form a group."""
  settings = _shared(settings, max_queries=4)
  task = make_task(("animal", "fruit"), copies=2)
  index = index_task(task)
  groups = {e.row: index.groups[n] for n, e in enumerate(task.examples)}
  asker = Asker("any", task, settings)
  asked = {groups[query.row] for query in asker.queries}
  for seed in settings.seeds:
    for query in asker.queries:
      shown = {groups[e.row] for e in asker.episode(seed, query).exemplars}
      assert len(asker.episode(seed, query).exemplars) == 8
      assert not shown & asked


def test_a_task_without_rows_for_shared_exemplars_says_what_to_do(toy_task, settings):
  every = _shared(settings, max_queries=10_000)
  with pytest.raises(SymtuneError, match=r"lower the exemplars.*probe.max_queries"):
    list(FourSettings().items(toy_task, every))


def test_baselines_answer_such_questions(toy_task, settings, accuracy):
  items = list(FlippedLabels().items(toy_task, _shared(settings, max_queries=4)))
  assert accuracy(score_by_oracle, items) == {"flipped": 1.0}
  assert accuracy(score_by_context, items) == {"flipped": 1.0}
