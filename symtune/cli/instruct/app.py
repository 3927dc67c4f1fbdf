"""The instruct commands: a thin function per command."""

import pathlib
from typing import Annotated

import typer

from symtune.cli import options
from symtune.cli.instruct.distil import distil
from symtune.cli.instruct.generate import generate
from symtune.cli.printed import print_report

app = typer.Typer(
  help="Instruction data: evaluate models, let them write it, distil them.",
  no_args_is_help=True,
  rich_markup_mode=None,
)


@app.callback()
def instruct() -> None:
  """Instruction data: evaluate models, let them write it, distil them."""


# Unknown options, such as --gin.NAME=VALUE, become arguments of the command.
_WITH_GIN = {"ignore_unknown_options": True}
app.command("generate", context_settings=_WITH_GIN)(generate)
app.command("distil", context_settings=_WITH_GIN)(distil)


@app.command("eval")
def evaluate(
  data: Annotated[
    pathlib.Path, typer.Option(help="A file, or a folder of .json and .jsonl files.")
  ],
  model: Annotated[
    list[str],
    typer.Option(
      help="A run folder, RUN@STEP, any checkpoint that convert reads, "
      "transformers:PATH, or baseline:copy_input, copy_example or reference. Give it "
      "several times to compare."
    ),
  ],
  out: options.Out,
  form: Annotated[
    str,
    typer.Option(help="Layout of the data: super_ni, self_instruct, alpaca or pairs."),
  ] = "super_ni",
  tasks: Annotated[
    pathlib.Path | None,
    typer.Option(help="Test tasks: a text file with the name of a task per line."),
  ] = None,
  train: Annotated[
    pathlib.Path | None,
    typer.Option(help="What models were tuned on, to find tasks that are not new."),
  ] = None,
  train_tasks: Annotated[
    pathlib.Path | None,
    typer.Option(help="Training tasks, like --tasks; of --data if --train is missing."),
  ] = None,
  encoding: Annotated[
    list[str] | None,
    typer.Option(
      help="definition, positive, negative, explained, examples, alpaca, "
      "self_instruct, plain or step_by_step; may be repeated; default: the data's own."
    ),
  ] = None,
  instances: Annotated[
    int, typer.Option(help="Most instances per task, the first ones.", min=1)
  ] = 100,
  leave_out: Annotated[
    bool,
    typer.Option(
      "--leave-out", help="Leave out and count rows without instruction or output."
    ),
  ] = False,
  max_inputs: Annotated[
    int, typer.Option(help="Longest prompt in tokens.", min=1)
  ] = 1024,
  max_targets: Annotated[
    int, typer.Option(help="Longest answer in tokens.", min=1)
  ] = 128,
  vocab: options.Vocab = None,
  dtype: options.ComputeType = None,
) -> None:
  """Ask models the instances of instruction data; exact match, ROUGE-L, a report."""
  import rich.console

  from symtune.checks import parse_choice
  from symtune.data.text.instructions import Encoding, InstructionForm
  from symtune.instruct.run import EvalSettings, run_evaluation

  settings = EvalSettings(
    data=data,
    form=parse_choice(InstructionForm, form, "--form"),
    tasks=tasks,
    train=train,
    train_tasks=train_tasks,
    encodings=tuple(
      parse_choice(Encoding, one, "--encoding") for one in encoding or ()
    ),
    instances=instances,
    leave_out=leave_out,
    max_inputs=max_inputs,
    max_targets=max_targets,
  )
  content = run_evaluation(
    settings, model, out, rich.console.Console(stderr=True), vocab=vocab, dtype=dtype
  )
  print_report(content.headlines, out / "report.md")
