# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Functions in context
#
# An episode is a list of pairs (x, y) with y = w x and a w of its own. Known algorithms
# say what can be predicted from the first pairs; a network that was trained on such
# episodes can be compared with each of them.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %%
import jax

from symtune.lab.picture import Picture
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
# The squared error / d of each predictor by number of exemplars with its 95% interval,
# and how far each predictor is from the network (SPD), before and after training.


# %%
def errors_and_distances(params):
  """Error curves of all predictors, and the mean distance of each to the network."""
  found = evaluate(recipe, network, params, predictors, STANDARD)
  counts = metrics.resample_counts(recipe.evaluation.episodes)
  squared = metrics.squared_errors(found).items()
  curves = {name: metrics.mean_curve(errors, counts) for name, errors in squared}
  to_model = metrics.prediction_distances(found, MODEL)
  return curves, {name: float(v[:, 1:].mean()) for name, v in to_model.items()}


_, before = errors_and_distances(start_params(recipe))

# %%
step, state = make_step(recipe, start_params(recipe))
stream = EpisodeStream(recipe)
for _ in range(recipe.train.steps):
  state, _ = step(state, jax.device_put(next(stream)))
curves, after = errors_and_distances(state.params)
for name in predictors:
  print(f"{name:20} SPD before {before[name]:.2f}, after {after[name]:.2f}")

# %%
assert after["least squares"] < before["least squares"] / 2


# %%
def draw_errors(figure):
  axes = figure.subplots()
  for name, curve in curves.items():
    (line,) = axes.plot(curve.mean, label=name)
    exemplars = range(len(curve.mean))
    axes.fill_between(
      exemplars, curve.low, curve.high, color=line.get_color(), alpha=0.2
    )
  axes.set_xlabel("exemplars")
  axes.set_ylabel("squared error / d")
  axes.set_ylim(0, 2)
  axes.legend(fontsize="small")


Picture(draw_errors)

# %% [markdown]
# ## Try
#
# - `steps=3000`: is the network as good as least squares with three exemplars?
# - Noise: `FunctionClass(dim=2, points=7, noise=0.5)`. Which predictor is it closest
#   to?
# - The grids of [docs/regression.md](../docs/regression.md), from the command line.
#
