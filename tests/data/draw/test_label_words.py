"""Symbols are uniform, distinct, never near a label, and keep their pool's rules."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
import scipy.stats

from symtune.data.draw.label_words import LabelWords, WordSource, draw_symbols
from symtune.data.draw.words import Use, draw_words
from symtune.data.rng import keyed_generator
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  SymbolRules,
  make_pool,
)
from symtune.errors import SymtuneError

TUNING = PoolSplit.TUNING
WORDS, INTEGERS = SymbolCategory.WORDS, SymbolCategory.INTEGERS
MANY = 6000


def _draw(pool, labels, count=None, prompts=MANY):
  """The symbols of many prompts of one task."""
  words = LabelWords([WordSource(labels=labels, pool=pool)])
  count, positions = count or len(labels), np.arange(prompts)
  drawn = words.draw(
    np.zeros(prompts, np.int64),
    np.full(prompts, count),
    lambda block, open_: draw_words(3, Use.SYMBOLS, positions[open_], block),
  )
  texts = [words.text(number) for number in drawn.tolist()]
  return [tuple(texts[i : i + count]) for i in range(0, len(texts), count)]


def _pool(**symbols):
  return SymbolPool(
    split=TUNING, symbols={SymbolCategory(name): s for name, s in symbols.items()}
  )


def test_category_is_uniform_then_the_symbol_inside_it():
  pool = _pool(integers=("1",), words=("ant", "bee", "cod", "doe"))
  counts = collections.Counter(s for (s,) in _draw(pool, ("yes", "no"), 1))
  assert abs(counts.pop("1") / MANY - 0.5) < 0.03
  assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_ordered_pairs_are_uniform():
  pool = _pool(words=("ant", "bee", "cod", "doe", "elk"))
  counts = collections.Counter(_draw(pool, ("yes", "no")))
  assert set(counts) == set(itertools.permutations(pool.all_symbols(), 2))
  assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_uneven_pools_are_drawn_as_by_drawing_again():
  """What is drawn second is uniform over categories once the first is set aside."""
  pool = _pool(integers=("1",), words=("ant", "bee", "cod", "doe"))
  counts = collections.Counter(_draw(pool, ("yes", "no")))
  # First "1": then a word. First a word (1/8): then "1" in 4/7, another word in 1/7.
  expected = {("1", w): 1 / 8 for w in ("ant", "bee", "cod", "doe")}
  for first, second in itertools.permutations(("ant", "bee", "cod", "doe"), 2):
    expected[first, second] = 1 / 8 * 1 / 7
  expected |= {(w, "1"): 1 / 8 * 4 / 7 for w in ("ant", "bee", "cod", "doe")}
  keys = sorted(expected)
  found = scipy.stats.chisquare(
    [counts[key] for key in keys], [MANY * expected[key] for key in keys]
  )
  assert found.pvalue > 1e-3


def test_symbols_are_distinct_and_never_a_label_or_a_word_of_one():
  pool = _pool(words=("positive", "SENTIMENT", "Negative", "ox", "Ox", "yak"))
  labels = ("Positive Sentiment", "Negative Sentiment")
  for drawn in _draw(pool, labels, prompts=200):
    assert {s.casefold() for s in drawn} == {"ox", "yak"}


def test_synonyms_of_a_label_are_never_drawn():
  pool = make_pool(TUNING, (WORDS,))
  small = dataclasses.replace(
    pool, symbols={WORDS: ("good", "positive", "table", "river")}
  )
  labels = ("Positive Sentiment", "Negative Sentiment")
  for drawn in _draw(small, labels, prompts=50):
    assert set(drawn) == {"table", "river"}
  # They may stand for the classes of another task.
  assert any("good" in drawn for drawn in _draw(small, ("x", "y"), prompts=50))


@pytest.mark.parametrize("prefix_free", [False, True])
@pytest.mark.parametrize("same_length", [False, True])
def test_rules_hold_in_every_draw(prefix_free, same_length, small_vocab):
  rules = SymbolRules(prefix_free=prefix_free, same_length=same_length)
  pool = make_pool(TUNING, (INTEGERS,), 200, rules=rules, vocab=small_vocab)
  broken = 0
  for drawn in _draw(pool, ("x", "y"), 4, prompts=150):
    ids = [small_vocab.encode(symbol).tolist() for symbol in drawn]
    prefixes = any(b[: len(a)] == a for a, b in itertools.permutations(ids, 2))
    lengths = len({len(i) for i in ids}) > 1
    assert not (prefix_free and prefixes)
    assert not (same_length and lengths)
    broken += prefixes or lengths
  assert (broken > 0) == (not same_length)


def test_rules_of_one_source_do_not_bind_another(small_vocab):
  rules = SymbolRules(same_length=True)
  strict = make_pool(TUNING, (INTEGERS,), 200, rules=rules, vocab=small_vocab)
  free = make_pool(TUNING, (INTEGERS,), 200)
  words = LabelWords([WordSource(labels=("x",), pool=pool) for pool in (strict, free)])
  positions = np.arange(300)
  drawn = words.draw(
    positions % 2,
    np.full(300, 3),
    lambda block, open_: draw_words(3, Use.SYMBOLS, positions[open_], block),
  )
  lengths = [len(small_vocab.encode(words.text(number))) for number in drawn.tolist()]
  kinds = [len(set(lengths[i : i + 3])) for i in range(0, 900, 3)]
  assert set(kinds[::2]) == {1}
  assert max(kinds[1::2]) > 1


def test_pools_that_are_too_small_say_how_many_are_usable(small_vocab):
  pool = _pool(words=("yes", "ox"))
  with pytest.raises(SymtuneError, match="got 1 usable symbols for 2 labels"):
    _draw(pool, ("yes", "no"), prompts=1)
  rules = SymbolRules(same_length=True)
  pool = make_pool(TUNING, (INTEGERS,), 12, rules=rules, vocab=small_vocab)
  with pytest.raises(SymtuneError, match=r"same_length=True.*drop a rule"):
    _draw(pool, ("x",), 11, prompts=1)


def test_a_first_symbol_that_nothing_goes_with_is_drawn_again(small_vocab):
  symbols = ("99999999", "1", "2")
  assert len(small_vocab.encode(symbols[0])) > len(small_vocab.encode("1"))
  pool = dataclasses.replace(
    _pool(integers=symbols), rules=SymbolRules(same_length=True), vocab=small_vocab
  )
  drawn = _draw(pool, ("x", "y"), prompts=60)
  assert {frozenset(pair) for pair in drawn} == {frozenset(("1", "2"))}
  # Prompts of more classes that need no second attempt may stand beside them.
  other = make_pool(TUNING, (INTEGERS,), 50)
  words = LabelWords(
    [WordSource(labels=("x",), pool=pool), WordSource(labels=("x",), pool=other)]
  )
  positions = np.arange(60)
  found = words.draw(
    positions % 2,
    np.where(positions % 2, 4, 2),
    lambda block, open_: draw_words(3, Use.SYMBOLS, positions[open_], block),
  )
  texts = [words.text(number) for number in found.tolist()]
  assert {frozenset(texts[i : i + 2]) for i in range(0, 180, 6)} == {
    frozenset(("1", "2"))
  }


def test_a_pool_without_symbols_is_refused():
  for pool in (_pool(), _pool(words=())):
    with pytest.raises(SymtuneError, match="expected at least one, each with symbols"):
      WordSource(labels=("a", "b"), pool=pool)


def test_fixed_and_drawn_words_stand_side_by_side(toy_pools):
  words = LabelWords(
    [
      WordSource(labels=("no", "yes")),
      WordSource(labels=("a", "b", "c"), pool=toy_pools[0]),
    ]
  )
  positions = np.arange(3)
  drawn = words.draw(
    np.asarray([1, 0, 1]),
    np.asarray([3, 2, 3]),
    lambda block, open_: draw_words(3, Use.SYMBOLS, positions[open_], block),
  )
  texts = [words.text(number) for number in drawn.tolist()]
  assert texts[3:5] == ["no", "yes"]
  assert set(texts[:3] + texts[5:]) <= set(toy_pools[0].all_symbols())
  assert [words.texts()[number] for number in drawn.tolist()] == texts
  assert len(words) == len(words.texts())


def test_symbols_of_a_single_prompt_come_from_its_generator(toy_pools):
  words = LabelWords([WordSource(labels=(), pool=toy_pools[0])])
  one, two = (draw_symbols(keyed_generator(5), words, 4) for _ in range(2))
  assert one == two
  assert len(set(one)) == 4
  assert draw_symbols(keyed_generator(6), words, 4) != one
