"""Task probes mean what they say: simulated models land where the definitions say."""

import collections
import dataclasses

import numpy as np
import pytest
import scipy.stats

from symtune.data.draw.draw import Asked, draw, read_draw
from symtune.data.draw.index import index_task
from symtune.data.draw.tables import DrawTables, Entry
from symtune.data.ingredients import Ingredient
from symtune.data.prompts import ALL_FORMATS, render_prompt
from symtune.data.remap import LabelMap, remap_labels
from symtune.data.rng import stream_key
from symtune.data.text.symbols import ALL_CATEGORIES, PoolSplit, make_pool
from symtune.errors import SymtuneError
from symtune.probe.answer.scorers import (
  make_random_scorer,
  score_by_context,
  score_by_oracle,
  score_by_prior,
)
from symtune.probe.probe import AnswerKind, Probe, ProbeSettings
from symtune.probe.probes.flip_share import FlipShare
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.format_sensitivity import FormatSensitivity
from symtune.probe.probes.label_semantics import LabelSemantics
from symtune.probe.probes.nonce_words import NonceWords, replace_words
from symtune.probe.probes.order_sensitivity import OrderSensitivity
from symtune.probe.probes.settings import FourSettings, Setting
from symtune.probe.probes.shots import NumberOfShots
from symtune.probe.probes.unrelated_labels import LABEL_SETS, UnrelatedLabels
from symtune.report.outcomes import Outcome

PROBES = (
  FourSettings(),
  FlippedLabels(),
  FlipShare(),
  UnrelatedLabels(),
  NumberOfShots(),
  OrderSensitivity(),
  FormatSensitivity(),
  LabelSemantics(),
  NonceWords(),
)


def _items(probe, tasks, settings):
  subjects = probe.subjects(tasks, settings)
  return [item for subject in subjects for item in probe.items(subject, settings)]


def _relabelled(task, *labels):
  return dataclasses.replace(task, card=dataclasses.replace(task.card, labels=labels))


@pytest.fixture(scope="module")
def tasks(make_task):
  return make_task(("animal", "fruit")), make_task(("animal", "fruit", "tool"))


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_oracle_scores_one(probe, tasks, settings, accuracy):
  found = accuracy(score_by_oracle, _items(probe, tasks, settings))
  assert set(found.values()) == {1.0}


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_random_scorer_stays_within_its_interval_of_chance(
  probe, tasks, settings, predict
):
  items = _items(probe, tasks[1:], settings)
  by_setting = collections.defaultdict(list)
  for item, score in zip(items, make_random_scorer(0)(items), strict=True):
    by_setting[item.setting].append(predict(item, score) == item.prompt.answer)
  for right in by_setting.values():
    # One interval for each of some fifty settings: 0.999 each.
    low, high = scipy.stats.binom.interval(0.999, len(right), 1 / 3)
    assert low <= sum(right) <= high


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_same_items_every_time_and_no_question_twice(probe, tasks, settings):
  items = _items(probe, tasks, settings)
  assert items == _items(probe, tasks, settings)
  assert len({item.key for item in items}) == len(items)
  assert isinstance(probe, Probe)


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_context_is_what_exemplars_of_the_querys_class_show(probe, tasks, settings):
  """By the class of each exemplar's text, known here, not by the labels beside it."""
  if probe.name == "nonce_words":
    pytest.skip("its texts are not those of the task")
  class_by_text = {
    example.fields["text"]: example.label for example in tasks[1].examples
  }
  for item in _items(probe, tasks[1:], settings):
    query = class_by_text[item.prompt.turns[-1][-2]]
    shown = collections.Counter(
      turn[-1] for turn in item.prompt.turns[:-1] if class_by_text[turn[-3]] == query
    ).most_common(2)
    tied = len(shown) == 2 and shown[0][1] == shown[1][1]
    expected = None if tied else item.prompt.choices.index(shown[0][0])
    assert item.context == expected


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_prior_is_the_natural_word_of_the_querys_class(probe, tasks, settings):
  class_by_text = {
    example.fields["text"]: example.label for example in tasks[1].examples
  }
  labels = tasks[1].card.labels
  for item in _items(probe, tasks[1:], settings):
    if item.prior is not None:
      query = class_by_text[item.prompt.turns[-1][-2]]
      assert item.prompt.choices[item.prior] == labels[query]


