"""Makes the microworld's base model: python tasks/microworld/make_base.py RUN HOURS.

RUN is the folder of the last of three trainings, each of which goes on from the one
before (their recipes say how): microworld_reading, microworld_naming, microworld_base.
Writes base.safetensors and its card, base.yaml, beside this file.
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
PARTS = ("microworld_reading", "microworld_naming", "microworld_base")
WEIGHTS = FOLDER / "base.safetensors"
# Fewer queries than the recipe's: a test asks them again.
MAX_QUERIES = 10
ABOUT = """\
# Card of base.safetensors, written by make_base.py; a test measures the numbers again.
#
# An instruction-tuned T5 in miniature that knows the microworld: it names words by
# category, with and without exemplars, and looks up, finds and copies what a prompt
# says. It has never seen a symbol stand for a class. Meant for the demonstration of
# symbol tuning and for tests; it knows no other language and no other world.
#
# The recipes make a model like this one; on another processor not the same bytes.
"""


def measure() -> dict[str, dict[str, float | int]]:
  """Accuracy of the shipped weights in every setting of the recipe `microworld`."""
  recipe, _ = load_recipe(
    "microworld", [f"probe.max_queries={MAX_QUERIES}", "probe.seeds=(0,)"]
  )
  experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
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


def main(source: str, hours: float) -> None:
  """Writes the weights and the card.

  Args:
    source: run folder of the recipe microworld_base, or its weights file.
    hours: what the three parts of its training took on two CPU cores.
  """
  recipe, _ = load_recipe("microworld_base", ["Recipe.checkpoint=None"])
  experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
  params = load_start(find_start(source), experiment.network, seed=0)
  commit = git_commit()  # of the tree before this changes it
  save_weights(WEIGHTS, params, recipe.model)
  steps = {name: load_recipe(name)[0].train.steps for name in PARTS}
  card = {
    "recipes_and_steps": steps,
    "commit": commit,
    "hours_on_two_cpu_cores": hours,
    "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
    "sha256": hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(),
    "vocabulary": experiment.vocab.fingerprint,
    "settings": measure(),
  }
  write_whole(FOLDER / "base.yaml", ABOUT + yaml.safe_dump(card, sort_keys=False))


if __name__ == "__main__":
  main(sys.argv[1], float(sys.argv[2]))
