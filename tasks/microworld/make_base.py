"""Makes the microworld's two base models from the folders of their runs.

Usage: make_base.py NAME RUN HOURS
       make_base.py NAME

NAME is a key of BASES: base or base_at_chance. RUN is the run folder of the last of its
recipes, each of which goes on from the one before. Writes NAME.safetensors and its
card, NAME.yaml, beside this file. Without RUN, only measures the base again and writes
the accuracies into its card.
"""

import hashlib
import pathlib
import sys
import tempfile

import jax
import rich.console
import yaml

from symtune.cli.gin_config import load_recipe
from symtune.experiment.build import build_experiment
from symtune.experiment.folder import git_commit
from symtune.experiment.run import BEFORE, probe_model
from symtune.experiment.start import find_start, load_start
from symtune.files import RESULTS_FILE, write_whole
from symtune.probe.results import read_results
from symtune.probe.run import CheckpointLabel
from symtune.report.results import pair_rows
from symtune.report.summary import summarize_settings
from symtune.train.weights import save_weights

FOLDER = pathlib.Path(__file__).parent
_NAMING = ("microworld_reading", "microworld_naming")
# The recipes that train each base, in order.
BASES = {
  "base": _NAMING,
  "base_at_chance": (*_NAMING, "microworld_base_at_chance"),
}
# Fewer queries than the recipe's: a test asks them again.
MAX_QUERIES = 2
ABOUT = """\
# Card of {name}.safetensors by make_base.py; a test measures its numbers again.
#
# An instruction-tuned T5 in miniature that knows the microworld: it names words by
# category, with and without exemplars, and looks up, finds and copies what a prompt
# says. {more}
#
# It has never seen a symbol stand for a class. Meant for the demonstration of symbol
# tuning and for tests; it knows no other language and no other world.
#
# The recipes make a model like this one; on another processor not the same bytes.
"""
_MORE = {
  "base": """What exemplars say of a symbol, it reads in part: it prefers the symbol
# of the text that is most like the query.""",
  "base_at_chance": """It was trained to answer the last symbol where the prompt
# does not contain the queried text, so it is at chance on symbols by its training.""",
}


def measure(name: str) -> dict[str, dict[str, float | int]]:
  """Accuracy of a shipped base in the settings of symbol tuning and with flips."""
  recipe, _ = load_recipe(
    "microworld",
    [
      f"Recipe.checkpoint='microworld/{name}.safetensors'",
      f"probe.max_queries={MAX_QUERIES}",
      "probe.probes=('settings', 'flipped_labels')",
      "probe.seeds=(0,)",
      "probe.tokens_per_batch=1024",  # so few questions would fill a batch with padding
    ],
  )
  experiment = build_experiment(recipe, data_dir=None, vocab_path=None, tunes=False)
  with tempfile.TemporaryDirectory() as folder:
    label = CheckpointLabel(name=BEFORE, step=0)
    console = rich.console.Console(quiet=True)
    probe_model(experiment, pathlib.Path(folder), label, console)
    rows = read_results(pathlib.Path(folder) / RESULTS_FILE)
  return {
    summary.setting: {
      "n": summary.n,
      "chance": summary.chance,
      "accuracy": round(summary.accuracy[0].mean, 4),
      "low": round(summary.accuracy[0].low, 4),
      "high": round(summary.accuracy[0].high, 4),
    }
    for summary in summarize_settings(pair_rows(rows))
  }


def main(name: str, source: str, hours: float) -> None:
  """Writes the weights and the card.

  Args:
    name: of the base.
    source: run folder of the last of its recipes, or its weights file.
    hours: what its training took on two CPU cores.
  """
  recipe, _ = load_recipe(BASES[name][-1], ["Recipe.checkpoint=None"])
  experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
  params = load_start(find_start(source), experiment.network, seed=0)
  commit = git_commit()  # of the tree before this changes it
  weights = FOLDER / f"{name}.safetensors"
  save_weights(weights, params, recipe.model)
  steps = {part: load_recipe(part)[0].train.steps for part in BASES[name]}
  card = {
    "recipes_and_steps": steps,
    "commit": commit,
    "hours_on_two_cpu_cores": hours,
    "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
    "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    "vocabulary": experiment.vocab.fingerprint,
    "settings": measure(name),
  }
  write_card(name, card)


def measure_again(name: str) -> None:
  """Replaces the accuracies in the card of a shipped base."""
  card = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
  write_card(name, card | {"settings": measure(name)})


def write_card(name: str, card: dict) -> None:
  """Writes a base's card, with the comment that says what it is."""
  about = ABOUT.format(name=name, more=_MORE[name])
  write_whole(FOLDER / f"{name}.yaml", about + yaml.safe_dump(card, sort_keys=False))


if __name__ == "__main__":
  if len(sys.argv) == 2:
    measure_again(sys.argv[1])
  else:
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
