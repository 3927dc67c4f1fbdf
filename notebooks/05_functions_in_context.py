# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Functions in context
#
# An episode is a list of pairs (x, y) with y = w x and a w of its own. Known algorithms
# say what can be predicted from the first pairs; a network that was trained on such
# episodes can be compared with each of them.

# %%
import jax

from symtune.regression import metrics
from symtune.regression.evaluate import MODEL, evaluate
from symtune.regression.network import NetworkSettings
from symtune.regression.predictors import References, make_predictors
from symtune.regression.settings import EvaluationSettings, RegressionRecipe
from symtune.regression.tasks import STANDARD, FunctionClass
from symtune.regression.train import (
  EpisodeStream,
  make_network,
  make_step,
  start_params,
)
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimizerName, OptimSettings

# %%
recipe = RegressionRecipe(
  name="notebook",
  functions=FunctionClass(dim=2, points=7),
  network=NetworkSettings(layers=2, width=32, heads=2),
  optimizer=OptimSettings(name=OptimizerName.ADAMW, learning_rate=3e-3),
  train=TrainSettings(steps=300),
  evaluation=EvaluationSettings(episodes=400),
)
predictors = make_predictors(References(rates=(), pass_rates=()), recipe.functions)
network = make_network(recipe)


# %% [markdown]
# Squared error / d by number of exemplars, and the distance of each predictor to the
# network (SPD), each with its 95% interval.


# %%
def distances(params):
  """Prints both, and returns the mean distance to each predictor."""
  found = evaluate(recipe, network, params, predictors, STANDARD)
  counts = metrics.resample_counts(recipe.evaluation.episodes)
  for name, errors in metrics.squared_errors(found).items():
    curve = metrics.mean_curve(errors, counts)
    shown = [
      f"{curve.mean[n]:.2f} [{curve.low[n]:.2f}, {curve.high[n]:.2f}]"
      for n in (1, 2, 4, 6)
    ]
    print(f"{name:20}", "  ".join(shown))
  to_model = metrics.prediction_distances(found, MODEL)
  return {name: float(values[:, 1:].mean()) for name, values in to_model.items()}


before = distances(start_params(recipe))

# %%
step, state = make_step(recipe, start_params(recipe))
stream = EpisodeStream(recipe)
for _ in range(recipe.train.steps):
  state, _ = step(state, jax.device_put(next(stream)))
after = distances(state.params)
for name in predictors:
  print(f"{name:20} SPD before {before[name]:.2f}, after {after[name]:.2f}")

# %%
assert after["least squares"] < before["least squares"] / 2