def test_settings_prior_only(toy_task, settings, accuracy):
  items = _items(FourSettings(), [toy_task], settings)
  found = accuracy(score_by_prior, items)
  # Symbols mean nothing: it then takes the first class.
  first = sum(item.prompt.answer == 0 for item in items) / len(items)
  assert found == {
    Setting.INSTRUCTION_AND_LABELS: 1.0,
    Setting.LABELS: 1.0,
    Setting.INSTRUCTION: first,
    Setting.NEITHER: first,
    Setting.LABELS_FIXED_FORMAT: 1.0,
    Setting.NEITHER_FIXED_FORMAT: first,
  }


def test_all_flipped_prior_only_is_always_wrong(tasks, settings, accuracy, outcomes):
  items = _items(FlippedLabels(), tasks, settings)
  assert accuracy(score_by_prior, items) == {"flipped": 0.0, "deranged": 0.0}
  assert accuracy(score_by_context, items) == {"flipped": 1.0, "deranged": 1.0}
  assert outcomes(score_by_prior, items) == {
    "flipped": {Outcome.PRIOR: 24},
    "deranged": {Outcome.PRIOR: 24},
  }
  assert outcomes(score_by_context, items)["deranged"] == {Outcome.CONTEXT: 24}


def test_flip_share_prior_only_is_right_and_context_only_follows(
  tasks, settings, accuracy
):
  items = _items(FlipShare(), tasks, settings)
  prior, context = accuracy(score_by_prior, items), accuracy(score_by_context, items)
  assert set(prior.values()) == {1.0}
  assert context["000% flipped"] == 1.0
  assert context["100% flipped"] == 0.0
  order = ["000%", "025%", "050%", "075%", "100%"]
  for kind in ("flipped", "deranged"):  # two classes, and more
    values = [context[f"{share} {kind}"] for share in order]
    assert values == sorted(values, reverse=True)


def test_flip_share_outcomes(tasks, settings, outcomes):
  items = _items(FlipShare(), tasks, settings)
  for scorer, outcome in (
    (score_by_context, Outcome.CONTEXT),
    (score_by_prior, Outcome.PRIOR),
  ):
    found = outcomes(scorer, items)
    for kind in ("flipped", "deranged"):
      assert set(found[f"000% {kind}"]) == {None}  # nothing tells them apart
      assert set(found[f"100% {kind}"]) == {outcome}
      assert set(found[f"050% {kind}"]) <= {outcome, None}


def test_flip_share_flips_that_share_and_keeps_the_target(toy_task, settings):
  by_query = collections.defaultdict(dict)
  for item in _items(FlipShare(), [toy_task], settings):
    by_query[item.seed, item.query][item.setting] = item
  class_by_text = {e.fields["text"]: e.label for e in toy_task.examples}
  for items in by_query.values():
    before = set()
    for share in (0, 25, 50, 75, 100):
      prompt = items[f"{share:03d}% flipped"].prompt
      flipped = {
        i
        for i, turn in enumerate(prompt.turns[:-1])
        if turn[-1] != toy_task.card.labels[class_by_text[turn[-3]]]
      }
      # Eleven of each class: twelve rows, one of which may be the query.
      assert len(prompt.exemplar_labels) == 22
      assert len(flipped) == round(share / 100 * 22)
      assert before <= flipped
      before = flipped
      assert prompt.answer == class_by_text[prompt.turns[-1][-2]]


