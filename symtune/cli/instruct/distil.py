"""The command `instruct distil`: a teacher, a student, and what it learned."""

import os
import pathlib
from typing import Annotated

import typer

from symtune.cli import options
from symtune.cli.printed import print_report


def distil(
  recipe: Annotated[
    str, typer.Argument(help="A .gin file, or a name from gin_configs/instruct.")
  ],
  overrides: options.Overrides = None,
  out: options.Out = pathlib.Path("runs/distil"),
  data: options.Data = None,
  vocab: options.Vocab = None,
  workers: options.Workers = 0,
  slice_name: Annotated[
    str | None,
    typer.Option(
      "--slice",
      help="Where it runs, for the planned time, such as h100-1; default: the cores of "
      "this machine.",
    ),
  ] = None,
  plan: Annotated[
    bool, typer.Option("--plan", help="Print the planned cost, and do nothing.")
  ] = False,
) -> None:
  """A teacher's answers tune a student, which is evaluated before and after."""
  import rich.console

  from symtune.cli.gin_config import load_settings, split_overrides
  from symtune.data.batches.feed import FeedSettings
  from symtune.experiment.planning.slices import find_slice
  from symtune.instruct.distil.run import prepare, run_distillation
  from symtune.instruct.distil.settings import Distillation
  from symtune.instruct.distil.student import Inputs
  from symtune.report.tables import to_terminal

  settings, gin = load_settings(
    recipe, (Distillation,), split_overrides(overrides or []), folder="instruct"
  )
  target = find_slice(slice_name or f"cpu-{os.cpu_count()}")
  inputs = Inputs(data_dir=data, vocab=vocab, feed=FeedSettings(workers=workers))
  prepared = prepare(settings, inputs)
  rich.console.Console().print(to_terminal(prepared.plan(target)))
  if not plan:
    progress = rich.console.Console(stderr=True)
    content = run_distillation(prepared, out, progress, gin=gin)
    print_report(content.headlines, out / "report.md")
