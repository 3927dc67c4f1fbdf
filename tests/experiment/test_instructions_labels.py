"""The shipped sweeps over instruction x labels: each arm is its cell, nothing else."""

import dataclasses
import pathlib

import pytest

from symtune.cards.load import load_suite
from symtune.cli.gin_config import load_recipe, load_sweep
from symtune.data.ingredients import LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.text.symbols import PoolSplit, SymbolCategory, make_pool
from symtune.experiment.arms import plan_arms
from symtune.experiment.planning.plan import Workload, make_plan
from symtune.experiment.planning.slices import find_slice
from symtune.train.partition import Layout

CELLS = {
  "symbols": (LabelStyle.SYMBOLS, False),
  "symbols_instruction": (LabelStyle.SYMBOLS, True),
  "labels": (LabelStyle.NATURAL, False),
  "labels_instruction": (LabelStyle.NATURAL, True),
}
SWEEPS = ("microworld_instructions_labels", "flan_t5_instructions_labels")


def _recipes(name):
  """The recipe of each arm with the first seed."""
  runs = plan_arms(load_sweep(name), pathlib.Path("out"))
  assert len(runs) == 3 * len(CELLS)
  first = runs[: len(CELLS)]
  return {r.arm.name: load_recipe(r.arm.recipe, r.bindings)[0] for r in first}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_arm_has_one_ingredient_and_differs_in_nothing_else(name):
  recipes = _recipes(name)
  found = {arm: recipe.mixture.ingredients for arm, recipe in recipes.items()}
  assert {
    arm: [(one.labels, one.instruction) for one in ingredients]
    for arm, ingredients in found.items()
  } == {arm: [cell] for arm, cell in CELLS.items()}
  same = {
    dataclasses.replace(
      recipe, mixture=dataclasses.replace(recipe.mixture, ingredients=())
    )
    for recipe in recipes.values()
  }
  assert len(same) == 1


def test_arms_of_the_microworld_show_the_same_texts_prompt_by_prompt():
  recipes = _recipes(SWEEPS[0])
  tasks = load_suite("microworld_train", None)[:5]
  texts = {example.fields["text"] for task in tasks for example in task.examples}
  pool = make_pool(PoolSplit.TUNING, (SymbolCategory.NONCE,), 50)
  shown = {}
  for arm, recipe in recipes.items():
    (one,) = recipe.mixture.ingredients
    mixture = Mixture([(one, tasks)], pool, seed=0)
    shown[arm] = [
      [part for turn in prompt.turns for part in turn if part in texts]
      for prompt in mixture.prompts(range(20))
    ]
  assert all(map(len, shown["symbols"]))
  assert all(texts == shown["symbols"] for texts in shown.values())


def test_the_runs_of_flan_t5_fit_one_gpu():
  for recipe in _recipes(SWEEPS[1]).values():
    assert make_plan(Workload(recipe), find_slice("h100-1"), Layout()).fits