def test_settings_share_queries_exemplars_and_formats(toy_task, settings):
  by_query = collections.defaultdict(list)
  for item in _items(FourSettings(), [toy_task], settings):
    by_query[item.seed, item.query].append(item)
  assert len(by_query) == 2 * 12
  for items in by_query.values():
    assert [item.setting for item in items] == list(Setting)
    assert len({item.prompt.exemplar_labels for item in items}) == 1
    assert items[1].prompt.turns[-1] == items[3].prompt.turns[-1]


def test_an_instruction_is_all_that_settings_of_equal_format_differ_in(
  toy_task, settings
):
  """The paper's settings change the format too, in all but one of ten prompts."""
  by_query = collections.defaultdict(dict)
  for item in _items(FourSettings(), [toy_task], settings):
    by_query[item.seed, item.query][item.setting] = item.prompt
  same = 0
  for prompts in by_query.values():
    for without, with_one, papers in (
      (Setting.NEITHER_FIXED_FORMAT, Setting.INSTRUCTION, Setting.NEITHER),
      (
        Setting.LABELS_FIXED_FORMAT,
        Setting.INSTRUCTION_AND_LABELS,
        Setting.LABELS,
      ),
    ):
      instructed = prompts[with_one].inputs
      assert "What is it?\n" in instructed
      assert prompts[without].inputs == instructed.replace("What is it?\n", "")
      assert prompts[without].choices == prompts[papers].choices
      same += prompts[without].inputs == prompts[papers].inputs
  assert same < len(by_query)


def test_prompts_are_those_that_are_drawn_for_their_query(toy_task, settings):
  """A probe's prompts and those of tuning are draws of the same function."""
  tables = DrawTables(
    [
      Entry(
        card=toy_task.card,
        index=index_task(toy_task),
        settings=Ingredient(min_shots=4, max_shots=4),
        pool=settings.pool,
        formats=ALL_FORMATS,
      )
    ]
  )
  for item in _items(FourSettings(), [toy_task], settings):
    one = np.asarray([item.query], np.int64)
    asked = Asked(positions=one, entries=np.zeros(1, np.int64), queries=one)
    draws = draw(tables, stream_key(item.seed, toy_task.fingerprint), asked)
    drawn = read_draw(tables, draws, 0, toy_task)
    if item.setting == "neither":
      episode = remap_labels(drawn.episode, LabelMap(symbols=drawn.label_words))
    elif item.setting == "labels":
      episode = drawn.episode
    else:
      continue
    expected = render_prompt(episode, drawn.prompt_format, instruction=False)
    assert item.prompt == expected


def test_symbols_are_of_the_evaluation_pool_alone(toy_task, settings, toy_pools):
  evaluation = set(toy_pools[1].all_symbols())
  for item in _items(FourSettings(), [toy_task], settings):
    if item.prior is None:
      assert set(item.prompt.choices) <= evaluation
    else:
      assert item.prompt.choices == toy_task.card.labels


def test_instruction_is_shown_in_two_of_four_settings(toy_task, settings):
  shown = collections.Counter(
    item.setting
    for item in _items(FourSettings(), [toy_task], settings)
    if "What is it?" in item.prompt.inputs
  )
  assert dict(shown) == {"instruction+labels": 24, "instruction": 24}


def test_derangements_leave_no_word_in_its_place(tasks, settings):
  seen = set()
  for item in _items(FlippedLabels(), tasks[1:], settings):
    own = tasks[1].card.labels
    assert sorted(item.prompt.choices) == sorted(own)
    assert all(a != b for a, b in zip(item.prompt.choices, own, strict=True))
    seen.add(item.prompt.choices)
  assert len(seen) == 2  # both derangements of three words


def test_unrelated_labels_are_fixed_and_reversed(tasks, settings):
  choices = {
    item.setting: item.prompt.choices
    for item in _items(UnrelatedLabels(), tasks[1:], settings)
  }
  assert choices["foo bar"] == ("Foo", "Bar", "Iff")
  assert choices["foo bar, reversed"] == ("Iff", "Bar", "Foo")
  assert choices["foo bar, generated"] == choices["foo bar"]
  assert len(choices) == 9


