"""The `symtune` command: a thin function per command; errors become one message."""

import pathlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from symtune.cli import data, look, options, symbols
from symtune.cli.align import app as align
from symtune.cli.instruct import app as instruct
from symtune.cli.interrupts import Commands
from symtune.cli.ralm import app as ralm
from symtune.cli.regression import app as regression
from symtune.errors import SymtuneError

if TYPE_CHECKING:  # commands import what they need, so that help appears at once
  from symtune.data.batches.feed import FeedSettings

app = typer.Typer(
  name="symtune",
  cls=Commands,
  help="Symbol tuning and in-context-learning probes for T5 and decoder-only models.",
  no_args_is_help=True,
  add_completion=False,
  pretty_exceptions_enable=False,
  rich_markup_mode=None,
)

app.add_typer(data.app, name="data")
app.add_typer(symbols.app, name="symbols")
app.add_typer(regression.app, name="regression")
app.add_typer(align.app, name="align")
app.add_typer(instruct.app, name="instruct")

# Unknown options, such as --gin.NAME=VALUE, become arguments of the command.
_WITH_GIN = {"ignore_unknown_options": True}


@app.command(context_settings=_WITH_GIN)
def run(
  recipe: options.Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
  workers: options.Workers = 0,
  token_cache: options.TokenCache = None,
  track: options.Track = None,
  probes: options.Probes = None,
) -> None:
  """Probe, tune, probe again and report."""
  from symtune.cli import experiments

  experiments.run(
    experiments.Inputs(
      recipe=recipe,
      overrides=overrides or [],
      data=data,
      vocab=vocab,
      out=out,
      feed=_feed(workers, token_cache),
      trackers=track or (),
      probes=probes,
    )
  )


@app.command(context_settings=_WITH_GIN)
def train(
  recipe: options.Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
  distributed: Annotated[
    bool,
    typer.Option(
      help="One of several processes, which find each other by what the TPU slice, "
      "SLURM or Kubernetes says, or by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
      "JAX_PROCESS_ID."
    ),
  ] = False,
  model_devices: options.ModelDevices = 1,
  shard_params: options.ShardParams = False,
  microbatches: options.Microbatches = 1,
  workers: options.Workers = 0,
  token_cache: options.TokenCache = None,
  track: options.Track = None,
) -> None:
  """Tune only, on one process or many."""
  from symtune.cli import experiments
  from symtune.train.partition import Layout

  experiments.train(
    experiments.Inputs(
      recipe=recipe,
      overrides=overrides or [],
      data=data,
      vocab=vocab,
      out=out,
      feed=_feed(workers, token_cache),
      trackers=track or (),
    ),
    Layout(
      model_devices=model_devices, shard_params=shard_params, microbatches=microbatches
    ),
    distributed=distributed,
  )


@app.command(context_settings=_WITH_GIN)
def probe(
  recipe: options.Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
  step: options.RunStep = None,
  checkpoint: Annotated[
    list[str] | None,
    typer.Option(
      help="Instead: a run folder, RUN@STEP, any checkpoint that convert reads, "
      "baseline:NAME or transformers:PATH. Give it several times to compare."
    ),
  ] = None,
  probes: options.Probes = None,
  dtype: options.ComputeType = None,
) -> None:
  """Probe one checkpoint of a run, or several of any runs."""
  from symtune.cli import experiments

  inputs = experiments.Inputs(
    recipe=recipe,
    overrides=overrides or [],
    data=data,
    vocab=vocab,
    out=out,
    probes=probes,
  )
  experiments.probe(inputs, step=step, checkpoints=checkpoint or [], dtype=dtype)


@app.command(context_settings=_WITH_GIN)
def sweep(
  name: Annotated[
    str, typer.Argument(help="A .gin file, or a name from gin_configs/sweeps.")
  ],
  out: options.Out,
  overrides: options.Overrides = None,
  only: Annotated[
    list[str] | None,
    typer.Option(help="Run this arm only; may be repeated. The tables have all arms."),
  ] = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
) -> None:
  """Run several sizes of network, or arms with several seeds, and compare them."""
  from symtune.cli.sweep.arms import Inputs
  from symtune.cli.sweep.sweep import sweep as run_sweep

  inputs = Inputs(overrides=overrides or [], data=data, vocab=vocab)
  run_sweep(name, out, only or [], inputs)


@app.command()
def report(
  run_dirs: Annotated[
    list[pathlib.Path],
    typer.Argument(metavar="RUN_DIR...", help="Folder of a run, or of several."),
  ],
  rule: Annotated[
    str,
    typer.Option(help="sum, token, byte, pmi, contextual, domain or batch."),
  ] = "sum",
  out: Annotated[
    pathlib.Path | None,
    typer.Option(
      help="New folder for the joined results of several runs; with --format a file, "
      "or - to print."
    ),
  ] = None,
  kind: Annotated[
    str | None,
    typer.Option(
      "--format", help="Instead of the report, its tables: csv, latex or json."
    ),
  ] = None,
  figures: Annotated[
    str, typer.Option(help="What figures are written as besides png: svg,pdf.")
  ] = "",
) -> None:
  """Write report.md, report.html and figures of a run, or of several joined runs."""
  from symtune.cli import experiments

  if kind is None:
    experiments.report_runs(run_dirs, out, rule, figures)
  elif figures:
    raise SymtuneError("got --format and --figures, expected one: both write files.")
  else:
    experiments.export(run_dirs, out, rule, kind)


app.command()(look.ask)
app.command()(look.show)
app.command()(ralm.index)
app.command(context_settings=_WITH_GIN)(ralm.ralm)


