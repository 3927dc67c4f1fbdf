# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Train a tiny T5
#
# A recipe is one frozen value. This notebook reads a recipe in the same way as the
# command line, makes the model smaller, and trains it for a few steps.

# %%
import pathlib
import tempfile

import rich.console

from symtune.cli.gin_config import load_recipe
from symtune.experiment.build import build_experiment
from symtune.experiment.run import train_model
from symtune.train.metrics import read_rows

# %%
recipe, operative_gin = load_recipe(
  "microworld",
  [
    "TrainSettings.steps=20",
    "mixture.batch_size=8",
    "mixture.window=256",
    "Recipe.checkpoint=None",
    "T5Config.num_encoder_layers=1",
    "probe.max_queries=1",
  ],
)
experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
print(experiment.network.config)

# %%
run_dir = pathlib.Path(tempfile.mkdtemp()) / "run"
result = train_model(experiment, run_dir, rich.console.Console(quiet=True))
rows = read_rows(run_dir / "metrics.jsonl")
for row in rows:
  print(row)

# %% [markdown]
# The loss, in nats per target token, falls.

# %%
assert result.step == 20
assert rows[-1]["loss_nats"] < rows[0]["loss_nats"]
