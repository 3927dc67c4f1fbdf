"""Prompts are balanced, leak-free, uniform, and depend on their own key alone."""

import collections
import dataclasses
import itertools
import json
import pathlib
import runpy

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats

from symtune.cards.card import Example
from symtune.cards.load import load_suite
from symtune.data.draw.draw import pick_entries, read_draw
from symtune.data.draw.index import Shots, check_shots, index_task, most_shots
from symtune.data.ingredients import LabelStyle
from symtune.data.prompts import ALL_FORMATS
from symtune.data.ragged import starts_of
from symtune.errors import SymtuneError

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"
MANY = 4000


def _is_uniform(counts, possible: int) -> bool:
  """Whether all outcomes occur about equally often (chi-square, p above 0.001)."""
  found = [*counts.values()] + [0] * (possible - len(counts))
  assert len(found) == possible
  return scipy.stats.chisquare(found).pvalue > 1e-3


def _prompts(draws) -> list[list[int]]:
  """The examples of each prompt, the query last."""
  ends = np.cumsum(draws.turns)[:-1]
  return [turns.tolist() for turns in np.split(draws.examples, ends)]


def _small(task, per_class: int):
  """The task with only so many rows of each class."""
  kept, seen = [], collections.Counter()
  for example in task.examples:
    seen[example.label] += 1
    if seen[example.label] <= per_class:
      kept.append(dataclasses.replace(example, row=len(kept)))
  return dataclasses.replace(task, examples=tuple(kept))


def test_k_exemplars_of_every_class_within_the_range(make_task, make_tables, draw_at):
  task = make_task(("animal", "fruit", "tool"))
  draws = draw_at(make_tables(task, shots=(2, 4)), range(MANY))
  seen = collections.Counter()
  for *exemplars, query in _prompts(draws):
    counts = collections.Counter(task.examples[e].label for e in exemplars)
    assert len(counts) == 3
    assert len(set(counts.values())) == 1
    assert len(set(exemplars)) == len(exemplars)
    assert query not in exemplars
    seen[counts[0]] += 1
  assert _is_uniform(seen, 3)


def test_exemplars_are_uniform_subsets(make_task, make_tables, draw_at):
  task = _small(make_task(), 5)
  draws = draw_at(make_tables(task), range(MANY), query=0)
  first, second = collections.Counter(), collections.Counter()
  for *exemplars, _ in _prompts(draws):
    first[frozenset(e for e in exemplars if e < 5)] += 1
    second[frozenset(e for e in exemplars if e >= 5)] += 1
  assert _is_uniform(first, 6)  # 2 of the 4 that are not the query
  assert _is_uniform(second, 10)


def test_orders_are_uniform_and_say_nothing_of_the_classes(
  make_task, make_tables, draw_at
):
  task = _small(make_task(), 3)
  draws = draw_at(make_tables(task), range(MANY), query=0)
  labels, orders = collections.Counter(), collections.Counter()
  for *exemplars, _ in _prompts(draws):
    labels[tuple(task.examples[e].label for e in exemplars)] += 1
    orders[tuple(sorted(exemplars).index(e) for e in exemplars)] += 1
  assert _is_uniform(labels, 6)
  assert _is_uniform(orders, 24)


def test_queries_and_formats_are_uniform(toy_task, make_tables, draw_at):
  draws = draw_at(make_tables(toy_task), range(MANY))
  queries = collections.Counter(prompt[-1] for prompt in _prompts(draws))
  assert _is_uniform(queries, len(toy_task.examples))
  assert _is_uniform(collections.Counter(draws.formats.tolist()), len(ALL_FORMATS))


def test_entries_come_by_their_shares():
  picked = pick_entries(np.asarray([0.25, 0.25, 1.0]), 7, np.arange(MANY))
  counts = np.bincount(picked, minlength=3)
  assert counts[1] == 0
  assert abs(counts[0] / MANY - 0.25) < 0.03


