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
# # Flips across sizes
#
# A model that knows what words mean answers flipped labels wrongly, unless its
# exemplars override what it knows. Here three networks of growing size learn to name
# things, and nothing else. The larger ones know more, and fail more on flipped labels.
#
# In language models, the largest ones learn to override what they know (Wei et al.
# 2023, arXiv 2303.03846). Networks this small and shortly trained do not; the notebook
# shows how such a curve is measured.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %% tags=["parameters"]
STEPS = 120
WIDTHS = (8, 32, 96)
MAX_QUERIES = 10

# %% [markdown]
# The world is cut down to six tasks, "a fruit or a tool?", with natural labels and at
# most one exemplar per class in each prompt.

# %%
import pathlib
import tempfile

import rich.console

import symtune as st
from symtune.cli.gin_config import load_recipe
from symtune.experiment.build import build_experiment
from symtune.experiment.run import train_model
from symtune.lab.picture import Picture

folder = pathlib.Path(tempfile.mkdtemp())
suite = folder / "small_world.yaml"
suite.write_text(
  "name: small_world\n"
  "version: 1\n"
  "description: Six tasks of the microworld.\n"
  "world: {part: train, pairs: 6, triples: 0}\n"
)


# %%
def train(width):
  """A T5 of this width that has learnt to name things."""
  settings = [
    f"T5Config.emb_dim={width}",
    f"T5Config.mlp_dim={4 * width}",
    "T5Config.num_heads=2",
    "T5Config.head_dim=16",
    "T5Config.dropout_rate=0.0",
    "Recipe.checkpoint=None",
    "mixture.ingredients=[@natural/ingredients.Ingredient()]",
    f"natural/Ingredient.suite='{suite}'",
    "natural/Ingredient.min_shots=0",
    "natural/Ingredient.max_shots=1",
    "mixture.batch_size=8",
    "optimizer.learning_rate=0.03",
    f"optimizer.total_steps={STEPS}",
    f"TrainSettings.steps={STEPS}",
    f"TrainSettings.save_every={STEPS}",
  ]
  recipe, _ = load_recipe("microworld", settings)
  experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
  run_dir = folder / f"width_{width}"
  train_model(experiment, run_dir, rich.console.Console(quiet=True))
  return st.load(run_dir)


models = [train(width) for width in WIDTHS]

# %%
results = st.ask(
  models,
  st.tasks(suite),
  ["settings", "flipped_labels"],
  k=1,
  max_queries=MAX_QUERIES,
  seeds=(0,),
  quiet=True,
)
results.table()

# %% [markdown]
# Accuracy by number of parameters, with 95% intervals.

# %%
accuracies = results.accuracies()
sizes = results.frame.groupby("checkpoint")["parameters"].first()
pooled = accuracies[accuracies["task"].isna() & accuracies["group"].isna()]


def draw_sizes(figure):
  axes = figure.subplots()
  for setting in ("labels", "flipped"):
    rows = pooled[pooled["setting"] == setting].set_index("checkpoint")
    rows = rows.loc[sizes.sort_values().index]
    mean = 100 * rows["accuracy"]
    ends = [mean - 100 * rows["low"], 100 * rows["high"] - mean]
    axes.errorbar(sizes[rows.index], mean, ends, marker="o", capsize=3, label=setting)
  axes.axhline(50, color="gray", linestyle=":", label="chance")
  axes.set_xscale("log")
  axes.set_xlabel("parameters")
  axes.set_ylabel("accuracy, in %")
  axes.legend()


Picture(draw_sizes)

# %%
results.label_reliance()

# %% [markdown]
# ## Try
#
# - Real sizes, on a GPU: `models = [st.load(f"hf://google/flan-t5-{size}") for size in
#   ("small", "base", "large")]` with a task of your own. Needs the extra `[hub]`.
# - More steps for the smallest network: does it catch up, and do its flips fall?
# - `k=4`: more exemplars than training showed.
