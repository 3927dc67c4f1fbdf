"""Episodes are balanced, leak-free and depend on their key alone."""

import collections
import dataclasses

import hypothesis
import hypothesis.strategies as st
import pytest

from symtune.cards.card import Example
from symtune.data.episodes import EpisodeSource, Shots
from symtune.errors import SymtuneError


def test_k_exemplars_of_every_class_within_the_range(make_task):
  task = make_task(("animal", "fruit", "tool"))
  source = EpisodeSource(task, Shots(minimum=2, maximum=4))
  seen = set()
  for variant in range(40):
    exemplars = source.episode(task.examples[0], seed=0, variant=variant).exemplars
    counts = collections.Counter(d.label for d in exemplars)
    assert len(counts) == 3
    assert len(set(counts.values())) == 1
    assert len({d.row for d in exemplars}) == len(exemplars)
    seen.add(counts[0])
  assert seen == {2, 3, 4}


def test_classes_are_shuffled(toy_task):
  source = EpisodeSource(toy_task, Shots(minimum=4, maximum=4))
  orders = {
    tuple(
      d.label for d in source.episode(toy_task.examples[0], seed=0, variant=v).exemplars
    )
    for v in range(20)
  }
  assert len(orders) > 10


@hypothesis.given(st.integers(0, 47), st.integers(0, 2**31), st.integers(0, 1000))
def test_query_is_never_among_its_exemplars_by_row_or_text(
  make_task, row, seed, variant
):
  task = make_task(copies=2)
  source = EpisodeSource(task, Shots(minimum=10, maximum=10))
  query = task.examples[row]
  exemplars = source.episode(query, seed=seed, variant=variant).exemplars
  assert len(exemplars) == 20
  assert query.fields["text"] not in {d.fields["text"] for d in exemplars}


def test_case_and_white_space_do_not_hide_a_copy(toy_task):
  copy = Example(row=99, fields={"text": " CAT "}, label=0, split="train")
  task = dataclasses.replace(toy_task, examples=(*toy_task.examples, copy))
  source = EpisodeSource(task, Shots(minimum=11, maximum=11))
  for variant in range(10):
    exemplars = source.episode(copy, seed=0, variant=variant).exemplars
    assert "cat" not in {d.fields["text"] for d in exemplars}


def test_same_key_same_episode_whatever_the_order_of_calls(toy_task):
  shots = Shots(minimum=2, maximum=5)
  one, two = EpisodeSource(toy_task, shots), EpisodeSource(toy_task, shots)
  forward = [one.episode(q, seed=3, variant=0) for q in toy_task.examples]
  backward = [two.episode(q, seed=3, variant=0) for q in toy_task.examples[::-1]]
  assert forward == backward[::-1]


def test_seed_variant_query_and_fingerprint_all_matter(toy_task):
  shots = Shots(minimum=4, maximum=4)
  source = EpisodeSource(toy_task, shots)
  other = EpisodeSource(dataclasses.replace(toy_task, fingerprint="0" * 64), shots)
  first, second = toy_task.examples[:2]
  episodes = [
    source.episode(first, seed=0, variant=0),
    source.episode(first, seed=1, variant=0),
    source.episode(first, seed=0, variant=1),
    source.episode(second, seed=0, variant=0),
    other.episode(first, seed=0, variant=0),
  ]
  assert len({tuple(d.row for d in e.exemplars) for e in episodes}) == 5


def test_row_that_is_no_query_is_refused(toy_task):
  source = EpisodeSource(toy_task, Shots(minimum=1, maximum=1))
  stranger = dataclasses.replace(toy_task.examples[0], row=99)
  with pytest.raises(SymtuneError, match=r"row 99 is no query.*\['train'\]"):
    source.episode(stranger, seed=0, variant=0)


def test_fewer_rows_than_exemplars_names_task_class_and_count(toy_task):
  with pytest.raises(
    SymtuneError, match=r"toy_animal_fruit: class 'animal' has 12 .*12"
  ):
    EpisodeSource(toy_task, Shots(minimum=2, maximum=12))
  EpisodeSource(toy_task, Shots(minimum=2, maximum=11))


def test_empty_class_is_refused(toy_task):
  animals = tuple(e for e in toy_task.examples if e.label == 0)
  task = dataclasses.replace(toy_task, examples=animals)
  with pytest.raises(SymtuneError, match="class 'fruit' has 0 rows"):
    EpisodeSource(task, Shots(minimum=1, maximum=1))


def test_no_queries_is_refused(toy_task):
  card = dataclasses.replace(toy_task.card, query_splits=("validation",))
  task = dataclasses.replace(toy_task, card=card)
  with pytest.raises(SymtuneError, match=r"no rows in splits \['validation'\]"):
    EpisodeSource(task, Shots(minimum=1, maximum=1))


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2)])
def test_impossible_shots_are_refused(low, high):
  with pytest.raises(SymtuneError, match="exemplars per class"):
    Shots(minimum=low, maximum=high)