@hypothesis.given(
  st.lists(st.integers(0, 6), min_size=30, max_size=60), st.integers(0, 2**63)
)
@hypothesis.settings(
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_nothing_with_the_querys_text_is_an_exemplar(
  make_task, make_tables, draw_at, texts, stream
):
  task = make_task()
  examples = tuple(
    Example(row=row, fields={"text": f"text {text}"}, label=row % 2, split="train")
    for row, text in enumerate(texts)
  )
  task = dataclasses.replace(task, examples=examples)
  most = most_shots(index_task(task))
  hypothesis.assume(most >= 1)
  tables = make_tables(task, shots=(most, most))
  for *exemplars, query in _prompts(draw_at(tables, range(8), stream=stream)):
    assert len(exemplars) == len(set(exemplars)) == 2 * most
    shown = {task.examples[e].fields["text"] for e in exemplars}
    assert task.examples[query].fields["text"] not in shown


def test_case_and_white_space_do_not_hide_a_copy(toy_task, make_tables, draw_at):
  copy = Example(row=24, fields={"text": " CAT "}, label=0, split="train")
  task = dataclasses.replace(toy_task, examples=(*toy_task.examples, copy))
  for *exemplars, _ in _prompts(
    draw_at(make_tables(task, shots=(11, 11)), range(10), query=24)
  ):
    assert "cat" not in {task.examples[e].fields["text"] for e in exemplars}


def test_near_copies_and_rows_of_one_passage_are_in_one_group(make_task):
  task = make_task()
  card = dataclasses.replace(
    task.card, fields=("text", "ask"), template="{text} {ask}", passage="text"
  )
  long = "one two three four five six seven eight nine ten"
  texts = [
    ("The cat sat.", "why"),
    ("the cat sat", "who"),  # the same passage
    (long, "what"),
    (long.replace("six", "6"), "what"),  # one word differs
    ("my cone", "what"),
    ("my cube", "what"),  # short texts that differ do differ
  ]
  examples = tuple(
    Example(row=row, fields={"text": text, "ask": ask}, label=row % 2, split="train")
    for row, (text, ask) in enumerate(texts)
  )
  task = dataclasses.replace(task, card=card, examples=examples)
  assert index_task(task).groups.tolist() == [0, 0, 1, 1, 2, 3]
  card = dataclasses.replace(card, passage=None)
  alone = index_task(dataclasses.replace(task, card=card))
  assert alone.groups.tolist() == [0, 1, 2, 2, 3, 4]


def test_a_prompt_is_the_same_alone_and_among_others(make_task, make_tables, draw_at):
  one, two = make_task(), make_task(("animal", "fruit", "tool"))
  both = make_tables(one, two, labels=LabelStyle.SYMBOLS, shots=(1, 9))
  alone = make_tables(one, labels=LabelStyle.SYMBOLS, shots=(1, 9))
  whole = draw_at(both, range(40))
  text = both.label_words.text
  for position in (0, 7, 39):
    single = draw_at(alone, [position])
    assert _prompts(single)[0] == _prompts(whole)[position]
    assert single.formats[0] == whole.formats[position]
    words = [text(w) for w in whole.label_words.tolist()[2 * position :][:2]]
    assert [alone.label_words.text(w) for w in single.label_words.tolist()] == words
  far = draw_at(alone, [3, 5000, 2**40])
  assert _prompts(far)[0] == _prompts(whole)[3]
  assert _prompts(far)[2] == _prompts(draw_at(alone, [2**40]))[0]


def test_settings_of_one_query_share_exemplars_and_format(
  toy_task, make_tables, draw_at
):
  styles = [s for s in LabelStyle if s is not LabelStyle.BORROWED]
  natural, *others = (
    draw_at(make_tables(toy_task, labels=style, shots=(2, 5)), range(50))
    for style in styles
  )
  for draws in others:
    np.testing.assert_array_equal(draws.examples, natural.examples)
    np.testing.assert_array_equal(draws.formats, natural.formats)


def test_scrambled_prompts_are_symbol_prompts_with_labels_that_say_nothing(
  make_task, make_tables, draw_at
):
  task = make_task(("animal", "fruit", "tool"))
  symbols, scrambled = (
    draw_at(make_tables(task, labels=style, shots=(1, 3)), range(MANY))
    for style in (LabelStyle.SYMBOLS, LabelStyle.SCRAMBLED)
  )
  np.testing.assert_array_equal(scrambled.label_words, symbols.label_words)
  pairs = collections.Counter(
    zip(symbols.classes.tolist(), scrambled.classes.tolist(), strict=True)
  )
  for label in range(3):
    counts = {new: pairs[label, new] for new in range(3)}
    assert _is_uniform(counts, 3)


def test_draws_are_read_as_text(make_task, make_tables, draw_at):
  one, two = make_task(), make_task(("fruit", "tool"))
  tables = make_tables(one, two, labels=LabelStyle.FLIPPED)
  draws = draw_at(tables, range(5), entry=1)
  for number in range(5):
    drawn = read_draw(tables, draws, number, two)
    assert drawn.label_words == ("tool", "fruit")
    assert drawn.episode.label_words == ("fruit", "tool")
    first = 24 + drawn.episode.query.row
    assert _prompts(draws)[number][-1] == first
    assert starts_of(draws.turns)[number] == 5 * number
    assert drawn.prompt_format is ALL_FORMATS[draws.formats[number]]


def test_fewer_rows_than_exemplars_names_task_class_and_count(toy_task):
  index = index_task(toy_task)
  assert most_shots(index) == 11
  check_shots(index, toy_task.card, Shots(minimum=2, maximum=11))
  with pytest.raises(
    SymtuneError, match=r"toy_animal_fruit: class 'animal' has 12 .*12"
  ):
    check_shots(index, toy_task.card, Shots(minimum=2, maximum=12))


def test_empty_class_is_refused(toy_task):
  animals = tuple(e for e in toy_task.examples if e.label == 0)
  index = index_task(dataclasses.replace(toy_task, examples=animals))
  assert most_shots(index) == 0
  with pytest.raises(SymtuneError, match="class 'fruit' has 0 rows"):
    check_shots(index, toy_task.card, Shots(minimum=1, maximum=1))


def test_no_queries_is_refused(toy_task):
  card = dataclasses.replace(toy_task.card, query_splits=("validation",))
  with pytest.raises(SymtuneError, match=r"no rows in splits \['validation'\]"):
    index_task(dataclasses.replace(toy_task, card=card))


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2)])
def test_impossible_shots_are_refused(low, high):
  with pytest.raises(SymtuneError, match="exemplars per class"):
    Shots(minimum=low, maximum=high)


def test_prompts_are_those_of_the_golden_file():
  """Made by make_draws_golden.py; if they change, raise DRAWS_VERSION."""
  make_golden = runpy.run_path(str(GOLDEN / "make_draws_golden.py"))["make_golden"]
  expected = json.loads((GOLDEN / "draws.json").read_text())
  assert make_golden(load_suite("microworld_train", None)) == expected
  assert len({tuple(p["choices"]) for p in itertools.chain(*expected.values())}) > 12
