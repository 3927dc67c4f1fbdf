"""The commands that work on a run folder: run, train, probe, report."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

import rich.console

from symtune.cli.gin_config import load_recipe, split_overrides
from symtune.data.leaks import describe_leaks
from symtune.experiment.build import Experiment, build_experiment
from symtune.experiment.folder import claim_folder
from symtune.experiment.recipe import recipe_to_json
from symtune.experiment.run import (
  AFTER,
  BEFORE,
  probe_model,
  run_experiment,
  train_model,
)
from symtune.probe.run import CheckpointLabel
from symtune.report.report import write_report
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS


def run(recipe, overrides, data, vocab, out) -> None:
  """Probe, tune, probe again, report."""
  with _open(recipe, overrides, data, vocab, out) as (experiment, run_dir, console):
    run_experiment(experiment, run_dir, console)
    report(run_dir)


def train(recipe, overrides, data, vocab, out) -> None:
  """Tune only."""
  with _open(recipe, overrides, data, vocab, out) as (experiment, run_dir, console):
    if train_model(experiment, run_dir, console).stopped_by is not None:
      raise KeyboardInterrupt
    console.print(f"checkpoints: {run_dir / CHECKPOINTS}")


def probe(recipe, overrides, data, vocab, out, step: int | None) -> None:
  """Probe one checkpoint of a run."""
  with _open(recipe, overrides, data, vocab, out) as (experiment, run_dir, console):
    newest = checkpoint.latest_step(run_dir / CHECKPOINTS) or 0
    chosen = newest if step is None else step
    label = CheckpointLabel(name=_name(chosen, experiment), step=chosen)
    probe_model(experiment, run_dir, label, console)
    report(run_dir)


def report(run_dir: pathlib.Path) -> None:
  """Write and print the report of a run."""
  table = write_report(run_dir)
  console = rich.console.Console()
  console.print(table)
  console.print(f"run folder: {run_dir}")


def _name(step: int, experiment: Experiment) -> str:
  if step == 0:
    return BEFORE
  return AFTER if step == experiment.recipe.train.steps else f"step {step}"


@contextlib.contextmanager
def _open(
  recipe: str,
  overrides: Sequence[str],
  data: pathlib.Path | None,
  vocab: pathlib.Path | None,
  out: pathlib.Path,
) -> Iterator[tuple[Experiment, pathlib.Path, rich.console.Console]]:
  """Checks everything, then claims the folder: bad input leaves nothing behind."""
  console = rich.console.Console(stderr=True)
  settings, gin_text = load_recipe(recipe, split_overrides(overrides))
  experiment = build_experiment(settings, data_dir=data, vocab_path=vocab)
  if experiment.leaks:
    console.print(f"dropped from tuning: {describe_leaks(experiment.leaks)}")
  with claim_folder(
    out,
    recipe=settings.name,
    config_hash=experiment.config_hash,
    config=recipe_to_json(settings),
    gin=gin_text,
  ) as run_dir:
    yield experiment, run_dir, console
