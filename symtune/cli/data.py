"""The commands on data folders: data get, import, verify, stats, leaks."""

import pathlib
from collections.abc import Sequence
from typing import Annotated

import rich.console
import rich.markup
import rich.table
import typer

from symtune.cards.card import Task, TaskCard
from symtune.cards.load import read_suite
from symtune.cli import options
from symtune.data.limits import DEFAULT_OVERLAP, MAX_EXAMPLES_PER_TASK
from symtune.errors import SymtuneError
from symtune.fetch.hub import HUB_ROOT
from symtune.progress import Progress

app = typer.Typer(
  help="Download data sets, check them, and find leaks.",
  no_args_is_help=True,
  rich_markup_mode=None,
)

_SHOWN_BAD = 20


@app.command()
def get(
  suite: options.Suite,
  to: options.DataFolderTo,
  task: Annotated[
    list[str] | None, typer.Option(help="Only this task; may be repeated.")
  ] = None,
  hub: Annotated[
    str, typer.Option(help="The hub, or a folder with the same paths.")
  ] = HUB_ROOT,
  seed: options.RowsSeed = 0,
  max_rows: Annotated[
    int, typer.Option(help="Most training rows per task.", min=1)
  ] = MAX_EXAMPLES_PER_TASK,
  unescape: Annotated[
    bool, typer.Option(help="Undo artefacts that a card names, such as &amp;.")
  ] = True,
) -> None:
  """Download the rows of a suite; finished tasks are not downloaded again."""
  from symtune.cards.resources import data_path
  from symtune.fetch.get import GetSettings, get_tasks

  cards = _cards(suite)
  unknown = sorted(set(task or ()) - {card.name for card in cards})
  if unknown:
    raise SymtuneError(f"--task: suite {suite} has no task {', '.join(unknown)}.")
  console = rich.console.Console(highlight=False, soft_wrap=True, markup=False)
  get_tasks(
    [card for card in cards if not task or card.name in task],
    data_path(to),
    GetSettings(seed=seed, max_training_rows=max_rows, root=hub, unescape=unescape),
    console.print,
  )


@app.command("import")
def import_table(
  table: Annotated[
    pathlib.Path, typer.Argument(help="A .csv, .tsv, .jsonl, .json or .parquet file.")
  ],
  to: options.DataFolderTo,
  text: Annotated[
    list[str], typer.Option(help="Column with the text; several are shown in order.")
  ],
  label: Annotated[str, typer.Option(help="Column with the label.")],
  words: Annotated[
    str | None,
    typer.Option(help="What prompts call the classes: 'awful,bad,good,great'."),
  ] = None,
  split: Annotated[
    str | None,
    typer.Option(help="Column that says train (exemplars) or validation (queries)."),
  ] = None,
  name: Annotated[
    str | None, typer.Option(help="Name of the task; default: the file's.")
  ] = None,
) -> None:
  """Make a private card and a row file from a table of labelled texts."""
  from symtune.lab import tasks

  made = tasks.task(
    table,
    text=text,
    labels=label,
    words=None if words is None else [word.strip() for word in words.split(",")],
    split=split,
    name=name,
  )
  card = made.save(to)
  console = rich.console.Console(highlight=False, soft_wrap=True)
  console.print(made)
  console.print(f"card: {card}\nask about it: symtune ask --task {card} ...")


@app.command()
def verify(folder: options.DataFolder, suite: options.OfSuites = None) -> None:
  """Check hashes and every row; exit code 1 if something is wrong."""
  from symtune.fetch.verify import check_folder

  path = _existing(folder)
  reports = check_folder(_present(path, suite), path, others=not suite)
  if not reports:
    raise SymtuneError(f"{path} holds no row file of a known card.")
  console = rich.console.Console(highlight=False, soft_wrap=True, markup=False)
  for report in reports:
    known = "hash as downloaded" if report.provenance else "no provenance"
    if report.good:
      rows = f"{sum(report.rows.values()):,} rows"
      left_out = f", {report.left_out:,} left out" if report.left_out else ""
      console.print(f"ok   {report.task}: {rows}{left_out}, {known}")
      continue
    console.print(f"BAD  {report.task}: {report.problem or f'{len(report.bad)} bad'}")
    for bad in report.bad[:_SHOWN_BAD]:
      console.print(f"     {report.path}, line {bad.line}: {bad.problem}")
    if len(report.bad) > _SHOWN_BAD:
      console.print(f"     and {len(report.bad) - _SHOWN_BAD} more bad lines")
  wrong = sum(not report.good for report in reports)
  console.print(f"{len(reports)} row files, {wrong} with problems")
  if wrong:
    raise typer.Exit(1)


