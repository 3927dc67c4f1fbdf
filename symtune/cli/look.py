"""The commands that look without a recipe: ask, show, preview --probe."""

import pathlib
from typing import Annotated

import rich.console
import typer

from symtune.cli import options
from symtune.errors import SymtuneError


def ask(
  model: Annotated[
    list[str],
    typer.Option(
      help="A run folder, RUN@STEP, any checkpoint that convert reads, baseline:NAME "
      "or transformers:PATH. Give it several times to compare."
    ),
  ],
  out: options.Out,
  task: Annotated[
    list[str] | None,
    typer.Option(
      help="A .csv, .tsv, .jsonl, .json or .parquet file, a card's name or its .yaml; "
      "may be repeated."
    ),
  ] = None,
  suite: options.OfSuites = None,
  text: Annotated[
    list[str] | None,
    typer.Option(help="Column with the text of a table; several are shown in order."),
  ] = None,
  label: Annotated[
    str | None, typer.Option(help="Column with the label of a table.")
  ] = None,
  words: Annotated[
    str | None,
    typer.Option(help="What prompts call a table's classes: 'awful,bad,good,great'."),
  ] = None,
  split: Annotated[
    str | None,
    typer.Option(help="Column that says train (exemplars) or validation (queries)."),
  ] = None,
  labels_as: Annotated[
    list[str] | None,
    typer.Option(
      help="Other words for the classes, such as 'bad,good': label_semantics asks with "
      "these too; may be repeated."
    ),
  ] = None,
  probes: Annotated[
    str,
    typer.Option(
      help="Comma-separated: names of probes, all, or FILE.py:CLASS, which is run."
    ),
  ] = "settings",
  shots: Annotated[int, typer.Option(help="Exemplars per class.", min=1)] = 4,
  queries: Annotated[int, typer.Option(help="Most queries per task.", min=1)] = 100,
  seeds: Annotated[
    str, typer.Option(help="Each draws its own exemplars, formats and symbols.")
  ] = "0,1,2",
  symbols: Annotated[
    str | None,
    typer.Option(
      help="Categories of symbols: integers,combinations,words,nonce; default: those "
      "that all vocabularies know."
    ),
  ] = None,
  answers: Annotated[
    str, typer.Option(help="rank takes the likeliest choice, generate decodes.")
  ] = "rank",
  exemplars: Annotated[
    str,
    typer.Option(
      help="random (per_query) draws them for each query, per_seed for all of a seed; "
      "similar and dissimilar look them up with the query."
    ),
  ] = "per_query",
  balanced: Annotated[
    bool, typer.Option(help="Look up as many exemplars of every class.")
  ] = True,
  calibration: Annotated[
    str, typer.Option(help="Calibration prompts to ask: pmi,contextual,domain.")
  ] = "",
  max_inputs: Annotated[
    int, typer.Option(help="Longest prompt in tokens.", min=1)
  ] = 2048,
  data: options.Data = None,
  vocab: options.Vocab = None,
  dtype: options.ComputeType = None,
) -> None:
  """Ask models questions about any labelled texts, without a recipe, and report."""
  from symtune.cli import experiments
  from symtune.convert.tokenizer.read import read_vocab
  from symtune.experiment.answerers import open_answerers
  from symtune.experiment.tokens import Reader
  from symtune.lab import tasks
  from symtune.lab.ask import ask as ask_models
  from symtune.lab.models import LabModel
  from symtune.probe.own import read_probes

  found = [
    tasks.task(
      name,
      text=text if text and tasks.is_table(name) else None,
      labels=label if tasks.is_table(name) else None,
      words=_split(words) if words and tasks.is_table(name) else None,
      split=split if tasks.is_table(name) else None,
      data=None if tasks.is_table(name) else data,
    )
    for name in task or ()
  ]
  found += [one for name in suite or () for one in tasks.tasks(name, data)]
  if not found:
    raise SymtuneError("ask: got no task, expected --task or --suite.")
  sets = {", ".join(_split(words)): _split(words) for words in labels_as or ()}
  asked = read_probes(probes)
  if sets and not any(name in asked for name in ("label_semantics", "all")):
    raise SymtuneError(
      "--labels-as: only the probe label_semantics asks with other words. Add it: "
      f"--probes {','.join([*_split(probes), 'label_semantics'])}."
    )
  found = [one.with_label_sets(**sets) for one in found] if sets else found
  reader = Reader(
    vocab=None if vocab is None else read_vocab(vocab), max_inputs=max_inputs
  )
  results = ask_models(
    [LabModel(opened) for opened in open_answerers(model, reader, out, dtype)],
    found,
    asked,
    k=shots,
    max_queries=queries,
    seeds=_numbers(seeds),
    answers=answers,
    exemplars=exemplars,
    balanced=balanced,
    calibration=_split(calibration),
    symbols=None if symbols is None else _split(symbols),
    data=data,
    out=out,
  )
  experiments.report(out, order=results.order)


def show(
  run_dir: Annotated[pathlib.Path, typer.Argument(help="Folder of a run.")],
  probe: Annotated[str | None, typer.Option(help="Only of this probe.")] = None,
  setting: Annotated[str | None, typer.Option(help="Only of this setting.")] = None,
  task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
  changed: Annotated[
    str | None,
    typer.Option(
      help="Only where the last checkpoint differs from the first: any, right-wrong, "
      "wrong-right; or none, where it does not."
    ),
  ] = None,
  text: Annotated[str, typer.Option(help="Only prompts with this text.")] = "",
  limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 10,
) -> None:
  """Show single questions of a run, and what every checkpoint answered."""
  from symtune.lab.results import LabResults

  found = LabResults(run_dir).episodes(
    probe=probe, setting=setting, task=task, changed=changed, text=text, limit=limit
  )
  console = rich.console.Console(highlight=False)
  console.print(found)
  if not found:
    console.print("no such episodes")


def preview_probe(
  name: str, data: str | None, probe: str, *, shots: int, count: int, seed: int
) -> None:
  """Prints what a probe asks about a task: every setting, of `count` queries.

  Raises:
    SymtuneError: an unknown task or probe, or one that does not ask about tasks.
  """
  from symtune.lab import tasks
  from symtune.lab.inquiry import AskSettings, make_inquiry
  from symtune.probe.own import read_probes
  from symtune.report.lab.show import item_to_terminal

  task = tasks.task(name, data=data)
  settings = AskSettings(
    shots=shots, max_queries=count, seeds=(seed,), categories=task.categories
  )
  local = None if data is None or "://" in data else pathlib.Path(data)
  inquiry = make_inquiry([task.task], read_probes(probe), settings, [], local)
  console = rich.console.Console(highlight=False)
  items = [item for _, items in inquiry.questions for item in items]
  of_task = [item for item in items if item.task == task.name]
  for item in of_task or items[:count]:
    console.print(item_to_terminal(item))


def _split(text: str) -> list[str]:
  """The parts of a comma-separated option."""
  return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
  try:
    return [int(part) for part in _split(text)]
  except ValueError as error:
    raise SymtuneError(f"--seeds {text}: expected whole numbers: 0,1,2.") from error
