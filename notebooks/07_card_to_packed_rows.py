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
# # From card to packed rows
#
# What a model is tuned on, step by step: a card describes a task, numbers say what each
# prompt holds, prompts become tokens, and several prompts share a packed row.

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %%
import numpy as np

from symtune.cards.load import load_card, load_suite
from symtune.cards.resources import resource_dir
from symtune.data.batches.batch import BatchShape, BatchStream
from symtune.data.draw.draw import read_draw
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.prompts import PromptFormat, render_prompt
from symtune.data.remap import LabelMap, remap_labels, with_words
from symtune.data.text.symbols import PoolSplit, SymbolCategory, make_pool
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.lab.picture import Picture

# %% [markdown]
# ## A card
#
# The cards of real data sets are YAML files; their rows are stored elsewhere.

# %%
card = load_card("rte")
print(card.title, card.labels, card.template, sep="\n")

# %% [markdown]
# ## A draw
#
# The microworld needs no data. A mixture of its tasks with two exemplars per class
# draws numbers for every position: which query, exemplars, format and label words.
# Prompt `i` is a pure function of (seed, `i`).

# %%
tasks = load_suite("microworld_train", None)
pool = make_pool(PoolSplit.TUNING, (SymbolCategory.NONCE,))
mixture = Mixture([(Ingredient(min_shots=2, max_shots=2), tasks[:1])], pool, seed=0)
draws = mixture.draws.draw(np.arange(3))
draws

# %% [markdown]
# ## An episode and its prompt
#
# The numbers of the first prompt, read as an episode with the task's own label words.

# %%
drawn = read_draw(mixture.draws.tables, draws, 0, tasks[0])
episode = drawn.episode
print(render_prompt(episode, PromptFormat.INPUT_OUTPUT, instruction=True).inputs)

# %% [markdown]
# Symbols replace the tuple of label words. The text is never searched for labels.

# %%
remapped = remap_labels(episode, LabelMap(symbols=drawn.label_words))
prompt = render_prompt(remapped, drawn.prompt_format, instruction=False)
print(prompt.inputs)
assert prompt == mixture.prompt(0)

# %% [markdown]
# Flipping swaps the two label words, in the exemplars and in the expected answer.

# %%
flipped = render_prompt(
  with_words(episode, episode.label_words[::-1]), PromptFormat.ARROW, instruction=False
)
print(flipped.inputs, "| expected:", flipped.choices[flipped.answer])

# %% [markdown]
# ## Packed rows
#
# Prompts become tokens, and prompts of a window are packed into rows. Batches have
# SeqIO's feature names.

# %%
vocab = SentencePieceVocab(resource_dir("tasks") / "microworld" / "vocab.model")
whole = Mixture([(Ingredient(min_shots=1, max_shots=4), tasks)], pool, seed=0)
tokenizer = PromptTokenizer(
  vocab, max_inputs=128, max_targets=16, min_exemplars_per_class=1
)
shape = BatchShape(batch_size=16, input_length=256, target_length=48, window=256)
stream = BatchStream(TokenStream(whole, tokenizer), shape, seed=0)
batch = next(stream)
for name, value in batch.items():
  print(f"{name:24}{value.shape} {value[0, :12]}")

# %% [markdown]
# Each line of the figure is a packed row, each colour one of its prompts; white slots
# are padding.

# %%
segments = batch["encoder_segment_ids"]


def draw_rows(figure):
  axes = figure.subplots()
  shown = np.ma.masked_equal(segments, 0)
  axes.imshow(shown, aspect="auto", interpolation="none", cmap="tab20")
  axes.set_xlabel("input slot")
  axes.set_ylabel("packed row")


Picture(draw_rows)

# %%
share = (segments > 0).mean()
print(f"{share:.1%} of the input slots are used; next position: {stream.get_state()}")
assert share > 0.8

# %% [markdown]
# ## Try
#
# - Rows of 128 slots (`input_length`): how many of them are used?
# - Real rows: `symtune data get symbol_tuning_train --to DATA` (extra `[data]`), and
#   `load_suite("symbol_tuning_train", "DATA")` with a vocabulary of your model.
# - `Ingredient(labels="natural")`: the task's own label words in place of symbols.
