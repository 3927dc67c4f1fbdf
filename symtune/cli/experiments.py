"""The commands that work on a run folder: run, train, probe, report."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence

import rich.console

from symtune.cli.gin_config import load_recipe, split_overrides
from symtune.data.feed import FeedSettings
from symtune.data.leaks import describe_leaks
from symtune.experiment.build import Experiment, build_experiment
from symtune.experiment.folder import claim_folder
from symtune.experiment.recipe_json import recipe_to_json
from symtune.experiment.run import (
  AFTER,
  BEFORE,
  check_step,
  probe_model,
  run_experiment,
  train_model,
)
from symtune.probe.run import CheckpointLabel
from symtune.report.report import write_report
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """What these commands are given.

  Attributes:
    recipe: a .gin file or the name of one.
    overrides: arguments of the form --gin.NAME=VALUE.
    data: folder of rows, or None.
    vocab: SentencePiece model, or None for the recipe's own.
    out: the run's folder.
    feed: how training batches are built ahead.
  """

  recipe: str
  overrides: Sequence[str]
  data: pathlib.Path | None
  vocab: pathlib.Path | None
  out: pathlib.Path
  feed: FeedSettings | None = None


def run(inputs: Inputs) -> None:
  """Probe, tune, probe again, report."""
  console = rich.console.Console(stderr=True)
  experiment, gin_text = _build(inputs, console)
  with _claim(experiment, gin_text, inputs.out):
    run_experiment(experiment, inputs.out, console)
    report(inputs.out)


def train(inputs: Inputs) -> None:
  """Tune only."""
  console = rich.console.Console(stderr=True)
  experiment, gin_text = _build(inputs, console)
  with _claim(experiment, gin_text, inputs.out):
    if train_model(experiment, inputs.out, console).stopped_by is not None:
      raise KeyboardInterrupt
    console.print(f"checkpoints: {inputs.out / CHECKPOINTS}")


def probe(inputs: Inputs, step: int | None) -> None:
  """Probe one checkpoint of a run, the newest unless given."""
  console = rich.console.Console(stderr=True)
  experiment, gin_text = _build(inputs, console)
  newest = checkpoint.latest_step(inputs.out / CHECKPOINTS) or 0
  chosen = newest if step is None else step
  check_step(inputs.out, chosen)
  with _claim(experiment, gin_text, inputs.out):
    label = CheckpointLabel(name=_name(chosen, experiment), step=chosen)
    probe_model(experiment, inputs.out, label, console)
    report(inputs.out)


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


def _build(inputs: Inputs, console: rich.console.Console) -> tuple[Experiment, str]:
  """Reads and checks everything; bad input ends here and leaves nothing behind."""
  recipe, gin_text = load_recipe(inputs.recipe, split_overrides(inputs.overrides))
  experiment = build_experiment(
    recipe, data_dir=inputs.data, vocab_path=inputs.vocab, feed=inputs.feed
  )
  if experiment.leaks:
    console.print(f"dropped from tuning: {describe_leaks(experiment.leaks)}")
  return experiment, gin_text


def _claim(
  experiment: Experiment, gin_text: str, out: pathlib.Path
) -> contextlib.AbstractContextManager[pathlib.Path]:
  """The run's folder, for this process alone."""
  return claim_folder(
    out,
    recipe=experiment.recipe.name,
    config_hash=experiment.config_hash,
    config=recipe_to_json(experiment.recipe),
    gin=gin_text,
  )
