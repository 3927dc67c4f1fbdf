"""Experiment -> finished run folder: probe, tune, probe again, report.

Everything is resumable: each part looks at what the folder holds and does the rest.
"""

import dataclasses
import functools
import json
import pathlib

import jax
import numpy as np
import rich.console

from symtune.data.batches import HostShard, StreamCounts
from symtune.errors import SymtuneError
from symtune.experiment.build import (
  PROBES,
  Experiment,
  make_batches,
  make_probe_tokenizer,
)
from symtune.experiment.folder import git_commit
from symtune.experiment.recipe_json import recipe_to_json
from symtune.experiment.start import load_start
from symtune.files import DATA_FILE, RESULTS_FILE, write_whole
from symtune.model.network import Params, Transformer, param_axes, param_shapes
from symtune.model.score import score_candidates
from symtune.probe.run import CheckpointLabel, RunContext, run_probes
from symtune.probe.scorers import ModelScorer
from symtune.train import checkpoint, partition
from symtune.train.loop import CHECKPOINTS, FitResult, fit
from symtune.train.optim import make_optimizer, make_schedule
from symtune.train.progress import Progress
from symtune.train.state import create_state
from symtune.train.step import jit_train_step

BEFORE, AFTER = "before", "after"


def train_model(
  experiment: Experiment, run_dir: pathlib.Path, console: rich.console.Console
) -> FitResult:
  """Tunes the network, from where the folder's newest checkpoint stands.

  Args:
    experiment: what to train on what.
    run_dir: gets checkpoints/, metrics.jsonl, timing.jsonl and data.json.
    console: shows progress.

  Returns:
    How training ended.

  Raises:
    SymtuneError: the loss is not finite, or a checkpoint is damaged.
  """
  recipe = experiment.recipe
  params = load_start(experiment.start, experiment.network, recipe.train.seed)
  optimizer = make_optimizer(recipe.optimizer, params)
  state = create_state(params, optimizer, recipe.train.seed)
  step = functools.partial(
    jit_train_step,
    network=experiment.network,
    optimizer=optimizer,
    schedule=make_schedule(recipe.optimizer),
    loss_settings=recipe.loss,
  )
  batches = make_batches(
    experiment, HostShard(index=jax.process_index(), count=jax.process_count())
  )
  fit_here = functools.partial(
    fit,
    batches=batches,
    settings=recipe.train,
    run_dir=run_dir,
    config_hash=experiment.config_hash,
    config=json.loads(recipe_to_json(recipe)),
    progress=Progress(recipe.train.steps, console),
  )
  if jax.device_count() == 1:
    result = fit_here(state=state, train_step=step())
  else:
    mesh = partition.make_mesh()
    axes = param_axes(experiment.network)
    shardings = partition.state_shardings(
      state, partition.param_shardings(params, axes, mesh), mesh
    )
    result = fit_here(
      state=jax.device_put(state, shardings),
      train_step=step(mesh=mesh, shardings=shardings),
      put_batch=partition.batch_putter(mesh),
    )
  _report_data(experiment, batches.counts, run_dir, console)
  return result


def probe_model(
  experiment: Experiment,
  run_dir: pathlib.Path,
  label: CheckpointLabel,
  console: rich.console.Console,
) -> None:
  """Probes one checkpoint; rows that the folder already holds are not asked again.

  Args:
    experiment: tasks, settings and vocabulary.
    run_dir: holds the checkpoints; gets results.jsonl.
    label: which checkpoint; step 0 is the network before tuning.
    console: shows progress.

  Raises:
    SymtuneError: no such checkpoint, or results.jsonl is damaged.
  """
  params = _load_params(experiment, run_dir, label.step)
  scorer = ModelScorer(
    functools.partial(_score_arrays, experiment.network, params),
    make_probe_tokenizer(experiment),
    tokens_per_batch=experiment.recipe.probe.tokens_per_batch,
  )
  run_probes(
    scorer,
    PROBES,
    experiment.probe_tasks,
    experiment.probe_settings,
    results_path=run_dir / RESULTS_FILE,
    label=label,
    context=RunContext(
      config_hash=experiment.config_hash,
      vocab_hash=experiment.vocab.fingerprint[:16],
      git_commit=git_commit(),
    ),
    console=console,
  )


def run_experiment(
  experiment: Experiment, run_dir: pathlib.Path, console: rich.console.Console
) -> None:
  """Probes, tunes and probes again; whatever is done already is not done twice.

  Args:
    experiment: what to run.
    run_dir: a claimed folder (`folder.claim_folder`).
    console: shows progress.

  Raises:
    SymtuneError: something in the folder is damaged, or training failed.
    KeyboardInterrupt: a signal stopped training; the same call continues it.
  """
  steps = experiment.recipe.train.steps
  probe_model(experiment, run_dir, CheckpointLabel(name=BEFORE, step=0), console)
  if train_model(experiment, run_dir, console).stopped_by is not None:
    raise KeyboardInterrupt
  probe_model(experiment, run_dir, CheckpointLabel(name=AFTER, step=steps), console)


def check_step(run_dir: pathlib.Path, step: int) -> None:
  """Refuses a step that a run folder has no checkpoint of; 0 is before tuning.

  Raises:
    SymtuneError: names the steps that there are.
  """
  known = (0, *checkpoint.steps(run_dir / CHECKPOINTS))
  if step not in known:
    raise SymtuneError(
      f"{run_dir} has no checkpoint of step {step}, expected one of {list(known)}. "
      f"Train first, or choose another --step."
    )


def _load_params(experiment: Experiment, run_dir: pathlib.Path, step: int) -> Params:
  check_step(run_dir, step)
  if step == 0:
    seed = experiment.recipe.train.seed
    return load_start(experiment.start, experiment.network, seed)
  shapes = param_shapes(experiment.network)
  return jax.device_put(checkpoint.load_params(run_dir / CHECKPOINTS, step, shapes))


_jit_score = jax.jit(score_candidates, static_argnums=0)


def _score_arrays(
  network: Transformer, params: Params, inputs: np.ndarray, targets: np.ndarray
) -> np.ndarray:
  return np.asarray(_jit_score(network, params, inputs, targets))


def _report_data(
  experiment: Experiment,
  counts: StreamCounts,
  run_dir: pathlib.Path,
  console: rich.console.Console,
) -> None:
  """Writes and prints what became of the tuning prompts: nothing is lost unseen."""
  about = {
    "prompts": dataclasses.asdict(counts),
    "leaks_dropped": [
      {
        "tuning": leak.tuning,
        "evaluation": leak.evaluation,
        "rows": len(leak.rows),
      }
      for leak in experiment.leaks
    ],
  }
  write_whole(run_dir / DATA_FILE, json.dumps(about, indent=2) + "\n")
  console.print(
    f"tuning prompts: {counts.prompts} built, {counts.shortened} lost "
    f"{counts.demos_dropped} exemplars to fit, {counts.skipped} did not fit"
  )