@app.command()
def stats(folder: options.DataFolder, suite: options.OfSuites = None) -> None:
  """Show rows, classes and duplicates of a data folder."""
  from symtune.fetch.verify import check_folder

  path = _existing(folder)
  table = rich.table.Table(
    "task", "train", "valid.", "bad", "dupl.", "classes", "revision"
  )
  cards = _present(path, suite)
  if not cards:
    raise SymtuneError(f"{path} holds no row file of a known card.")
  for report in check_folder(cards, path, hashes=False):
    classes = ", ".join(f"{name} {n:,}" for name, n in sorted(report.classes.items()))
    revision = report.provenance.revision if report.provenance else ""
    table.add_row(
      report.task,
      f"{report.rows.get('train', 0):,}",
      f"{report.rows.get('validation', 0):,}",
      str(len(report.bad)) if report.problem is None else "unreadable",
      str(report.duplicates),
      rich.markup.escape(classes),
      revision[:12],
    )
  rich.console.Console().print(table)


@app.command()
def leaks(
  train_suite: Annotated[str, typer.Argument(help="A suite that a model is tuned on.")],
  eval_suite: Annotated[str, typer.Argument(help="A suite that it is probed with.")],
  data: options.DataFolderFrom = None,
  overlap: Annotated[
    float, typer.Option(help="Share of n-grams that makes two texts the same.")
  ] = DEFAULT_OVERLAP,
) -> None:
  """Report texts that two suites share, exactly or nearly; exit code 1 if they do."""
  from symtune.cards.load import load_suite
  from symtune.data.text.leaks import find_leaks

  tuning, evaluation = load_suite(train_suite, data), load_suite(eval_suite, data)
  with Progress("comparing texts", 2, unit="passes") as progress:
    exact = {(x.tuning, x.evaluation): x for x in find_leaks(tuning, evaluation)}
    progress.advance()
    near = find_leaks(tuning, evaluation, overlap=overlap)
  tasks = {task.card.name: task for task in (*tuning, *evaluation)}
  console = rich.console.Console(highlight=False)
  table = rich.table.Table(
    "tuning", "evaluation", "equal", "or near", "evaluation rows, by class", "example"
  )
  for leak in near:
    same = exact.get((leak.tuning, leak.evaluation))
    table.add_row(
      leak.tuning,
      leak.evaluation,
      str(len(same.rows) if same else 0),
      str(len(leak.rows)),
      rich.markup.escape(_by_class(tasks[leak.evaluation], leak.evaluation_rows)),
      rich.markup.escape(leak.example[:60]),
    )
  if not near:
    console.print(f"no shared texts: {train_suite} and {eval_suite}")
    return
  console.print(table)
  console.print(
    f"{sum(len(x.rows) for x in near)} tuning rows are in an evaluation task (n-gram "
    f"overlap of at least {overlap:g}). A recipe with the same mixture.leak_overlap "
    f"({DEFAULT_OVERLAP:g} by default) refuses them, or drops them if mixture.leaks = "
    "'drop'.",
    soft_wrap=True,
  )
  raise typer.Exit(1)


def _by_class(task: Task, rows: Sequence[int]) -> str:
  """The count and share of each class's rows that are among `rows`."""
  shared = set(rows)
  parts = []
  for label, name in enumerate(task.card.label_names):
    of_class = [e.row for e in task.examples if e.label == label]
    hit = sum(row in shared for row in of_class)
    parts.append(f"{name} {hit} of {len(of_class)} ({hit / max(len(of_class), 1):.0%})")
  return ", ".join(parts)


def _cards(suite: str) -> tuple[TaskCard, ...]:
  cards = read_suite(suite).tasks
  if not cards:
    raise SymtuneError(f"suite {suite} generates its rows and has no row files.")
  return cards


def _existing(folder: str):
  from symtune.cards.resources import data_path

  path = data_path(folder)
  if not path.is_dir():
    raise SymtuneError(f"no folder at {folder}, expected one with <task>.jsonl files.")
  return path


def _present(folder, suites: Sequence[str] | None) -> list[TaskCard]:
  """The cards of the suites; without suites, all whose row file is in the folder."""
  from symtune.cards.load import list_cards, load_card

  if suites:
    return [card for suite in suites for card in _cards(suite)]
  cards = [load_card(name) for name in list_cards()]
  return [card for card in cards if (folder / f"{card.rows}.jsonl").exists()]
