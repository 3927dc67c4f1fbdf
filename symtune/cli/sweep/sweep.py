"""The sweep command: recipes for networks of several sizes, or arms and seeds."""

import itertools
import pathlib
from collections.abc import Sequence

import jax
import rich.console

from symtune.cli.experiments import claim, train_stage
from symtune.cli.gin_config import (
  OVERRIDE_PREFIX,
  load_recipe,
  load_sweep,
  split_overrides,
)
from symtune.cli.sweep.arms import Inputs, run_arms
from symtune.errors import SymtuneError
from symtune.experiment.arms import Arms
from symtune.experiment.build import build_experiment
from symtune.experiment.recipe import Recipe
from symtune.experiment.run import check_trainable, run_experiment
from symtune.experiment.sweep import Sweep, SweepRun, plan_runs
from symtune.files import RESULTS_FILE, write_whole
from symtune.model.networks import param_shapes
from symtune.probe.results import read_results
from symtune.report.results import pair_rows
from symtune.report.sizes import SizeResult, check_comparable, draw_sizes, size_table
from symtune.report.summary import summarize_settings
from symtune.report.tables import to_markdown, to_terminal
from symtune.train.partition import Layout

TABLE_FILE = "sizes.md"
FIGURE_FILE = "sizes.png"


def sweep(name: str, out: pathlib.Path, only: Sequence[str], inputs: Inputs) -> None:
  """Runs all runs of a sweep and compares them; what a folder holds is not done again.

  Args:
    name: a sweep file, or the name of one.
    out: gets the run folders, a table and a figure.
    only: names of the arms that are run; all if empty.
    inputs: the settings and the data of the runs.

  Raises:
    SymtuneError: bad settings, damaged folders, or runs that cannot be compared.
  """
  loaded = load_sweep(name)
  if isinstance(loaded, Arms):
    run_arms(loaded, out, only, inputs)
    return
  if only:
    raise SymtuneError(f"--only: the sweep {loaded.name} has no arms. Remove it.")
  _run_sizes(loaded, out, inputs)


def _run_sizes(sweep: Sweep, out: pathlib.Path, inputs: Inputs) -> None:
  """Trains every network with all recipes in turn, then compares the last runs."""
  console = rich.console.Console(stderr=True)
  results, chains = [], plan_runs(sweep, out)
  for run in itertools.chain.from_iterable(chains):
    _load(run, inputs)  # a bad setting of a late run fails now
  for chain in chains:
    for run in chain[:-1]:
      _run(run, inputs, console, is_last=False)
    results.append(_run(chain[-1], inputs, console, is_last=True))
  sizes = sorted((r for r in results if r), key=lambda size: size.parameters)
  check_comparable(sizes)
  table = size_table(sizes)
  write_whole(out / TABLE_FILE, f"# {table.title}\n\n{to_markdown(table)}")
  write_whole(out / FIGURE_FILE, draw_sizes(sizes))
  rich.console.Console().print(to_terminal(table))


def _load(run: SweepRun, inputs: Inputs) -> tuple[Recipe, str]:
  """The recipe of a run, with the settings of the command line."""
  bindings = [f"Recipe.checkpoint = {str(run.start)!r}"] if run.start else []
  bindings += split_overrides(inputs.overrides)
  recipe, gin_text = load_recipe(run.recipe, bindings, include=run.model)
  if run.start and recipe.checkpoint != str(run.start):
    raise SymtuneError(
      f"{OVERRIDE_PREFIX}Recipe.checkpoint: the stage {run.recipe} starts from the "
      f"stage before it, in {run.start}. Leave the option out, or give the checkpoint "
      "in the recipe of the first stage."
    )
  return recipe, gin_text


def _run(
  run: SweepRun, inputs: Inputs, console: rich.console.Console, *, is_last: bool
) -> SizeResult | None:
  """One training run; the last run of a network is probed before and after."""
  recipe, gin_text = _load(run, inputs)
  console.print(f"{run.folder}: {recipe.name} with {run.model}")
  experiment = build_experiment(recipe, data_dir=inputs.data, vocab_path=inputs.vocab)
  check_trainable(experiment)
  with claim(experiment, gin_text, run.folder):
    if not is_last:
      train_stage(experiment, run.folder, console, Layout())
      return None
    run_experiment(experiment, run.folder, console)
  paired = pair_rows(read_results(run.folder / RESULTS_FILE))
  shapes = jax.tree.leaves(param_shapes(experiment.network))
  return SizeResult(
    parameters=sum(leaf.size for leaf in shapes),
    checkpoints=paired.checkpoints,
    summaries=summarize_settings(paired),
  )
