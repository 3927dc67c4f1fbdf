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
# # Retrieval in context
#
# Passages are looked up with the last words before a stride, and stand before it. The
# model here is a rule: it expects what followed the same two words before. So a passage
# that states the facts helps it, and nothing else does.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %%
import json
import pathlib
import tempfile

import numpy as np
import rich.console

from symtune.lab.picture import Picture
from symtune.probe.run import CheckpointLabel
from symtune.ralm.report import (
  example_table,
  find_examples,
  perplexity_table,
  read_measured,
)
from symtune.ralm.run import TEXTS, measure, write_texts
from symtune.ralm.settings import RalmRecipe
from symtune.ralm.spans import TokenModel
from symtune.report.tables import to_terminal
from symtune.retrieve.index import build_index

folder = pathlib.Path(tempfile.mkdtemp())
console = rich.console.Console()

# %% [markdown]
# Documents list facts; the corpus lists the same facts in another order.

# %%
rng = np.random.default_rng(0)
texts, corpus = {}, {}
for number in range(10):
  facts = [f"city{number}x{i} exports good{rng.integers(100)}" for i in range(30)]
  texts[f"list {number}"] = " ".join(facts)
  corpus[f"source {number}"] = " ".join(rng.permutation(facts))
rows = [json.dumps({"id": name, "text": text}) for name, text in corpus.items()]
(folder / "corpus.jsonl").write_text("\n".join(rows))
index = build_index([folder / "corpus.jsonl"], folder / "index")
found = index.search("city3x7 exports", k=2)
print([(round(one.score, 2), index.passage(one.number).document) for one in found])

# %% [markdown]
# The rule as a model of tokens: words are tokens, and the score of a token is its log
# probability in nats.

# %%
words: dict[str, int] = {}


def ids(text):
  """Words as numbers."""
  numbers = [words.setdefault(word, len(words)) for word in text.split()]
  return np.asarray(numbers, np.int32)


def text_of(numbers):
  """Numbers as words."""
  names = list(words)
  return " ".join(names[number] for number in numbers)


def score(span):
  """Half of the probability is uniform over 1,000 words, half is copied."""
  row = [*span.context.tolist(), *span.target.tolist()]
  followed, values = {}, []
  for place in range(2, len(row)):
    seen = followed.setdefault((row[place - 2], row[place - 1]), [])
    copied = seen.count(row[place]) / len(seen) if seen else 1 / 1000
    values.append(np.log(0.5 / 1000 + 0.5 * copied))
    seen.append(row[place])
  values = [-np.log(1000)] * (len(row) - len(values)) + values
  return np.asarray(values[len(span.context) :])


model = TokenModel(
  label=CheckpointLabel(name="rule", step=0),
  is_causal=True,
  positions=4096,
  start=(),
  end=(),
  ids=ids,
  text=text_of,
  score=lambda spans: [score(span) for span in spans],
)

# %%
recipe = RalmRecipe(
  models=("rule",),
  texts=("lists",),
  corpus=("corpus.jsonl",),
  strides=(4, 16),
  query_lengths=(8,),
  rerank=("first", "random"),
  candidates=4,
)
out = folder / "run"
out.mkdir()
write_texts(texts, out / TEXTS)
measure(recipe, model, texts, index, frozenset(), out, rich.console.Console(quiet=True))
measured_rows, measured = read_measured(out)
console.print(to_terminal(perplexity_table(measured)))
helped = [one for one in measured if one.cell.rerank == "first"]
assert all(one.change.high < 0 for one in helped)


# %% [markdown]
# Nats per token by stride: behind the passage of its facts, a text is copied from it.


# %%
def draw(figure):
  axes = figure.subplots()
  ways = dict.fromkeys(one.cell.rerank for one in measured)
  for way in ways:
    mine = [one for one in measured if one.cell.rerank is way]
    found = [one.per(one.tokens) for one in mine]
    ends = [[n.value - n.low for n in found], [n.high - n.value for n in found]]
    strides = [one.cell.stride for one in mine]
    values = [number.value for number in found]
    axes.errorbar(strides, values, ends, marker="o", capsize=3, label=way.value)
  axes.set_xlabel("stride, in tokens")
  axes.set_ylabel("nats per token")
  axes.legend(title="passage")


Picture(draw)

# %% [markdown]
# Passages and queries side by side.

# %%
examples = find_examples(measured_rows, texts, index, model)
console.print(to_terminal(example_table(examples)))

# %% [markdown]
# ## Try
#
# - A corpus in which the goods are shuffled: does a passage still help?
# - `strides=(1, 64)`: what does it cost to look up more often, and what does it bring?
# - A real model and a text of your own:
#   `symtune ralm --model MODEL --text FILE --corpus FILE`.
