"""Experiment -> finished run folder: probe, tune, probe again, report.

Everything can be resumed: each part checks what the folder holds and does the rest.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence

import jax
import optax
import rich.console

from symtune.checksums import object_to_json
from symtune.convert.load import check_config
from symtune.data.batches.batch import HostShard
from symtune.data.batches.windows import StreamCounts
from symtune.data.instruction_prompts import InstructionMaker
from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer, native_answerer
from symtune.experiment.build import Experiment, make_batches
from symtune.experiment.folder import git_commit
from symtune.experiment.recipe_json import recipe_to_json
from symtune.experiment.start import load_start
from symtune.experiment.trackers import TrackerKind, open_tracker
from symtune.files import DATA_FILE, RESULTS_FILE, write_whole
from symtune.model.axes import Rules
from symtune.model.network import Params
from symtune.model.networks import param_axes, param_shapes
from symtune.probe.questions import Inquiry
from symtune.probe.run import CheckpointLabel, RunContext, run_probes
from symtune.train import checkpoint, hosts, partition
from symtune.train.loop import CHECKPOINTS, FitResult, fit
from symtune.train.optim import make_optimizer, make_schedule
from symtune.train.progress import Progress
from symtune.train.state import TrainState, create_state
from symtune.train.step import jit_train_step

BEFORE, AFTER = "before", "after"


def check_trainable(
  experiment: Experiment, layout: partition.Layout | None = None
) -> None:
  """Refuses settings that tuning cannot work with, before a folder is claimed.

  Args:
    experiment: the network, its start and the optimizer.
    layout: how parameters and batches are sharded; None replicates the parameters.

  Raises:
    SymtuneError: the start has another network, or the optimizer's settings or the
      layout do not suit the network, the batches or the devices.
  """
  layout = layout or partition.Layout()
  recipe, network = experiment.recipe, experiment.network
  if experiment.start is not None:
    check_config(experiment.start.source, network.config)
  shapes = param_shapes(network)
  make_optimizer(recipe.optimizer, shapes)
  mesh = partition.make_mesh(model_devices=layout.model_devices)
  rules = partition.layout_rules(layout)
  partition.param_shardings(shapes, param_axes(network), mesh, rules)
  rows = recipe.mixture.batches.batch_size
  if rows % layout.microbatches:
    raise SymtuneError(
      f"--microbatches: got {layout.microbatches}, expected a divisor of the batch's "
      f"{rows} rows. Change it, or --gin.mixture.batch_size."
    )
  HostShard(index=jax.process_index(), count=jax.process_count()).check(rows)
  partition.check_rows(rows // jax.process_count(), mesh)


def train_model(
  experiment: Experiment,
  run_dir: pathlib.Path,
  console: rich.console.Console,
  layout: partition.Layout | None = None,
  trackers: Sequence[TrackerKind] = (),
) -> FitResult:
  """Tunes the network, starting from the folder's newest checkpoint.

  Args:
    experiment: the network and its data.
    run_dir: gets checkpoints/, metrics.jsonl, timing.jsonl and data.json.
    console: shows progress.
    layout: how parameters and batches are sharded; None replicates the parameters.
    trackers: where the metrics are shown besides.

  Returns:
    How training ended.

  Raises:
    SymtuneError: the loss is not finite, or a checkpoint is damaged.
  """
  recipe, layout = experiment.recipe, layout or partition.Layout()
  mesh = partition.make_mesh(model_devices=layout.model_devices)
  optimizer = make_optimizer(recipe.optimizer, param_shapes(experiment.network))
  step = functools.partial(
    jit_train_step,
    network=experiment.network,
    optimizer=optimizer,
    schedule=make_schedule(recipe.optimizer),
    loss_settings=recipe.loss,
    trainable=recipe.optimizer.trainable,
    num_microbatches=layout.microbatches,
  )
  batches = make_batches(
    experiment, HostShard(index=jax.process_index(), count=jax.process_count())
  )
  config = json.loads(recipe_to_json(recipe))
  kinds = trackers if hosts.is_first() else ()
  fit_here = functools.partial(
    fit,
    batches=batches,
    settings=recipe.train,
    run_dir=run_dir,
    config_hash=experiment.config_hash,
    config=config,
    progress=Progress(recipe.train.steps, console),
  )
  with contextlib.ExitStack() as stack:
    identity = experiment.config_hash
    opened = [
      stack.enter_context(open_tracker(kind, run_dir, identity, config))
      for kind in kinds
    ]
    if jax.device_count() == 1:
      params = load_start(experiment.start, experiment.network, recipe.train.seed)
      state = create_state(params, optimizer, recipe.train.seed)
      result = fit_here(state=state, train_step=step(), trackers=opened)
    else:
      rules = partition.layout_rules(layout)
      state, shardings = sharded_state(experiment, optimizer, mesh, rules)
      result = fit_here(
        state=state,
        train_step=step(mesh=mesh, rules=rules, shardings=shardings),
        put_batch=partition.batch_putter(mesh),
        trackers=opened,
      )
  if hosts.is_first():
    _report_data(experiment, batches.counts, run_dir, console)
  return result


def sharded_state(
  experiment: Experiment,
  optimizer: optax.GradientTransformation,
  mesh: jax.sharding.Mesh,
  rules: Rules,
) -> tuple[TrainState, TrainState]:
  """The state before the first step; no device ever holds more than its shards.

  Args:
    experiment: gives the network and the source of the parameters.
    optimizer: as made by `make_optimizer`.
    mesh: the devices.
    rules: how parameters are sharded.

  Returns:
    The state, and the sharding of each of its arrays.

  Raises:
    SymtuneError: the checkpoint is damaged, or an axis does not divide evenly.
  """
  network, seed = experiment.network, experiment.recipe.train.seed
  shapes = param_shapes(network)
  places = partition.param_shardings(shapes, param_axes(network), mesh, rules)
  make = functools.partial(create_state, optimizer=optimizer, seed=seed)
  shardings = partition.state_shardings(jax.eval_shape(make, shapes), places, mesh)
  params = load_start(experiment.start, network, seed, places)
  return jax.jit(make, out_shardings=shardings, donate_argnums=0)(params), shardings


def probe_model(
  experiment: Experiment,
  run_dir: pathlib.Path,
  label: CheckpointLabel,
  console: rich.console.Console,
) -> None:
  """Probes one checkpoint; questions with results in the folder are not asked again.

  Args:
    experiment: tasks, settings and vocabulary.
    run_dir: holds the checkpoints; gets results.jsonl.
    label: which checkpoint; step 0 is the network before tuning.
    console: shows progress.

  Raises:
    SymtuneError: the checkpoint does not exist, or results.jsonl is damaged.
  """
  params = load_step(experiment, run_dir, label.step)
  reader, network = experiment.reader, experiment.network
  answerer = native_answerer(reader, label, network, params, run_dir)
  ask(experiment.inquiry, answerer, reader.vocab, run_dir, console)


def ask(
  inquiry: Inquiry,
  answerer: Answerer,
  vocab: Vocab | None,
  run_dir: pathlib.Path,
  console: rich.console.Console,
) -> None:
  """Asks one answerer every probe; questions with results are not asked again.

  Args:
    inquiry: the questions.
    answerer: a checkpoint or a baseline.
    vocab: the vocabulary that the questions are read with; None if that is not known.
    run_dir: gets results.jsonl.
    console: shows progress.

  Raises:
    SymtuneError: results.jsonl is damaged, or a question cannot be answered.
  """
  run_probes(
    answerer.score,
    inquiry.questions,
    results_path=run_dir / RESULTS_FILE,
    label=answerer.label,
    context=RunContext(
      config_hash=inquiry.config_hash,
      vocab_hash="" if vocab is None else vocab.fingerprint[:16],
      git_commit=git_commit(),
    ),
    console=console,
    calibration=inquiry.calibration,
  )


def run_experiment(
  experiment: Experiment,
  run_dir: pathlib.Path,
  console: rich.console.Console,
  trackers: Sequence[TrackerKind] = (),
) -> None:
  """Probes, tunes and probes again; parts that are already done are skipped.

  Args:
    experiment: what to run.
    run_dir: a claimed folder (`folder.claim_folder`).
    console: shows progress.
    trackers: where the metrics of training are shown besides.

  Raises:
    SymtuneError: something in the folder is damaged, or training failed.
    KeyboardInterrupt: a signal stopped training; the same call continues it.
  """
  steps = experiment.recipe.train.steps
  probe_model(experiment, run_dir, CheckpointLabel(name=BEFORE, step=0), console)
  # The state is let go of: probing needs the memory.
  stopped_by = train_model(experiment, run_dir, console, trackers=trackers).stopped_by
  if stopped_by is not None:
    raise KeyboardInterrupt(stopped_by)
  probe_model(experiment, run_dir, CheckpointLabel(name=AFTER, step=steps), console)


def check_step(run_dir: pathlib.Path, step: int) -> None:
  """Refuses a step that a run folder has no checkpoint of; 0 is before tuning.

  Raises:
    SymtuneError: the message lists the existing steps.
  """
  known = (0, *checkpoint.steps(run_dir / CHECKPOINTS))
  if step not in known:
    raise SymtuneError(
      f"{run_dir} has no checkpoint of step {step}, expected one of {list(known)}. "
      f"Train first, or choose another --step."
    )


def load_step(experiment: Experiment, run_dir: pathlib.Path, step: int) -> Params:
  """The parameters of a step; those of step 0 are from the recipe's start.

  Raises:
    SymtuneError: the folder has no such step, or its files are damaged.
  """
  check_step(run_dir, step)
  if step == 0:
    seed = experiment.recipe.train.seed
    return load_start(experiment.start, experiment.network, seed)
  shapes = param_shapes(experiment.network)
  return jax.device_put(checkpoint.load_params(run_dir / CHECKPOINTS, step, shapes))


def _report_data(
  experiment: Experiment,
  counts: StreamCounts,
  run_dir: pathlib.Path,
  console: rich.console.Console,
) -> None:
  """Writes and prints what became of the tuning prompts, so no loss goes unnoticed."""
  assert experiment.mixture is not None, "the experiment was not built for tuning"
  entries = experiment.mixture.draws.entries
  tasks = [entry.task for entry in entries if isinstance(entry, InstructionMaker)]
  left_out = {task.name: task.left_out for task in tasks if task.left_out}
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
    "instructions_left_out": left_out,
  }
  write_whole(run_dir / DATA_FILE, object_to_json(about))
  console.print(
    f"tuning prompts: {counts.prompts} built, {counts.shortened} lost "
    f"{counts.exemplars_dropped} exemplars to fit, {counts.skipped} did not fit"
  )
  for name, count in left_out.items():
    console.print(f"{name}: {count} rows without instruction or output left out")