@app.command()
def tasks(
  suite: options.OfSuite = None,
  vocab: options.Vocab = None,
  wide: options.Wide = False,
  as_json: options.AsJson = False,
) -> None:
  """List the task cards; with a vocabulary, check that it tells label words apart."""
  from symtune.cli import cards

  cards.list_tasks(suite, vocab, wide=wide, as_json=as_json)


@app.command()
def preview(
  task: Annotated[str, typer.Argument(help="Name of a card, or a microworld task.")],
  data: options.Data = None,
  vocab: options.Vocab = None,
  labels: Annotated[
    str,
    typer.Option(help="natural, symbols, borrowed, text_words, flipped or scrambled."),
  ] = "symbols",
  pool: Annotated[
    str | None,
    typer.Option(help="tuning or evaluation symbols; default: what the task is for."),
  ] = None,
  suite: Annotated[
    str | None,
    typer.Option(help="Whose tasks lend label words to --labels borrowed."),
  ] = None,
  probe: Annotated[
    str | None,
    typer.Option(
      help="Instead: what this probe, or FILE.py:CLASS, asks about the task."
    ),
  ] = None,
  instruction: Annotated[
    bool, typer.Option(help="Show the task's instruction.")
  ] = False,
  shots: Annotated[int, typer.Option(help="Exemplars per class.", min=0)] = 2,
  count: Annotated[int, typer.Option(help="Number of prompts.", min=1)] = 2,
  seed: options.RootSeed = 0,
  max_inputs: Annotated[int, typer.Option(help="Input tokens of a row.", min=1)] = 2048,
) -> None:
  """Show rendered prompts, remapped labels and the tokens that the model sees."""
  from symtune.cli import cards

  if probe is not None:
    look.preview_probe(task, data, probe, shots=shots, count=count, seed=seed)
    return
  cards.preview(
    task,
    data,
    vocab,
    labels=labels,
    pool=pool,
    suite=suite,
    instruction=instruction,
    shots=shots,
    count=count,
    seed=seed,
    max_inputs=max_inputs,
  )


@app.command(context_settings=_WITH_GIN)
def plan(
  recipe: options.Recipe,
  slice_name: Annotated[
    str, typer.Option("--slice", help="Such as v4-32, v5e-16 or h100-8.")
  ],
  overrides: options.Overrides = None,
  model_devices: options.ModelDevices = 1,
  shard_params: options.ShardParams = False,
  microbatches: options.Microbatches = 1,
  mfu: Annotated[
    float, typer.Option(help="Share of the chips' peak that the run reaches.")
  ] = 0.35,
) -> None:
  """Estimate memory, time and checkpoint size of a recipe on a slice; no device."""
  from symtune.cli import plan
  from symtune.train.partition import Layout

  plan.plan(
    recipe,
    overrides or [],
    slice_name,
    Layout(
      model_devices=model_devices, shard_params=shard_params, microbatches=microbatches
    ),
    mfu,
  )


@app.command(
  context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
def t5x(
  mode: Annotated[str, typer.Argument(help="train, eval or infer.")],
  context: typer.Context,
  data: options.T5xData = None,
  vocab: options.T5xVocab = None,
  seed: options.T5xSeed = None,
) -> None:
  """Run T5X's train, eval or infer on symtune's mixtures; takes T5X's flags too."""
  from symtune.cli import t5x

  t5x.run(mode, context.args, data, vocab, seed)


@app.command()
def convert(
  source: Annotated[
    str,
    typer.Argument(
      help="hf://ORG/MODEL[@REVISION], gs://..., a folder, or a file, also .gguf."
    ),
  ],
  dest: Annotated[
    pathlib.Path,
    typer.Argument(help="New folder, or a .safetensors file of symtune's own format."),
  ],
  to: Annotated[
    str | None,
    typer.Option(help="huggingface (default for folders), t5x or symtune."),
  ] = None,
  dtype: options.DiskType = "float32",
  vocab: options.Vocab = None,
  step: options.StepToRecord = None,
  activations: Annotated[
    str | None,
    typer.Option(help="MLP activations of a T5X network if unusual: silu,linear."),
  ] = None,
  like: options.Like = None,
) -> None:
  """Convert a checkpoint between Transformers, T5X and symtune; reads GGUF too."""
  from symtune.cli import convert as command

  command.run(
    source,
    dest,
    to=to,
    dtype=dtype,
    vocab=vocab,
    step=step,
    activations=activations,
    like=like,
  )


@app.command()
def doctor() -> None:
  """Show versions, extras and devices, with a fix for each problem."""
  from symtune.cli import doctor

  raise typer.Exit(doctor.check())


def _feed(workers: int, token_cache: pathlib.Path | None) -> "FeedSettings":
  from symtune.data.batches.feed import FeedSettings

  folder = None if token_cache is None else str(token_cache)
  return FeedSettings(workers=workers, cache_dir=folder)


def main() -> None:
  """Runs the command; bad input ends with one message and exit code 2.

  A file or folder that cannot be read or written counts as bad input.
  """
  try:
    app()
  except SymtuneError as error:
    _show_error(str(error))
    sys.exit(2)
  except OSError as error:
    is_of_file = error.filename is not None and error.strerror is not None
    about = f"{error.filename}: {error.strerror}" if is_of_file else str(error)
    _show_error(about or type(error).__name__)
    sys.exit(2)


def _show_error(message: str) -> None:
  """Prints a message; names of files that are not UTF-8 are shown with escapes."""
  shown = message.encode("utf-8", "backslashreplace").decode()
  typer.secho(f"error: {shown}", err=True, fg="red")
