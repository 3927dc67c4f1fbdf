"""The tuning stream is a pure function of seed and position."""

import collections
import dataclasses

import pytest

from symtune.data.ingredients import Ingredient, LabelStyle, Mixing
from symtune.data.mixture import Mixture
from symtune.errors import SymtuneError


def _ingredient(*tasks, **settings):
  return (Ingredient(min_shots=2, max_shots=3, **settings), tasks)


def test_same_seed_and_position_same_prompt(toy_task, toy_pools):
  one, two = (Mixture([_ingredient(toy_task)], toy_pools[0], seed=5) for _ in range(2))
  forward = [one.prompt(i) for i in range(30)]
  assert [two.prompt(i) for i in reversed(range(30))] == forward[::-1]
  other = Mixture([_ingredient(toy_task)], toy_pools[0], seed=6)
  assert [other.prompt(i) for i in range(30)] != forward


def test_every_prompt_draws_format_symbols_and_shots_afresh(toy_task, toy_pools):
  mixture = Mixture([_ingredient(toy_task)], toy_pools[0], seed=0)
  prompts = mixture.prompts(range(200))
  assert len({p.choices for p in prompts}) > 150
  assert (
    len({(p.turns[0][0], p.turns[-1][-1]) for p in prompts if len(p.turns[0]) == 4})
    == 9
  )
  assert {len(p.exemplar_labels) for p in prompts} == {4, 6}
  tuning = set(toy_pools[0].all_symbols())
  assert all(set(p.choices) <= tuning for p in prompts)
  assert not any("What is it?" in p.inputs for p in prompts)


def test_rates_and_rows_decide_how_often_a_task_is_drawn(make_task, toy_pools):
  small = make_task(("animal", "fruit"))
  large = make_task(("fruit", "tool"), copies=3)
  natural = _ingredient(
    make_task(("animal", "tool")), labels=LabelStyle.NATURAL, rate=3.0
  )
  mixture = Mixture([_ingredient(small, large), natural], toy_pools[0], seed=0)
  prompts = mixture.prompts(range(4000))
  shares = collections.Counter(
    "natural" if p.choices == ("animal", "tool") else "symbols" for p in prompts
  )
  assert abs(shares["natural"] / 4000 - 0.75) < 0.03


@pytest.mark.parametrize(
  ("mixing", "share"), [(Mixing.PROPORTIONAL, 0.25), (Mixing.UNIFORM, 0.5)]
)
def test_mixing_weights(make_task, toy_pools, mixing, share):
  tasks = make_task(("animal", "fruit")), make_task(("tool", "fruit"), copies=3)
  mixture = Mixture(
    [_ingredient(*tasks, labels=LabelStyle.NATURAL)],
    toy_pools[0],
    seed=0,
    mixing=mixing,
  )
  drawn = [p.choices[0] for p in mixture.prompts(range(3000))]
  assert abs(drawn.count("animal") / 3000 - share) < 0.03


def test_nothing_to_mix_is_refused(toy_pools, toy_task):
  with pytest.raises(SymtuneError, match="got 0 ingredients"):
    Mixture([], toy_pools[0], seed=0)
  with pytest.raises(SymtuneError, match="rates"):
    Mixture([_ingredient(toy_task, rate=-1.0)], toy_pools[0], seed=0)
  with pytest.raises(SymtuneError, match="sum to 0"):
    Mixture([_ingredient(toy_task, rate=0.0)], toy_pools[0], seed=0)


def test_labels_of_more_than_two_classes_are_not_flipped(make_task, toy_pools):
  task = make_task(labels=("animal", "fruit", "tool"))
  with pytest.raises(SymtuneError, match="3 classes to flip, expected 2"):
    Mixture([(Ingredient(labels=LabelStyle.FLIPPED), (task,))], toy_pools[0], seed=0)


def test_no_formats_are_refused(toy_task, toy_pools):
  with pytest.raises(SymtuneError, match="got no formats"):
    Mixture([(Ingredient(), (toy_task,))], toy_pools[0], seed=0, formats=())


def test_fingerprints_name_the_data(toy_task, toy_pools):
  other = dataclasses.replace(toy_task, fingerprint="0" * 64)
  mixture = Mixture([_ingredient(toy_task, other)], toy_pools[0], seed=0)
  assert mixture.fingerprints == ("f" * 64, "0" * 64)


def test_borrowed_labels_are_those_of_other_tasks(toy_task, toy_pools):
  card = dataclasses.replace(toy_task.card, labels=("red", "blue"))
  tasks = (toy_task, dataclasses.replace(toy_task, card=card))
  ingredient = _ingredient(*tasks, labels=LabelStyle.BORROWED)
  mixture = Mixture([ingredient], toy_pools[0], seed=0)
  maps = collections.Counter(p.choices for p in mixture.prompts(range(200)))
  assert maps.keys() == {
    *(("red", "blue"), ("blue", "red"), ("animal", "fruit"), ("fruit", "animal"))
  }
  with pytest.raises(SymtuneError, match="got 0 usable symbols"):
    Mixture(
      [_ingredient(toy_task, labels=LabelStyle.BORROWED)], toy_pools[0], seed=0
    ).prompt(0)


def test_words_of_evaluation_labels_are_never_borrowed(toy_task, toy_pools):
  others = [
    dataclasses.replace(
      toy_task, card=dataclasses.replace(toy_task.card, labels=labels)
    )
    for labels in (("red", "blue"), ("green", "grey"))
  ]
  ingredient = _ingredient(toy_task, *others, labels=LabelStyle.BORROWED)
  mixture = Mixture([ingredient], toy_pools[0], seed=0, reserved=("RED",))
  words = {word for p in mixture.prompts(range(200)) for word in p.choices}
  assert words == {"blue", "green", "grey", "animal", "fruit"}
  labels = ["red", "blue", "green", "grey", *toy_task.card.labels]
  with pytest.raises(SymtuneError, match="got no words for the label style borrowed"):
    Mixture([ingredient], toy_pools[0], seed=0, reserved=labels)


def test_text_words_are_words_of_the_texts_and_never_label_words(toy_task, toy_pools):
  texts = " ".join(toy_task.card.input_text(e) for e in toy_task.examples).split()
  ingredient = _ingredient(toy_task, labels=LabelStyle.TEXT_WORDS)
  mixture = Mixture([ingredient], toy_pools[0], seed=0, reserved=(texts[0],))
  words = {word for p in mixture.prompts(range(300)) for word in p.choices}
  assert words == set(texts) - {texts[0], *toy_task.card.labels}
