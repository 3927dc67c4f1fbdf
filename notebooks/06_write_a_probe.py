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
# # Write a probe
#
# A probe is a class that says what is asked about a query. This one asks whether a
# model copies the label of the last exemplar: the same exemplars, ordered so that the
# last one has the query's class, or another one.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %% tags=["parameters"]
NUM_TASKS = 12
MAX_QUERIES = 10

# %%
import dataclasses

import symtune as st
from symtune.probe.ask import Question, TaskProbe


class LastExemplar(TaskProbe):
  name = "last_exemplar"

  def questions(self, asker, seed, episode):
    label = episode.query.label
    symbols = asker.with_symbols(episode, seed)
    same = [e for e in symbols.exemplars if e.label == label]
    other = [e for e in symbols.exemplars if e.label != label]
    return [
      Question(
        setting=setting,
        episode=dataclasses.replace(symbols, exemplars=tuple(exemplars)),
        context=label,
        prior=None,
      )
      for setting, exemplars in (
        ("last is right", other + same),
        ("last is wrong", same + other),
      )
    ]


# %% [markdown]
# Both settings have the same exemplars, query and symbols, so they are compared in
# pairs. `context` is the choice that the exemplars demand, `prior` the one that the
# meaning of the words demands: symbols mean nothing.
#
# Baselines show what the numbers of a probe mean: the oracle must score 100, random
# answers must be at chance.

# %%
models = [
  "microworld/base.safetensors",
  "microworld/base_at_chance.safetensors",
  "baseline:oracle",
  "baseline:random",
]
results = st.ask(
  models,
  st.tasks("microworld_eval")[:NUM_TASKS],
  [LastExemplar()],
  max_queries=MAX_QUERIES,
  seeds=(0,),
  quiet=True,
)
results.table()

# %%
results.plot()

# %%
results.episodes(setting="last is wrong", limit=2)

# %% [markdown]
# The probe holds for other models too: put the class into `my_probe.py`, and name it on
# the command line with `--probes my_probe.py:LastExemplar`.

# %%
frame = results.frame
oracle = frame[frame["checkpoint"] == "baseline:oracle"]
assert oracle["correct"].all()

# %% [markdown]
# ## Try
#
# - The task's own label words in place of symbols: leave `symbols` out, and set
#   `prior=label`.
# - A third setting, in which the classes alternate.
# - A question of your own: other label words (`with_words` of `symtune.data.remap`), or
#   an exemplar too few.
#
