"""The commands that work on a run folder: run, train, probe, report."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence

import rich.console

from symtune.checks import parse_choice
from symtune.cli.gin_config import load_recipe, split_overrides
from symtune.data.batches.feed import FeedSettings
from symtune.data.text.leaks import describe_leaks
from symtune.errors import SymtuneError
from symtune.experiment.answerers import open_answerers
from symtune.experiment.build import Experiment, build_experiment
from symtune.experiment.folder import claim_folder
from symtune.experiment.recipe_json import recipe_to_json
from symtune.experiment.run import (
  AFTER,
  BEFORE,
  ask,
  check_step,
  check_trainable,
  probe_model,
  run_experiment,
  train_model,
)
from symtune.experiment.trackers import TrackerKind, check_tracker
from symtune.files import RUN_FILE, write_whole
from symtune.lab.results import LabResults
from symtune.probe.own import read_probes
from symtune.probe.run import CheckpointLabel
from symtune.report.canvas import Form
from symtune.report.lab.join import join_runs
from symtune.report.report import PAGE_FILE, write_report
from symtune.report.rules import Rule
from symtune.train import checkpoint, hosts
from symtune.train.loop import CHECKPOINTS
from symtune.train.partition import Layout, make_mesh
from symtune.train.versions import check_versions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """The inputs that these commands share.

  Attributes:
    recipe: a .gin file or the name of one.
    overrides: arguments of the form --gin.NAME=VALUE.
    data: folder of rows, local or gs://, or None.
    vocab: SentencePiece model, or None for the recipe's own.
    out: the run's folder.
    feed: how training batches are built in advance.
    trackers: where metrics are shown besides, as `--track` gives it.
    probes: asked instead of the recipe's: comma-separated names, and FILE.py:CLASS.
  """

  recipe: str
  overrides: Sequence[str]
  data: str | None
  vocab: pathlib.Path | None
  out: pathlib.Path
  feed: FeedSettings | None = None
  trackers: Sequence[str] = ()
  probes: str | None = None


def run(inputs: Inputs) -> None:
  """Probe, tune, probe again, report."""
  console, trackers = rich.console.Console(stderr=True), _trackers(inputs)
  experiment, gin_text = _build(inputs, console)
  _check_asks(experiment)
  check_trainable(experiment)
  with claim(experiment, gin_text, inputs.out):
    run_experiment(experiment, inputs.out, console, trackers)
    report(inputs.out)


def train(inputs: Inputs, layout: Layout, *, distributed: bool) -> None:
  """Tune only, in one process or as one of many."""
  if not distributed:
    _train(inputs, layout)
    return
  hosts.join()
  with hosts.ending_together(hosts.find_peers()):
    check_versions()
    _train(inputs, layout)


def _train(inputs: Inputs, layout: Layout) -> None:
  console = rich.console.Console(stderr=True, quiet=not hosts.is_first())
  trackers = _trackers(inputs)
  make_mesh(model_devices=layout.model_devices)  # before minutes of preparation
  experiment, gin_text = _build(inputs, console)
  hosts.check_same(experiment.config_hash, "configuration")
  check_trainable(experiment, layout)
  with _claim_once(experiment, gin_text, inputs.out):
    train_stage(experiment, inputs.out, console, layout, trackers)
    console.print(f"checkpoints: {inputs.out / CHECKPOINTS}")


def train_stage(
  experiment: Experiment,
  out: pathlib.Path,
  console: rich.console.Console,
  layout: Layout,
  trackers: Sequence[TrackerKind] = (),
) -> None:
  """Tunes to the last step; a signal stops the whole command, not just tuning."""
  result = train_model(experiment, out, console, layout, trackers)
  if result.stopped_by is not None:
    raise KeyboardInterrupt(result.stopped_by)


def _trackers(inputs: Inputs) -> tuple[TrackerKind, ...]:
  """The trackers that are asked for, if their packages are installed."""
  kinds = [parse_choice(TrackerKind, name, "--track") for name in inputs.trackers]
  for kind in kinds:
    check_tracker(kind)
  return tuple(kinds)


def probe(
  inputs: Inputs,
  *,
  step: int | None,
  checkpoints: Sequence[str],
  dtype: str | None = None,
) -> None:
  """Probe one checkpoint of a run (the newest by default), or any others."""
  console = rich.console.Console(stderr=True)
  if checkpoints and step is not None:
    raise SymtuneError("got --step and --checkpoint, expected one. Use RUN@STEP.")
  if dtype is not None and not checkpoints:
    raise SymtuneError(
      "got --dtype without --checkpoint. A run uses the dtype of its recipe: set "
      "T5Config.dtype or DecoderConfig.dtype = 'bfloat16' there."
    )
  if step is None and not checkpoints and not (inputs.out / RUN_FILE).exists():
    raise SymtuneError(
      f"--out {inputs.out}: there is no run, expected the folder of one. Correct it, "
      "give --step 0 to ask the model before tuning, or --checkpoint to ask others."
    )
  experiment, gin_text = _build(inputs, console, tunes=False, others=checkpoints)
  _check_asks(experiment)
  if checkpoints:
    opened = open_answerers(checkpoints, experiment.reader, inputs.out, dtype)
    with claim(experiment, gin_text, inputs.out):
      for one in opened:
        answerer = one.read()
        ask(experiment.inquiry, answerer, experiment.vocab, inputs.out, console)
      report(inputs.out, order=[(o.label.name, o.label.step) for o in opened])
    return
  newest = checkpoint.latest_step(inputs.out / CHECKPOINTS) or 0
  chosen = newest if step is None else step
  check_step(inputs.out, chosen)
  with claim(experiment, gin_text, inputs.out):
    label = CheckpointLabel(name=_name(chosen, experiment), step=chosen)
    probe_model(experiment, inputs.out, label, console)
    report(inputs.out)


def report_runs(
  run_dirs: Sequence[pathlib.Path],
  out: pathlib.Path | None,
  rule: str,
  figures: str = "",
) -> None:
  """Write and print the report of a run, or of several in a folder of their own.

  Raises:
    SymtuneError: several runs without --out, or runs that cannot be joined.
  """
  names = [name.strip() for name in figures.split(",") if name.strip()]
  forms = [parse_choice(Form, name, "--figures") for name in names]
  if len(run_dirs) == 1 and out is None:
    report(run_dirs[0], rule, forms=forms)
    return
  if out is None:
    raise SymtuneError("got several runs, expected --out with a new folder for them.")
  parse_choice(Rule, rule, "--rule")
  join_runs(run_dirs, out)
  report(out, rule, forms=forms)


def export(
  run_dirs: Sequence[pathlib.Path], out: pathlib.Path | None, rule: str, kind: str
) -> None:
  """Write the tables of one run into a file, or print them (`-`, or no --out).

  Raises:
    SymtuneError: several runs, or a folder as --out.
  """
  if len(run_dirs) != 1:
    raise SymtuneError(
      "--format takes one run. Join several first, with --out and a new folder, and "
      "then give that folder."
    )
  text = LabResults(run_dirs[0]).export(kind, rule)
  if out is None or str(out) == "-":
    sys.stdout.write(text)
    return
  if out.is_dir():
    raise SymtuneError(f"--out {out}: is a folder, expected a file, or - to print.")
  write_whole(out, text)


def report(
  run_dir: pathlib.Path,
  rule: str = Rule.SUM,
  order: Sequence[tuple[str, int]] = (),
  forms: Sequence[Form] = (),
) -> None:
  """Write and print the report of a run."""
  tables = write_report(run_dir, parse_choice(Rule, rule, "--rule"), order, forms)
  console = rich.console.Console()
  for table in tables:
    console.print(table)
    console.line()
  console.print(f"run folder: {run_dir}")
  link = (run_dir / PAGE_FILE).resolve().as_uri()
  console.print(f"lab report: {link}", soft_wrap=True, highlight=False)


def _check_asks(experiment: Experiment) -> None:
  """Refuses a recipe without questions."""
  if not experiment.recipe.asks:
    raise SymtuneError(
      f"recipe {experiment.recipe.name} asks nothing (probe.suite is ''). Tune with "
      f"symtune train, and ask the checkpoint with symtune instruct eval; or set "
      f"--gin.probe.suite to a suite of probe tasks."
    )


def _name(step: int, experiment: Experiment) -> str:
  if step == 0:
    return BEFORE
  return AFTER if step == experiment.recipe.train.steps else f"step {step}"


def _build(
  inputs: Inputs,
  console: rich.console.Console,
  *,
  tunes: bool = True,
  others: Sequence[str] = (),
) -> tuple[Experiment, str]:
  """Reads and checks everything; bad input fails here, before any file is written."""
  recipe, gin_text = load_recipe(inputs.recipe, split_overrides(inputs.overrides))
  own_probes = ()
  if inputs.probes is not None:
    asked = read_probes(inputs.probes)
    names = tuple(probe for probe in asked if isinstance(probe, str))
    own_probes = tuple(probe for probe in asked if not isinstance(probe, str))
    plan = dataclasses.replace(recipe.probe, probes=names)
    recipe = dataclasses.replace(recipe, probe=plan)
  experiment = build_experiment(
    recipe,
    data_dir=inputs.data,
    vocab_path=inputs.vocab,
    feed=inputs.feed,
    tunes=tunes,
    others=others,
    own_probes=own_probes,
  )
  if experiment.absent is not None:
    console.print(
      f"not checked for leaks: the tuning rows {experiment.absent} are not in the data "
      f"folder, so nobody knows whether the model was tuned on texts of the questions",
      soft_wrap=True,
    )
  if experiment.leaks:
    console.print(f"dropped from tuning: {describe_leaks(experiment.leaks)}")
  for name, count in experiment.left_out.items():
    console.print(f"{name}: {count:,} rows left out: no gold label, or split 'test'")
  return experiment, gin_text


@contextlib.contextmanager
def _claim_once(
  experiment: Experiment, gin_text: str, out: pathlib.Path
) -> Iterator[None]:
  """The first process claims the run's folder for all; if it fails, all of them do."""
  problem = None
  with contextlib.ExitStack() as stack:
    if hosts.is_first():
      try:
        stack.enter_context(claim(experiment, gin_text, out))
      except (SymtuneError, OSError) as error:  # raised below, once all know
        problem = error
    hosts.raise_together(problem, f"{out} was opened")
    yield


def claim(
  experiment: Experiment, gin_text: str, out: pathlib.Path
) -> contextlib.AbstractContextManager[pathlib.Path]:
  """Claims the run's folder for this process alone."""
  return claim_folder(
    out,
    recipe=experiment.recipe.name,
    config_hash=experiment.config_hash,
    config=recipe_to_json(experiment.recipe),
    gin=gin_text,
  )
