"""The tuning streams of the microworld's arms differ in their label words alone."""

import numpy as np
import pytest

from symtune.cards.load import load_suite
from symtune.cli.gin_config import load_recipe, load_sweep
from symtune.data.draw.draw import read_draw
from symtune.data.ingredients import Ingredient
from symtune.experiment.arms import Arms
from symtune.experiment.build import build_experiment

PROMPTS = 1500
SYMBOLS = "symbols"
# Arms whose recipe starts from another base are the same streams.
ARMS = ("symbols", "borrowed", "text_words", "null", "instructions")


@pytest.fixture(scope="module")
def recipes():
  sweep = load_sweep("microworld_arms")
  assert isinstance(sweep, Arms)
  recipe_by_arm = {arm.name: arm.recipe for arm in sweep.arms}
  return {
    name: load_recipe(recipe_by_arm[name], ["probe.max_queries = 1"])[0]
    for name in ARMS
  }


@pytest.fixture(scope="module")
def mixtures(recipes):
  return {
    name: build_experiment(recipe, data_dir=None, vocab_path=None, tunes=False).mixture
    for name, recipe in recipes.items()
  }


@pytest.fixture(scope="module")
def drawn(mixtures):
  """Prompts of each arm: the task, and for each turn its text, class and label word."""
  positions = np.arange(PROMPTS)
  return {name: _read(m, m.draws.draw(positions)) for name, m in mixtures.items()}


def _read(mixture, draws):
  found = []
  for number, entry in enumerate(draws.entries.tolist()):
    task = mixture.tasks[entry]
    one = read_draw(mixture.draws.tables, draws, number, task)
    classes = {example.row: example.label for example in task.examples}
    turns = [
      (e.fields["text"], task.card.labels[classes[e.row]], one.label_words[e.label])
      for e in (*one.episode.exemplars, one.episode.query)
    ]
    found.append((task.card.name, one.prompt_format, turns))
  return found


def test_arms_differ_in_label_words_alone(recipes):
  def without_labels(recipe):
    ingredients = [
      (i.suite, i.instruction, i.min_shots, i.max_shots, i.rate)
      for i in recipe.mixture.ingredients
      if isinstance(i, Ingredient)
    ]
    others = (recipe.mixture.formats, recipe.mixture.batches, recipe.symbols)
    return ingredients, others, recipe.model, recipe.train, recipe.optimizer

  same = without_labels(recipes[SYMBOLS])
  for recipe in recipes.values():
    assert len(recipe.mixture.ingredients) == len(same[0])
    assert without_labels(recipe) == same
    assert recipe.checkpoint == recipes[SYMBOLS].checkpoint
    assert recipe.probe == recipes[SYMBOLS].probe


def test_arms_show_the_same_texts_prompt_by_prompt(drawn):
  def without_words(prompts):
    return [(task, f, [text for text, *_ in turns]) for task, f, turns in prompts]

  same = without_words(drawn[SYMBOLS])
  assert len(same) == PROMPTS
  for prompts in drawn.values():
    assert without_words(prompts) == same


def test_no_label_word_of_evaluation_stands_on_a_text_that_it_does_not_describe(drawn):
  asked = {w for task in load_suite("microworld_eval", None) for w in task.card.labels}
  for arm, prompts in drawn.items():
    shown = [
      (word, category)
      for _, _, turns in prompts
      for _, category, word in turns
      if word in asked
    ]
    assert all(word == category for word, category in shown), arm
    assert shown  # prompts with natural labels do show such words, on their own texts


def test_words_that_say_something_of_the_text(drawn):
  """How often the label word of a turn goes with its text, by arm."""

  def turns_of(arm):
    return [turn for _, _, turns in drawn[arm] for turn in turns]

  natural = {arm: np.mean([w == c for _, c, w in turns_of(arm)]) for arm in ARMS}
  assert natural["instructions"] == 1.0
  for arm in ("borrowed", "text_words", "null"):
    assert natural[arm] == natural[SYMBOLS]
  assert 0.0 < natural[SYMBOLS] < 0.3

  # In the null control two exemplars of one class mostly have different words.
  def agreement(arm):
    pairs = [
      turns[0][2] == turn[2]
      for _, _, turns in drawn[arm]
      for turn in turns[1:]
      if turns[0][1] == turn[1] and turn[2] != turn[1]
    ]
    return np.mean(pairs)

  assert agreement(SYMBOLS) == agreement("borrowed") == agreement("text_words") == 1.0
  assert 0.35 < agreement("null") < 0.65
