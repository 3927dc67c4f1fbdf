"""The commands on preferences: a thin function per command."""

import pathlib
from typing import Annotated

import typer

from symtune.cli import options

app = typer.Typer(
  help="Learn from preferences: reward models, RLOO, DPO and best-of-n.",
  no_args_is_help=True,
  rich_markup_mode=None,
)

_WITH_GIN = {"ignore_unknown_options": True}
Recipe = Annotated[
  str, typer.Argument(help="A .gin file, or a name from gin_configs/align.")
]


@app.command(context_settings=_WITH_GIN)
def reward(
  recipe: Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
) -> None:
  """Train reward models on pairs of a better and a worse answer, and measure them."""
  from symtune.cli.align import runs

  runs.run_part("reward", recipe, overrides or [], out, data, vocab)


@app.command(context_settings=_WITH_GIN)
def rloo(
  recipe: Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
) -> None:
  """Train a policy by policy gradient on sampled answers."""
  from symtune.cli.align import runs

  runs.run_part("rloo", recipe, overrides or [], out, data, vocab)


@app.command(context_settings=_WITH_GIN)
def dpo(
  recipe: Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
) -> None:
  """Train a policy on the pairs themselves."""
  from symtune.cli.align import runs

  runs.run_part("dpo", recipe, overrides or [], out, data, vocab)


@app.command("best-of-n", context_settings=_WITH_GIN)
def best_of_n(
  recipe: Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
) -> None:
  """Measure the answers that reward models like most among several of the start."""
  from symtune.cli.align import runs

  runs.run_part("best-of-n", recipe, overrides or [], out, data, vocab)


@app.command(context_settings=_WITH_GIN)
def run(
  recipe: Recipe,
  out: options.Out,
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
  only: Annotated[
    list[str] | None,
    typer.Option(help="Run this variant of a study only; may be repeated."),
  ] = None,
) -> None:
  """Run all parts of a recipe or of a study, and write the report."""
  from symtune.cli.align import runs

  runs.run_all(recipe, overrides or [], out, data, vocab, only or [])


@app.command(context_settings=_WITH_GIN)
def report(
  recipe: Recipe,
  out: Annotated[pathlib.Path, typer.Option("--out", help="Folder of the run.")],
  overrides: options.Overrides = None,
  data: options.Data = None,
  vocab: options.Vocab = None,
) -> None:
  """Write and print what a run or a study has found so far."""
  from symtune.cli.align import runs

  runs.report(recipe, overrides or [], out, data, vocab)
