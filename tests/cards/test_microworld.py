import dataclasses
import hashlib
import itertools
import re

import pytest

from symtune.cards import load, microworld
from symtune.cards.microworld import Category, Part, Plan, World
from symtune.cards.resources import resource_dir
from symtune.errors import SymtuneError

WORLD_PATH = resource_dir("tasks") / "microworld" / "world.yaml"

SMALL = """
version: 1
seed: 0
held_out: {categories: 2, kept_apart: 2}
sentences:
  train: ["{word}", "the {word}"]
  eval: ["{word} the"]
categories:
  fruit: {phrase: a fruit, words: apple pear}
  tool: {phrase: a tool, words: hammer saw}
  color: {phrase: a color, words: red blue}
  bird: {phrase: a bird, words: owl hawk}
  fish: {phrase: a fish, words: cod eel}
"""


@pytest.fixture(scope="module")
def world() -> World:
  return microworld.read_world(WORLD_PATH)


@pytest.fixture(scope="module")
def train():
  return load.load_suite("microworld_train", None)


@pytest.fixture(scope="module")
def evaluation():
  return load.load_suite("microworld_eval", None)


def pairs_of(tasks) -> set:
  return {
    pair for task in tasks for pair in itertools.combinations(task.card.labels, 2)
  }


def texts_of(tasks) -> set:
  return {task.card.input_text(e) for task in tasks for e in task.examples}


def test_the_world_has_44_categories_of_24_words(world):
  assert [len(category.words) for category in world.categories] == [24] * 44


def test_a_word_is_in_one_category_and_names_none(world):
  words = [word for category in world.categories for word in category.words]
  assert len(words) == len(set(words))
  assert not {category.name for category in world.categories} & set(words)


def test_words_of_evaluation_sentences_occur_in_training_sentences(world):
  known = {word for sentence in world.train_sentences for word in sentence.split()}
  for sentence in world.eval_sentences:
    assert set(sentence.split()) <= known


def test_the_suites_have_the_planned_numbers_of_tasks(train, evaluation):
  assert [len(task.card.labels) for task in train] == [2] * 540 + [3] * 60
  assert [len(task.card.labels) for task in evaluation] == [2] * 56
  names = [task.card.name for task in (*train, *evaluation)]
  assert len(names) == len(set(names))


def test_training_and_evaluation_share_no_pair(train, evaluation):
  assert not pairs_of(train) & pairs_of(evaluation)


def test_no_training_task_shows_an_unseen_category(world, train, evaluation):
  unseen = set(microworld.split_groups(world).unseen)
  assert len(unseen) == 8
  assert not unseen & {label for task in train for label in task.card.labels}
  in_evaluation = [len(unseen & set(task.card.labels)) for task in evaluation]
  assert in_evaluation == [0] * 28 + [2] * 28


def test_evaluation_asks_about_every_pair_of_both_groups(world, evaluation):
  groups = microworld.split_groups(world)
  asked = [frozenset(task.card.labels) for task in evaluation]
  for names, found in ((groups.kept_apart, asked[:28]), (groups.unseen, asked[28:])):
    assert set(found) == {frozenset(p) for p in itertools.combinations(names, 2)}


def test_groups_tell_known_from_unseen_categories(train, evaluation):
  seen = {label for task in train for label in task.card.labels}
  for task in evaluation:
    is_known = set(task.card.labels) <= seen
    expected = "known categories" if is_known else "unseen categories"
    assert task.group == expected
  assert {task.group for task in train} == {None}
  assert {task.group for task in load.load_suite("microworld_base", None)} == {None}


def test_held_out_pairs_are_of_categories_that_training_shows(train, evaluation):
  seen = {label for task in train for label in task.card.labels}
  assert all(set(task.card.labels) <= seen for task in evaluation[:28])
  assert len(seen) == 36


def test_no_training_task_has_two_of_the_categories_kept_apart(world, train):
  apart = set(microworld.split_groups(world).kept_apart)
  assert len(apart) == 8
  assert max(len(apart & set(task.card.labels)) for task in train) == 1


def test_training_and_evaluation_share_no_text(train, evaluation):
  assert not texts_of(train) & texts_of(evaluation)


def test_a_task_uses_every_word_once_under_its_own_label(world):
  plan = Plan(part=Part.TRAIN, num_pairs=1, num_triples=1, num_unseen_pairs=0)
  words = {category.name: category.words for category in world.categories}
  owner = {word: name for name, group in words.items() for word in group}
  for task in microworld.make_tasks(world, plan):
    labels = task.card.labels
    found = []
    for i, example in enumerate(task.examples):
      assert example.row == i
      (word,) = set(example.fields["text"].split()) & owner.keys()
      assert owner[word] == labels[example.label]
      found.append(word)
    assert found == [word for label in labels for word in words[label]]


