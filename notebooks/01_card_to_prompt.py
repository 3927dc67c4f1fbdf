# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # From a card to a prompt
#
# A task card describes a task. An episode is one query with its exemplars. A label map
# replaces label words with symbols. A prompt is the text of an episode.

# %%
from symtune.cards.load import load_card, load_suite
from symtune.data.episodes import EpisodeSource, Shots
from symtune.data.prompts import PromptFormat, render_prompt
from symtune.data.remap import LabelMap, flip_labels, remap_labels
from symtune.data.rng import keyed_generator
from symtune.data.text.symbols import PoolSplit, draw_symbols, make_pool

# %% [markdown]
# The cards of real data sets are YAML files in `tasks/`. The rows are stored elsewhere.

# %%
card = load_card("rte")
print(card.title, card.labels, card.template, sep="\n")

# %% [markdown]
# The microworld consists of everyday words by category and needs no data.

# %%
task = load_suite("microworld_eval", None)[0]
source = EpisodeSource(task, Shots(minimum=2, maximum=2))
episode = source.episode(source.queries[0], seed=0, variant=0)
print(render_prompt(episode, PromptFormat.INPUT_OUTPUT, instruction=True).inputs)

# %% [markdown]
# Symbols replace the tuple of label words. symtune never searches the text for labels.

# %%
pool = make_pool(PoolSplit.TUNING)
symbols = draw_symbols(keyed_generator(0, "notebook"), pool, 2, task.card.labels)
remapped = remap_labels(episode, LabelMap(symbols=symbols))
print(render_prompt(remapped, PromptFormat.STUDENT_TEACHER, instruction=False).inputs)

# %% [markdown]
# Flipping swaps the two label words, in the exemplars and in the expected answer.

# %%
flipped = render_prompt(flip_labels(episode), PromptFormat.ARROW, instruction=False)
print(flipped.inputs, "| expected:", flipped.choices[flipped.answer])
assert flipped.choices == task.card.labels[::-1]