@pytest.mark.parametrize("probe", [FlipShare(), UnrelatedLabels(), NonceWords()])
def test_probes_of_the_larger_models_paper_show_sixteen_per_class(
  probe, make_task, toy_pools
):
  """In the paper's one format; a user's own number, or too few rows, give fewer."""
  tasks = make_task(copies=3), make_task()
  own = ProbeSettings(pool=toy_pools[1], max_queries=2, seeds=(0,))
  for settings, expected in (
    (own, (16, 11)),  # twelve rows a class, one of which may be the query
    (dataclasses.replace(own, many_shots=3), (3, 3)),
  ):
    for task, per_class in zip(tasks, expected, strict=True):
      for item in _items(probe, [task], settings):
        assert len(item.prompt.exemplar_labels) == 2 * per_class
        assert item.prompt.turns[-1][0] == "Input: "
        assert item.prompt.turns[-1][-1] == "\nOutput:"


def test_the_papers_number_has_to_be_positive(toy_pools):
  with pytest.raises(SymtuneError, match=r"many_shots 0.*--gin\.probe\.many_shots"):
    ProbeSettings(pool=toy_pools[1], many_shots=0)


@pytest.mark.parametrize(
  ("probe", "ranked"), [(FlipShare(), 5), (UnrelatedLabels(), 8)]
)
def test_answers_are_generated_too_to_the_same_questions(
  probe, ranked, toy_task, settings
):
  items = _items(probe, [toy_task], settings)
  by_setting = {(i.setting, i.seed, i.query): i for i in items}
  generated = [i for i in items if i.kind is AnswerKind.GENERATE]
  assert {i.setting for i in generated} == {
    f"{i.setting}, generated"
    for i in items
    if i.kind is AnswerKind.RANK and (ranked == 5 or i.setting == "foo bar")
  }
  for item in generated:
    name = item.setting.removesuffix(", generated")
    same = by_setting[name, item.seed, item.query]
    assert (same.prompt, same.context, same.prior) == (
      item.prompt,
      item.context,
      item.prior,
    )
    # What it would say instead of Foo or Bar.
    assert item.natural == (() if ranked == 5 else toy_task.card.labels)
  for changed in (
    dataclasses.replace(settings, also_generate=False),
    dataclasses.replace(settings, kind=AnswerKind.GENERATE),
  ):
    again = _items(probe, [toy_task], changed)
    assert len({item.setting for item in again}) == ranked
    assert {item.kind for item in again} == {changed.kind}


def test_label_sets_that_tuning_has_shown_say_so():
  tuned = make_pool(PoolSplit.TUNING, ALL_CATEGORIES)
  shown = {symbol for symbols in tuned.symbols.values() for symbol in symbols}
  for name, words in LABEL_SETS.items():
    assert bool(shown & set(words)) == name.endswith("(tuned on)")


def test_task_that_uses_a_word_of_the_sets_is_not_asked(make_task, settings):
  task = make_task(("animal", "fruit"))
  assert UnrelatedLabels().subjects([task], settings) == (task,)
  assert UnrelatedLabels().subjects([_relabelled(task, "bar", "x")], settings) == ()


def test_fewer_shots_are_the_first_of_more(toy_task, settings):
  by_query = collections.defaultdict(dict)
  for item in _items(NumberOfShots(), [toy_task], settings):
    by_query[item.seed, item.query][item.setting] = item.prompt
  for prompts in by_query.values():
    # Twelve rows a class, one of which may be the query: 8 is the most.
    assert set(prompts) == {
      f"{style}, {n:02d} per class"
      for style in ("natural", "symbols")
      for n in (1, 2, 4, 8)
    }
    for style in ("natural", "symbols"):
      most = prompts[f"{style}, 08 per class"]
      for n in (1, 2, 4, 8):
        prompt = prompts[f"{style}, {n:02d} per class"]
        assert collections.Counter(prompt.exemplar_labels) == {0: n, 1: n}
        turns = iter(most.turns)
        assert all(turn in turns for turn in prompt.turns)  # in the same order


