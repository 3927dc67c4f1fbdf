"""Skills ask what the prompt says; nothing in them depends on a text's label."""

import dataclasses
import re

import numpy as np
import pytest

from symtune.data.ingredients import Ingredient, Skill, SkillKind
from symtune.data.mixture import Mixture
from symtune.data.prompts import ALL_FORMATS, PromptFormat
from symtune.data.rng import keyed_generator
from symtune.data.skills import SkillMaker
from symtune.errors import SymtuneError


def _maker(kind, task, pool, formats=ALL_FORMATS, **settings):
  items = {"min_items": 2, "max_items": 4} | settings
  return SkillMaker(Skill(kind=kind, **items), (task,), pool, formats)


def _draw(maker, count=200):
  generators = (keyed_generator(0, "test", i) for i in range(count))
  return [maker.prompt(rng) for rng in generators]


def _texts(task):
  return {task.card.input_text(example) for example in task.examples}


def _read_pairs(prompt):
  """The texts and symbols of a look-up in arrow format, and what is asked."""
  *shown, asked = prompt.inputs.split("\n\n")
  pairs = dict(line.split(" -> ") for line in shown)
  assert len(pairs) == len(shown) == len(set(pairs.values()))
  return pairs, asked.removesuffix(" ->")


def test_a_look_up_answers_with_the_symbol_beside_the_same_text(toy_task, toy_pools):
  maker = _maker(
    SkillKind.LOOK_UP, toy_task, toy_pools[0], formats=(PromptFormat.ARROW,)
  )
  counts = set()
  for prompt in _draw(maker):
    pairs, asked = _read_pairs(prompt)
    assert prompt.choices == (pairs[asked],)
    assert pairs.keys() <= _texts(toy_task)
    counts.add(len(pairs))
  assert counts == {2, 3, 4}


def test_a_text_that_is_not_there_has_the_last_symbol(toy_task, toy_pools):
  maker = _maker(SkillKind.MISS, toy_task, toy_pools[0], formats=(PromptFormat.ARROW,))
  for prompt in _draw(maker):
    pairs, asked = _read_pairs(prompt)
    assert asked in _texts(toy_task) - pairs.keys()
    assert prompt.choices == (list(pairs.values())[-1],)


def test_a_description_fits_one_text_only(toy_task, toy_pools):
  maker = _maker(
    SkillKind.DESCRIBE, toy_task, toy_pools[0], formats=(PromptFormat.ARROW,)
  )
  labels = {
    toy_task.card.input_text(e): toy_task.card.labels[e.label]
    for e in toy_task.examples
  }
  for prompt in _draw(maker):
    pairs, asked = _read_pairs(prompt)
    (text,) = (t for t in pairs if labels[t] == asked)
    assert prompt.choices == (pairs[text],)


def test_the_text_to_find_is_the_only_one_of_its_class(toy_task, toy_pools):
  maker = _maker(SkillKind.FIND, toy_task, toy_pools[0], formats=(PromptFormat.Q_A,))
  labels = {
    toy_task.card.input_text(e): toy_task.card.labels[e.label]
    for e in toy_task.examples
  }
  places = set()
  for prompt in _draw(maker):
    *texts, question, cue = prompt.inputs.split("\n")
    assert cue == "A:"
    found = [t for t in texts if labels[t] == question.removeprefix("Q: ")]
    assert prompt.choices == tuple(found)
    places.add((len(texts), texts.index(found[0])))
  assert {n for n, _ in places} == {2, 3, 4}
  assert len(places) == 2 + 3 + 4


def test_every_format_is_drawn(toy_task, toy_pools):
  prompts = _draw(_maker(SkillKind.LOOK_UP, toy_task, toy_pools[0]))
  assert {prompt.turns[0][-1] for prompt in prompts} == {
    f.value[1] for f in ALL_FORMATS
  }


def test_a_copy_repeats_its_symbols_in_order(toy_task, toy_pools):
  known = set(toy_pools[0].all_symbols())
  for prompt in _draw(_maker(SkillKind.COPY, toy_task, toy_pools[0])):
    assert prompt.choices == (prompt.inputs.strip(),)
    assert set(prompt.inputs.split()) <= known


def test_filling_the_blanks_gives_the_texts_back(toy_task, toy_pools):
  words = {word for text in _texts(toy_task) for word in text.split()}
  for prompt in _draw(_maker(SkillKind.FILL_IN, toy_task, toy_pools[0])):
    (target,) = prompt.choices
    blanks = dict(re.findall(r"(<extra_id_\d+>) (\S+)", target))
    assert list(blanks) == [f"<extra_id_{i}>" for i in range(len(blanks))]
    filled = [blanks.pop(word, word) for word in prompt.inputs.split()]
    assert not blanks
    assert set(filled) <= words


def test_labels_are_not_read_but_to_find(toy_task, toy_pools):
  other = dataclasses.replace(
    toy_task,
    examples=tuple(dataclasses.replace(e, label=0) for e in toy_task.examples),
  )
  for kind in set(SkillKind) - {SkillKind.FIND, SkillKind.DESCRIBE}:
    one = _draw(_maker(kind, toy_task, toy_pools[0]), 20)
    assert one == _draw(_maker(kind, other, toy_pools[0]), 20)


@pytest.mark.parametrize(("one_task", "mixed"), [(False, True), (True, False)])
def test_texts_are_of_all_tasks_or_of_one(make_task, toy_pools, one_task, mixed):
  tasks = (make_task(("animal", "fruit")), make_task(("tool", "fruit")))
  skill = Skill(kind=SkillKind.FILL_IN, min_items=3, max_items=3, one_task=one_task)
  animals, tools = (_texts(t) - _texts(u) for t, u in (tasks, tasks[::-1]))
  prompts = _draw(SkillMaker(skill, tasks, toy_pools[0], ALL_FORMATS))
  words = [set(prompt.inputs.split()) for prompt in prompts]
  assert any(w & animals and w & tools for w in words) == mixed


def test_bad_numbers_of_items_are_refused(toy_task, toy_pools):
  with pytest.raises(SymtuneError, match="got 3 to 2 items"):
    _maker(SkillKind.COPY, toy_task, toy_pools[0], min_items=3, max_items=2)
  with pytest.raises(SymtuneError, match="got 24 different texts, expected more than"):
    _maker(SkillKind.LOOK_UP, toy_task, toy_pools[0], max_items=1000)


def test_a_mixture_draws_skills_at_their_rate(toy_task, toy_pools):
  skill = (Skill(kind=SkillKind.COPY, min_items=1, max_items=2, rate=3.0), (toy_task,))
  mixture = Mixture([(Ingredient(), (toy_task,)), skill], toy_pools[0], seed=0)
  is_copy = [len(p.choices) == 1 for p in mixture.prompts(range(2000))]
  assert abs(np.mean(is_copy) - 0.75) < 0.03
  assert mixture.fingerprints == (toy_task.fingerprint, toy_task.fingerprint)
