"""The regression commands: a thin function per command."""

import pathlib
from typing import Annotated

import typer

from symtune.cli import options

app = typer.Typer(
  help="Train networks on functions in context, and compare them with algorithms.",
  no_args_is_help=True,
  rich_markup_mode=None,
)

_WITH_GIN = {"ignore_unknown_options": True}
Recipe = Annotated[
  str, typer.Argument(help="A .gin file, or a name from gin_configs/regression.")
]
Step = Annotated[
  int | None,
  typer.Option(help="Checkpoint; 0 is before training; default: the newest."),
]


@app.command(context_settings=_WITH_GIN)
def train(
  recipe: Recipe, out: options.Out, overrides: options.Overrides = None
) -> None:
  """Train a network, or all networks of a grid."""
  from symtune.cli.regression import runs

  runs.train(recipe, overrides or [], out)


@app.command(context_settings=_WITH_GIN)
def report(
  recipe: Recipe,
  out: Annotated[pathlib.Path, typer.Option("--out", help="Folder of the run.")],
  overrides: options.Overrides = None,
  step: Step = None,
) -> None:
  """Evaluate a trained network and compare it with algorithms."""
  from symtune.cli.regression import runs

  runs.report(recipe, overrides or [], out, step)


@app.command(context_settings=_WITH_GIN)
def probe(
  recipe: Recipe,
  out: Annotated[pathlib.Path, typer.Option("--out", help="Folder of the run.")],
  overrides: options.Overrides = None,
  step: Step = None,
) -> None:
  """Read X^T y and the weights off the layers of a trained network."""
  from symtune.cli.regression import runs

  runs.probe(recipe, overrides or [], out, step)
