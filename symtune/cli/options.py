"""The arguments and options that several commands share, each declared once.

Where commands use the same option name in different senses, each sense has its own
declaration.
"""

import pathlib
from typing import Annotated

import typer

Recipe = Annotated[
  str, typer.Argument(help="A .gin file, or a name from gin_configs/recipes.")
]
Overrides = Annotated[
  list[str] | None,
  typer.Argument(
    metavar="--gin.NAME=VALUE", help="Settings that replace the recipe's."
  ),
]
Out = Annotated[
  pathlib.Path,
  typer.Option("--out", help="Folder of the run; an unfinished run is continued."),
]

Track = Annotated[
  list[str] | None,
  typer.Option(help="Also show metrics in tensorboard or wandb; may be repeated."),
]

# Data folders are strings, because a Path would turn gs:// into gs:/.
Data = Annotated[
  str | None,
  typer.Option(
    "--data", help="Folder of <task>.jsonl files, local or gs://; microworld: none."
  ),
]
T5xData = Annotated[
  str | None,
  typer.Option("--data", help="Folder of <task>.jsonl files, local or gs://."),
]
_DATA_FOLDER = "Data folder, local or gs://..."
DataFolder = Annotated[str, typer.Argument(help=_DATA_FOLDER)]
DataFolderTo = Annotated[str, typer.Option("--to", help=_DATA_FOLDER)]
DataFolderFrom = Annotated[str | None, typer.Option("--data", help=_DATA_FOLDER)]

Vocab = Annotated[
  pathlib.Path | None,
  typer.Option(
    "--vocab",
    help="T5's spiece.model, a decoder-only model's tokenizer.json, or their folder.",
  ),
]
Wide = Annotated[bool, typer.Option("--wide", help="One line for each, however long.")]
AsJson = Annotated[
  bool, typer.Option("--json", help="One JSON list instead of a table.")
]
VocabToCheck = Annotated[
  pathlib.Path,
  typer.Option(
    "--vocab", help="spiece.model or tokenizer.json, or the folder that holds it."
  ),
]
T5xVocab = Annotated[
  str | None, typer.Option("--vocab", help="SentencePiece model, local or gs://.")
]

Suite = Annotated[str, typer.Argument(help="A suite, or a path to a suite's .yaml.")]
OfSuite = Annotated[
  str | None, typer.Option("--suite", help="Only the tasks of this suite.")
]
OfSuites = Annotated[
  list[str] | None,
  typer.Option("--suite", help="Only the tasks of this suite; may be repeated."),
]

RootSeed = Annotated[int, typer.Option("--seed", help="Root seed.")]
RowsSeed = Annotated[
  int, typer.Option("--seed", help="Seed of the row cap and of held-out rows.")
]
T5xSeed = Annotated[
  int | None, typer.Option("--seed", help="Root seed of the prompts.")
]

RunStep = Annotated[
  int | None,
  typer.Option(
    "--step", help="Checkpoint of the run; 0 is before tuning; default: the newest."
  ),
]
Like = Annotated[
  str | None,
  typer.Option(
    help="For a decoder-only network that T5X trained: a checkpoint of another format, "
    "which has its settings and tokenizer."
  ),
]
StepToRecord = Annotated[
  int | None,
  typer.Option(
    "--step",
    help="Step to record in a T5X checkpoint.",
    min=0,
    max=2**31 - 1,  # T5X counts in int32
  ),
]

Probes = Annotated[
  str | None,
  typer.Option(
    "--probes",
    help="Comma-separated: names of probes, all, or FILE.py:CLASS, which is run; "
    "default: the recipe's.",
  ),
]

ComputeType = Annotated[
  str | None,
  typer.Option(
    "--dtype",
    help="With --checkpoint: type of parameters and activations, float32 or bfloat16.",
  ),
]
DiskType = Annotated[
  str,
  typer.Option("--dtype", help="Type of the parameters on disk: float32 or bfloat16."),
]

ModelDevices = Annotated[
  int,
  typer.Option(
    "--model-devices", help="Devices that share one copy of the parameters.", min=1
  ),
]
ShardParams = Annotated[
  bool, typer.Option(help="Also shard parameters over the devices that share a batch.")
]
Microbatches = Annotated[
  int,
  typer.Option(
    "--microbatches", help="Parts of a batch that run one after another.", min=1
  ),
]
Workers = Annotated[
  int,
  typer.Option(
    "--workers", help="Processes that prepare batches; results stay the same."
  ),
]
TokenCache = Annotated[
  pathlib.Path | None,
  typer.Option("--token-cache", help="Folder that keeps tokenized rows."),
]
