# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Probe anything that can score
#
# A probe makes questions, and a scorer answers them. Three scorers that need no model
# show what the numbers of a probe mean.

# %%
from symtune.cards.load import load_suite
from symtune.data.text.symbols import PoolSplit, make_pool
from symtune.probe.answer.scorers import (
  make_random_scorer,
  score_by_oracle,
  score_by_prior,
)
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.settings import FourSettings
from symtune.stats.means import wilson_interval

# %%
tasks = load_suite("microworld_eval", None)[:6]
settings = ProbeSettings(
  pool=make_pool(PoolSplit.EVALUATION), max_queries=24, seeds=(0,)
)
items = [
  item
  for probe in (FourSettings(), FlippedLabels())
  for task in tasks
  for item in probe.items(task, settings)
]
print(items[3].prompt.inputs)


# %%
def accuracy(score, setting):
  """Accuracy in one setting, with n and Wilson's 95% interval."""
  asked = [item for item in items if item.setting == setting]
  right = sum(
    max(range(2), key=answer.log_likelihoods.__getitem__) == item.prompt.answer
    for item, answer in zip(asked, score(asked), strict=True)
  )
  e = wilson_interval(right / len(asked), len(asked))
  return f"{e.mean:.2f} [{e.low:.2f}, {e.high:.2f}] n={e.n}"


for name, score in (
  ("oracle", score_by_oracle),
  ("prior only", score_by_prior),
  ("random", make_random_scorer(0)),
):
  for setting in ("labels", "neither", "flipped"):
    print(f"{name:12}{setting:10}{accuracy(score, setting)}")

# %%
assert accuracy(score_by_oracle, "flipped").startswith("1.00")
assert accuracy(score_by_prior, "flipped").startswith("0.00")
