"""A recipe that trains in a second."""

import dataclasses

import pytest

from symtune.regression.network import NetworkSettings
from symtune.regression.predictors import References
from symtune.regression.settings import (
  Curriculum,
  EvaluationSettings,
  RegressionRecipe,
)
from symtune.regression.tasks import Evaluation, FunctionClass
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimizerName, OptimSettings


@pytest.fixture(scope="session")
def toy():
  """Makes the recipe; settings replace its own."""

  def make(**changes):
    recipe = RegressionRecipe(
      name="toy",
      functions=FunctionClass(dim=2, points=5),
      batch_size=8,
      network=NetworkSettings(layers=2, width=16, heads=2),
      optimizer=OptimSettings(name=OptimizerName.ADAMW, learning_rate=1e-3),
      train=TrainSettings(steps=6, log_every=2, save_every=3),
      curriculum=Curriculum(dim=1, points=3, every=2),
      evaluation=EvaluationSettings(
        episodes=20,
        linear_queries=6,
        linear_episodes=4,
        shifts=(Evaluation(shift="overlapping"), Evaluation(shift="orthogonal")),
      ),
      references=References(neighbours=(2,)),
    )
    return dataclasses.replace(recipe, **changes)

  return make
