# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # From a card to a prompt
#
# A task card says what a task is; an episode is one query with its exemplars; a label
# map puts symbols in the place of label words; a prompt is the text that comes of it.

# %%
from symtune.cards.load import load_card, load_suite
from symtune.data.episodes import EpisodeSource, Shots
from symtune.data.prompts import PromptFormat, render_prompt
from symtune.data.remap import LabelMap, flip_labels, remap_labels
from symtune.data.rng import keyed_generator
from symtune.data.text.symbols import PoolSplit, draw_symbols, make_pool

# %% [markdown]
# Cards of real data sets are YAML files in `tasks/`. Their rows live elsewhere.

# %%
card = load_card("rte")
print(card.title, card.labels, card.template, sep="\n")

# %% [markdown]
# The microworld needs no data: everyday words by category.

# %%
task = load_suite("microworld_eval", None)[0]
source = EpisodeSource(task, Shots(minimum=2, maximum=2))
episode = source.episode(source.queries[0], seed=0, variant=0)
print(render_prompt(episode, PromptFormat.INPUT_OUTPUT, instruction=True).inputs)

# %% [markdown]
# Symbols replace the tuple of label words; no text is searched.

# %%
pool = make_pool(PoolSplit.TUNING)
symbols = draw_symbols(keyed_generator(0, "notebook"), pool, 2, task.card.labels)
remapped = remap_labels(episode, LabelMap(symbols=symbols))
print(render_prompt(remapped, PromptFormat.STUDENT_TEACHER, instruction=False).inputs)

# %% [markdown]
# Flipping swaps the two words, in exemplars and answer alike.

# %%
flipped = render_prompt(flip_labels(episode), PromptFormat.ARROW, instruction=False)
print(flipped.inputs, "| expected:", flipped.choices[flipped.answer])
assert flipped.choices == task.card.labels[::-1]
