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
# # What symbol tuning changed
#
# A short symbol tuning of the microworld's base, and the same questions before and
# after. `make demo` does the same with 700 steps and all tasks.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %% tags=["parameters"]
STEPS = 150
MAX_QUERIES = 5
NUM_TASKS = 16

# %% [markdown]
# A recipe is one frozen value, read from a gin file with settings of your own on top.

# %%
import pathlib
import tempfile

import rich.console

import symtune as st
from symtune.cli.gin_config import load_recipe
from symtune.experiment.build import build_experiment
from symtune.experiment.run import train_model
from symtune.lab.picture import Picture
from symtune.train.metrics import read_rows

settings = [
  f"TrainSettings.steps={STEPS}",
  f"TrainSettings.save_every={STEPS}",
  f"optimizer.total_steps={STEPS}",
  "mixture.batch_size=16",
]
recipe, _ = load_recipe("microworld", settings)
experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
tuned_dir = pathlib.Path(tempfile.mkdtemp()) / "tuned"
train_model(experiment, tuned_dir, rich.console.Console(quiet=True))
rows = read_rows(tuned_dir / "metrics.jsonl")


# %%
def draw_loss(figure):
  axes = figure.subplots()
  axes.plot([row["step"] for row in rows], [row["loss_nats"] for row in rows])
  axes.set_xlabel("step")
  axes.set_ylabel("loss, in nats per target token")


Picture(draw_loss)

# %% [markdown]
# The same questions to both: with the task's labels, with symbols that tuning never
# showed, and with flipped labels.

# %%
before = st.load("microworld/base.safetensors", called="before")
after = st.load(tuned_dir, called="after")
tasks = st.tasks("microworld_eval")
results = st.ask(
  [before, after],
  tasks[:: len(tasks) // NUM_TASKS],
  ["settings", "flipped_labels"],
  max_queries=MAX_QUERIES,
  seeds=(0,),
  quiet=True,
)
results.table()

# %%
results.plot()

# %% [markdown]
# What rests on the names of labels, and what tuning changed of it: a difference of
# differences on the same questions.

# %%
results.label_reliance()

# %% [markdown]
# Questions with symbols that became right.

# %%
results.episodes(setting="neither", changed="wrong-right", limit=3)

# %% [markdown]
# ## Try
#
# - `STEPS = 700`: the demonstration's dose.
# - Another recipe of the experiment: `microworld_borrowed` takes other tasks' label
#   words as symbols. What becomes of flipped labels?
# - The control `microworld_null` scrambles the symbols: does accuracy on symbols rise?
#