def test_orders_differ_in_order_alone(toy_task, settings):
  by_query = collections.defaultdict(list)
  for item in _items(OrderSensitivity(), [toy_task], settings):
    by_query[item.seed, item.query].append(item.prompt.turns)
  for orders in by_query.values():
    assert len({frozenset(turns) for turns in orders}) == 1
    assert len(set(orders)) > 1


def test_formats_differ_in_cues_alone(toy_task, settings):
  by_query = collections.defaultdict(list)
  for item in _items(FormatSensitivity(), [toy_task], settings):
    texts = tuple((turn[-3], turn[-1]) for turn in item.prompt.turns[:-1])
    by_query[item.seed, item.query].append((texts, item.prompt.turns[-1]))
  for formats in by_query.values():
    assert len({texts for texts, _ in formats}) == 1
    assert len({turn for _, turn in formats}) == 10


def test_label_semantics_has_every_kind(tasks, settings):
  other, third = (_relabelled(tasks[0], "tool", "saw"), tasks[1])
  subjects = LabelSemantics().subjects([tasks[0], other, third], settings)
  words = [labels for _, labels in subjects]
  assert words == [("tool", "saw"), ("animal", "fruit"), ()]
  meaningful = _relabelled(tasks[0], "true", "false")
  asked = LabelSemantics().items((meaningful, ()), settings)
  synonyms = {i.prompt.choices for i in asked if i.setting == "synonym"}
  assert synonyms == {("correct", "wrong")}
  choices = {
    item.setting: item.prompt.choices
    for item in LabelSemantics().items(subjects[0], settings)
  }
  assert set(choices) == {"natural", "swapped", "other task", "nonce", "integers"}
  assert choices["other task"] == ("tool", "saw")
  assert choices["swapped"] == ("fruit", "animal")


def test_nonce_share_of_words_is_replaced_everywhere(toy_task, settings):
  by_query = collections.defaultdict(dict)
  for item in _items(NonceWords(), [toy_task], settings):
    by_query[item.seed, item.query][item.setting] = item.prompt
  for prompts in by_query.values():
    plain = [turn[-3] for turn in prompts["000% nonce"].turns[:-1]]
    for share in (25, 50, 75, 100):
      texts = [turn[-3] for turn in prompts[f"{share:03d}% nonce"].turns[:-1]]
      query = prompts[f"{share:03d}% nonce"].turns[-1][-2]
      changed = sum(a != b for a, b in zip(plain, texts, strict=True))
      changed += query != prompts["000% nonce"].turns[-1][-2]
      assert changed == round(share / 100 * 23)  # 23 texts of one word each
    assert prompts["100% nonce"].choices == toy_task.card.labels


def test_whole_words_are_replaced_whatever_their_case():
  nonce = {"cat": "dax", "it's": "no"}
  assert replace_words("Cat, concat; CAT 7!", nonce) == "dax, concat; dax 7!"


def test_at_most_max_queries_and_each_once(toy_task, toy_pools):
  settings = ProbeSettings(pool=toy_pools[1], max_queries=7)
  items = _items(FlippedLabels(), [toy_task], settings)
  assert {item.seed for item in items} == {0, 1, 2}  # by default
  assert len({item.query for item in items}) == 7
  assert len({item.key for item in items}) == len(items) == 7 * 3


def test_no_queries_or_seeds_are_refused(toy_pools):
  with pytest.raises(SymtuneError, match="expected at least one query"):
    ProbeSettings(pool=toy_pools[1], max_queries=0)
  with pytest.raises(SymtuneError, match="expected at least one query"):
    ProbeSettings(pool=toy_pools[1], seeds=())
  with pytest.raises(SymtuneError, match="expected each once"):
    ProbeSettings(pool=toy_pools[1], seeds=(0, 0))
