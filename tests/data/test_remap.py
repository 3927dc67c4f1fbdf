"""Remapping swaps the tuple of label words and nothing else."""

import pytest

from symtune.data.episodes import Episode
from symtune.data.remap import LabelMap, remap_labels, with_words
from symtune.errors import SymtuneError


@pytest.fixture
def episode(toy_task):
  cat, *exemplars = (toy_task.examples[i] for i in (0, 13, 3, 5, 20))
  return Episode(
    card=toy_task.card,
    label_words=toy_task.card.labels,
    exemplars=tuple(exemplars),
    query=cat,
  )


def test_only_the_label_words_change(episode):
  remapped = remap_labels(episode, LabelMap(symbols=("X1", "X2")))
  assert remapped.label_words == ("X1", "X2")
  assert remapped.exemplars is episode.exemplars
  assert remapped.query is episode.query
  assert episode.label_words == ("animal", "fruit")


def test_two_classes_never_share_a_symbol():
  with pytest.raises(SymtuneError, match="each class needs its own symbol"):
    LabelMap(symbols=("X1", "X1"))


@pytest.mark.parametrize("symbol", ["animal", "Fruit"])
def test_symbol_equal_to_a_label_word_is_refused(episode, symbol):
  with pytest.raises(SymtuneError, match="label words of the task"):
    remap_labels(episode, LabelMap(symbols=("X1", symbol)))


def test_wrong_number_of_symbols_is_refused(episode):
  with pytest.raises(SymtuneError, match="got 3 symbols, expected 2"):
    remap_labels(episode, LabelMap(symbols=("X1", "X2", "X3")))


def test_other_words_may_be_the_tasks_own(episode):
  flipped = with_words(episode, episode.label_words[::-1])
  assert flipped.label_words == ("fruit", "animal")
  assert flipped.query.label == episode.query.label
  assert with_words(flipped, flipped.label_words[::-1]) == episode
