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
# # Label semantics of your own labels
#
# Does a model use what label words mean? The probe `label_semantics` asks the same
# questions with the task's own words, with words of yours, with swapped words, and with
# words that mean nothing.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %% tags=["parameters"]
MAX_QUERIES = 20

# %% [markdown]
# The task is a table of texts with a class each: a data frame here, or the path of a
# CSV file. A text may be anything that the model can read; this one knows few words.

# %%
import pandas

import symtune as st

fruits = "banana pear peach grape cherry strawberry raspberry blueberry melon lemon"
birds = "hawk owl parrot pigeon sparrow robin crow raven swan goose"
words = [(word, "fruit") for word in fruits.split()]
words += [(word, "bird") for word in birds.split()]
frame = pandas.DataFrame([(f"I saw the {w}", kind) for w, kind in words])
frame.columns = ["text", "kind"]
task = st.task(frame, text="text", labels="kind", words=["bird", "fruit"])
task

# %% [markdown]
# Label sets of your own: other words that mean the same classes, the bird first, as in
# the task. Here each class is called by one of its members, and by a longer phrase.

# %%
task = task.with_label_sets(members=["eagle", "apple"], phrases=["a bird", "a fruit"])
results = st.ask(
  "microworld/base.safetensors",
  task,
  ["label_semantics", "settings", "flipped_labels"],
  max_queries=MAX_QUERIES,
  seeds=(0,),
  symbols=["nonce"],
  quiet=True,
)
results.table()

# %%
results.plot()

# %% [markdown]
# Label reliance sums it up: how much accuracy rests on the names of labels.

# %%
results.label_reliance()

# %% [markdown]
# One question in full, with what the model answered.

# %%
results.episodes(probe="label_semantics", setting="swapped", limit=1)

# %%
results.frame.groupby(["probe", "setting"])["correct"].agg(["mean", "count"])

# %% [markdown]
# ## Try
#
# - Other label sets: two synonyms, two emoji, or "yes" and "no". A model that cannot
#   tell two words apart is refused by name.
# - Your own table, and your own model: `st.task("reviews.csv", text="review",
#   labels="stars")` and `st.load("hf://google/flan-t5-small")`.
# - `results.report("lab.html")` writes all of it into one page with every question.
