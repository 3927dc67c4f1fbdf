"""Remapping swaps the tuple of label words and nothing else."""

import collections

import pytest

from symtune.data.episodes import EpisodeSource, Shots
from symtune.data.remap import LabelMap, flip_labels, remap_labels, scramble_labels
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError


@pytest.fixture
def episode(toy_task):
  source = EpisodeSource(toy_task, Shots(minimum=2, maximum=2))
  return source.episode(toy_task.examples[0], seed=0, variant=0)


def test_only_the_label_words_change(episode):
  remapped = remap_labels(episode, LabelMap(symbols=("X1", "X2")))
  assert remapped.label_words == ("X1", "X2")
  assert remapped.exemplars is episode.exemplars
  assert remapped.query is episode.query
  assert episode.label_words == ("animal", "fruit")


def test_two_classes_never_share_a_symbol():
  with pytest.raises(SymtuneError, match="must not share a symbol"):
    LabelMap(symbols=("X1", "X1"))


@pytest.mark.parametrize("symbol", ["animal", "Fruit"])
def test_symbol_equal_to_a_label_word_is_refused(episode, symbol):
  with pytest.raises(SymtuneError, match="label words of the task"):
    remap_labels(episode, LabelMap(symbols=("X1", symbol)))


def test_wrong_number_of_symbols_is_refused(episode):
  with pytest.raises(SymtuneError, match="got 3 symbols, expected 2"):
    remap_labels(episode, LabelMap(symbols=("X1", "X2", "X3")))


def test_flipping_swaps_the_words_and_twice_is_nothing(episode):
  flipped = flip_labels(episode)
  assert flipped.label_words == ("fruit", "animal")
  assert flipped.query.label == episode.query.label
  assert flip_labels(flipped) == episode


def test_flipping_three_classes_is_refused(make_task):
  task = make_task(("animal", "fruit", "tool"))
  source = EpisodeSource(task, Shots(minimum=1, maximum=1))
  with pytest.raises(SymtuneError, match="has 3 classes, expected 2"):
    flip_labels(source.episode(task.examples[0], seed=0, variant=0))


def test_scrambled_labels_are_independent_of_the_texts(toy_task):
  source = EpisodeSource(toy_task, Shots(minimum=4, maximum=4))
  pairs = collections.Counter()
  for variant in range(200):
    episode = source.episode(toy_task.examples[0], seed=0, variant=variant)
    scrambled = scramble_labels(episode, keyed_generator(0, variant))
    assert scrambled.label_words == episode.label_words
    for one, two in zip(
      (*episode.exemplars, episode.query),
      (*scrambled.exemplars, scrambled.query),
      strict=True,
    ):
      assert (one.row, one.fields) == (two.row, two.fields)
      pairs[one.label, two.label] += 1
  # 900 draws for each true class: half of them on either side, within four sigma.
  for true in (0, 1):
    total = pairs[true, 0] + pairs[true, 1]
    assert abs(pairs[true, 0] / total - 0.5) < 2 / total**0.5