def test_a_card_reads_as_a_question_about_its_categories(train):
  by_name = {task.card.name: task.card for task in train}
  card = by_name["micro_crime_landform"]
  assert card.labels == ("crime", "landform")
  assert card.instruction == "Is the following text about a crime or a landform?"
  triple = next(task.card for task in train if len(task.card.labels) == 3)
  assert re.fullmatch(
    r"Is the following text about [^,]+, .+ or .+\?", triple.instruction
  )


def test_tasks_share_their_categories(train, evaluation):
  for task in (*train, *evaluation):
    assert task.card.shares == task.card.labels


def test_the_tasks_are_pinned(train, evaluation):
  # Results on the microworld are comparable only as long as this holds.
  def digest(tasks):
    lines = "\n".join(f"{t.card.name} {t.fingerprint}" for t in tasks)
    return hashlib.sha256(lines.encode()).hexdigest()

  assert digest(train) == (
    "b41ada87dc4286df3d716586ceabc33f7725815de35037d4d612409eb4e055a8"
  )
  assert digest(evaluation) == (
    "f4d367fc22c1c017bd3356c45053e88c1b8cc7a7aa176bc52cdc6102fa404920"
  )


def test_the_base_has_every_category_and_no_pair_of_evaluation(world, evaluation):
  base = load.load_suite("microworld_base", None)
  assert [len(task.card.labels) for task in base] == [2] * 600 + [3] * 60
  assert {label for task in base for label in task.card.labels} == {
    category.name for category in world.categories
  }
  assert not pairs_of(base) & pairs_of(evaluation)
  assert not texts_of(base) & texts_of(evaluation)


def test_another_seed_makes_another_split(world):
  other = microworld.split_groups(dataclasses.replace(world, seed=1))
  assert other.unseen != microworld.split_groups(world).unseen


def small(tmp_path, old: str = "", new: str = "") -> World:
  assert old in SMALL
  path = tmp_path / "world.yaml"
  path.write_text(SMALL.replace(old, new, 1) if old else SMALL, encoding="utf-8")
  return microworld.read_world(path)


def test_a_world_file_becomes_a_world(tmp_path):
  world = small(tmp_path)
  assert world.categories[0] == Category(
    name="fruit", phrase="a fruit", words=("apple", "pear")
  )
  groups = microworld.split_groups(world)
  assert (len(groups.unseen), len(groups.heldout_pairs)) == (2, 1)
  # The one triple of the three seen categories has the held-out pair.
  assert (len(groups.train_pairs), len(groups.train_triples)) == (2, 0)


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("hammer saw", "hammer pear", "'categories.tool': 'pear' is already a word of 'fr"),
    ("hammer saw", "hammer fish", "'categories.tool': 'fish' is also the name of a c"),
    ("hammer saw", "hammer the", "'categories.tool': 'the' also occurs in a sentence"),
    ("hammer saw", "hammer Saw", "'categories.tool': 'Saw': expected lower-case let"),
    ("phrase: a tool, ", "", "'categories.tool.phrase': missing"),
    ("  tool:", "  hand tool:", "'categories.hand tool': expected a category name"),
    ('["{word} the"]', "[the]", "'sentences.eval': 'the' needs exactly one"),
    ('["{word} the"]', "[]", "'sentences.eval': empty; list at least one"),
    ('["{word} the"]', '["{word}"]', "'{word}' occurs twice; keep one of them"),
    ("categories: 2", "categories: 4", "'held_out.categories': leaves 1 seen cat"),
    ("apart: 2", "apart: 4", "'held_out.kept_apart': got more than the 3 categories"),
    ("seed: 0", "seed: x", "'seed': got 'x' (str), expected a whole number"),
  ],
)
def test_a_bad_world_is_an_error_that_names_file_and_key(tmp_path, old, new, message):
  with pytest.raises(SymtuneError, match=r"world\.yaml: key .*" + re.escape(message)):
    small(tmp_path, old, new)


def test_a_plan_larger_than_the_world_is_an_error(tmp_path):
  plan = Plan(part=Part.EVAL, num_pairs=2, num_triples=0, num_unseen_pairs=1)
  with pytest.raises(SymtuneError, match="has 1 eval pairs, but the suite asks for 2"):
    microworld.make_tasks(small(tmp_path), plan)
