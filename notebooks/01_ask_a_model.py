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
# # Ask a model
#
# A prompt, some labels, and how likely a model finds each of them. The two models here
# ship with symtune: tiny T5s that know a small world of words. They take seconds on a
# CPU, and show how to ask; they are no evidence about language models.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %%
import symtune as st

base = st.load("microworld/base.safetensors")
at_chance = st.load("microworld/base_at_chance.safetensors")

# %% [markdown]
# Two exemplars contradict what the words mean. Does the model call a kiwi a tool, as
# they demand, or a fruit, as it knows? Scores are log-probabilities in nats of the
# complete label with its end.

# %%
prompt = "apple -> tool\n\nhammer -> fruit\n\nkiwi ->"
labels = ["tool", "fruit"]
scores = base.score(prompt, labels) + at_chance.score(prompt, labels)
scores

# %%
scores.plot()

# %% [markdown]
# What would it say by itself?

# %%
base.generate(prompt)

# %% [markdown]
# ## Episodes
#
# An episode is a query with its exemplars, as probes ask it. Every change gives a new
# episode: flipped labels, other label words, symbols, or an exemplar changed by hand.

# %%
task = st.tasks("microworld_eval")[0]
episode = task.episode(k=2, seed=0)
episode

# %%
episode.ask(base, at_chance)

# %%
episode.flipped()

# %%
episode.flipped().ask(base, at_chance)

# %% [markdown]
# With symbols for labels only the exemplars tell what is right.

# %%
symbols = episode.with_symbols()
symbols.ask(base).plot(symbols.ask(at_chance))

# %% [markdown]
# ## Try
#
# - Turn one exemplar of the first prompt around, so that the two contradict each other.
# - `episode.with_labels(["Foo", "Bar"])`, or `episode.edit(exemplar=0, text="a
#   stone")`.
# - Another model: `st.load("hf://google/flan-t5-small")` needs the extra `[hub]`.
#
