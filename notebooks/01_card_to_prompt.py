# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # From a card to a prompt
#
# A task card describes a task. What a prompt holds is drawn as numbers: which query,
# exemplars, format and label words. An episode is one query with its exemplars. A label
# map replaces label words with symbols. A prompt is the text of an episode.

# %%
import numpy as np

from symtune.cards.load import load_card, load_suite
from symtune.data.draw.draw import read_draw
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.prompts import PromptFormat, render_prompt
from symtune.data.remap import LabelMap, remap_labels, with_words
from symtune.data.text.symbols import PoolSplit, make_pool

# %% [markdown]
# The cards of real data sets are YAML files in `tasks/`. The rows are stored elsewhere.

# %%
card = load_card("rte")
print(card.title, card.labels, card.template, sep="\n")

# %% [markdown]
# The microworld consists of everyday words by category and needs no data. A mixture of
# one task with two exemplars per class draws one prompt for every position.

# %%
task = load_suite("microworld_eval", None)[0]
ingredient = Ingredient(min_shots=2, max_shots=2)
mixture = Mixture([(ingredient, (task,))], make_pool(PoolSplit.TUNING), seed=0)
draws = mixture.draws.draw(np.arange(3))
print(draws)

# %% [markdown]
# The numbers of the first prompt, read as an episode with the task's own label words.

# %%
drawn = read_draw(mixture.draws.tables, draws, 0, task)
episode = drawn.episode
print(render_prompt(episode, PromptFormat.INPUT_OUTPUT, instruction=True).inputs)

# %% [markdown]
# Symbols replace the tuple of label words. symtune never searches the text for labels.

# %%
remapped = remap_labels(episode, LabelMap(symbols=drawn.label_words))
prompt = render_prompt(remapped, drawn.prompt_format, instruction=False)
print(prompt.inputs)
assert prompt == mixture.prompt(0)

# %% [markdown]
# Flipping swaps the two label words, in the exemplars and in the expected answer.

# %%
swapped = with_words(episode, episode.label_words[::-1])
flipped = render_prompt(swapped, PromptFormat.ARROW, instruction=False)
print(flipped.inputs, "| expected:", flipped.choices[flipped.answer])
assert flipped.choices == task.card.labels[::-1]
