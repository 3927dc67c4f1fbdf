"""Exemplars that are looked up: order, balance, and what is never shown."""

import dataclasses
import pickle

import numpy as np
import pytest

from symtune.cards.card import Example
from symtune.cards.examples import fingerprint
from symtune.data.draw.index import index_task
from symtune.data.draw.lookup import ExemplarIndex, Likeness, Lookup
from symtune.errors import SymtuneError

# Words in common with the query "red green blue one": 3, 3, 2, 2, 1, 1, 0, 0.
TEXTS = (
  ("red green blue two", 0),
  ("red green blue six", 0),
  ("red green ten ten", 0),
  ("red green nine nine", 1),
  ("red many other words", 1),
  ("green quite some words", 1),
  ("nothing at all here", 0),
  ("another text of words", 1),
)


@pytest.fixture
def task(toy_task):
  """The texts above, and the query as the last example, twice."""
  examples = [
    Example(row=i, fields={"text": text}, label=label, split="train")
    for i, (text, label) in enumerate(TEXTS)
  ]
  examples += [
    Example(row=i, fields={"text": "red green blue one"}, label=0, split=split)
    for i, split in ((8, "train"), (9, "validation"))
  ]
  card = dataclasses.replace(
    toy_task.card, fields=("text",), template="{text}", passage=None
  )
  return dataclasses.replace(
    toy_task,
    card=card,
    examples=tuple(examples),
    fingerprint=fingerprint(card, examples),
  )


def choose(task, k, **settings):
  index = ExemplarIndex(task, index_task(task))
  rng = np.random.default_rng(0)
  return index.choose(9, k, 2, Lookup(**settings), rng).tolist()


def test_most_similar_stands_last_and_classes_are_balanced(task):
  assert choose(task, 1) in ([3, 0], [3, 1])
  chosen = choose(task, 2)
  assert set(chosen[2:]) == {0, 1}
  assert chosen[1] == 3
  assert chosen[0] in (4, 5)


def test_unbalanced_exemplars_are_the_most_similar_of_any_class(task):
  chosen = choose(task, 2, balanced=False)
  assert set(chosen[2:]) == {0, 1}
  assert set(chosen[:2]) == {2, 3}


def test_dissimilar_exemplars_have_least_in_common(task):
  chosen = choose(task, 1, likeness=Likeness.DISSIMILAR)
  assert set(chosen) == {6, 7}
  assert set(choose(task, 2, likeness=Likeness.DISSIMILAR)[:2]) == {6, 7}


def test_nothing_of_the_querys_group_is_shown(task):
  """Row 8 has the query's text."""
  for settings in ({}, {"balanced": False}):
    assert 8 not in choose(task, 3, **settings)
    assert 9 not in choose(task, 3, **settings)


def test_equal_similarity_is_ordered_at_random(task):
  index = pickle.loads(pickle.dumps(ExemplarIndex(task, index_task(task))))
  last = {
    int(index.choose(9, 1, 2, Lookup(), np.random.default_rng(seed))[-1])
    for seed in range(20)
  }
  assert last == {0, 1}


def test_shares_outside_of_0_to_1_are_refused():
  with pytest.raises(SymtuneError, match=r"a share of 1\.5"):
    Lookup(share=1.5)
