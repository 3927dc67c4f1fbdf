"""The command `instruct generate`: Self-Instruct from seed tasks to data."""

from typing import Annotated

import typer

from symtune.cli import options
from symtune.cli.printed import print_report


def generate(
  recipe: Annotated[
    str, typer.Argument(help="A .gin file, or a name from gin_configs/instruct.")
  ],
  out: options.Out,
  overrides: options.Overrides = None,
  seeds: Annotated[
    str | None,
    typer.Option(help="Seed tasks: a JSONL file with an instruction per row."),
  ] = None,
  generator: Annotated[
    str | None,
    typer.Option(
      help="Who writes: a run folder, any checkpoint that convert reads, "
      "transformers:PATH, or the address of an OpenAI-compatible server, http://..."
    ),
  ] = None,
  instructions: Annotated[
    int | None, typer.Option(help="How many new instructions are wanted.", min=1)
  ] = None,
  vocab: options.Vocab = None,
  dtype: options.ComputeType = None,
) -> None:
  """Let a model write instructions and instances after seed tasks (Self-Instruct)."""
  import dataclasses

  import rich.console

  from symtune.cli.gin_config import load_settings, split_overrides
  from symtune.instruct.generate.run import run_self_instruct
  from symtune.instruct.generate.settings import SelfInstructRecipe

  bindings = split_overrides(overrides or [])
  settings, gin = load_settings(
    recipe, (SelfInstructRecipe,), bindings, folder="instruct"
  )
  given = {"seeds": seeds, "generator": generator, "instructions": instructions}
  given = {name: value for name, value in given.items() if value is not None}
  content = run_self_instruct(
    dataclasses.replace(settings, **given),
    out,
    rich.console.Console(stderr=True),
    gin=gin,
    vocab=vocab,
    dtype=dtype,
  )
  typer.echo(f"data: {out / 'data.jsonl'}")
  print_report(content.headlines, out / "report.md", text_width=60)
