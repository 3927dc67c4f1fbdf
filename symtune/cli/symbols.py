"""The symbols check command."""

import pathlib
from typing import Annotated

import rich.console
import rich.markup
import rich.table
import typer

from symtune.cli import options
from symtune.errors import SymtuneError

app = typer.Typer(
  help="Check the symbols that stand for classes.",
  no_args_is_help=True,
  rich_markup_mode=None,
)
_SHOWN = 5


@app.callback()
def symbols() -> None:
  """Keeps `check` as a subcommand: Typer would merge a lone command into its group."""


@app.command()
def check(
  vocab: options.VocabToCheck,
  category: Annotated[
    list[str] | None,
    typer.Option(help="integers, combinations, words or nonce; may be repeated."),
  ] = None,
  size: Annotated[
    int | None, typer.Option(help="Symbols per category, at most 10,000.", min=1)
  ] = None,
  synonyms: Annotated[
    pathlib.Path | None, typer.Option(help="Your own list of synonyms.")
  ] = None,
  suite: options.OfSuite = None,
) -> None:
  """Check pools and label words with a vocabulary; exit code 1 if it cannot be used."""
  from symtune.cards.load import list_cards, load_card, read_suite
  from symtune.convert.tokenizer.read import read_vocab
  from symtune.data.text.symbol_contract import check_contract
  from symtune.data.text.symbols import PoolSplit, make_pool, read_synonyms
  from symtune.data.tokens.label_ids import vocab_label_problem

  words = read_synonyms(synonyms)
  pools = [
    make_pool(
      split,
      _categories(category),
      size,
      synonyms=words,
    )
    for split in PoolSplit
  ]
  cards = [load_card(name) for name in list_cards()]
  if suite is not None:
    cards = read_suite(suite).tasks
  pieces = read_vocab(vocab)
  report = check_contract(pools, cards, pieces)
  unfit = {
    card.name: problem
    for card in cards
    if (problem := vocab_label_problem(card.labels, pieces))
  }
  table = rich.table.Table(
    "pool", "category", "symbols", "unknown", "tokens", "SHA-256"
  )
  for group in report.groups:
    lengths = ", ".join(f"{n}: {count:,}" for n, count in group.lengths.items())
    table.add_row(
      str(group.split),
      str(group.category),
      f"{group.count:,}",
      str(len(group.unknown)),
      lengths,
      group.sha256[:12],
    )
  console = rich.console.Console(highlight=False, soft_wrap=True)
  console.print(table)
  pairs = ", ".join(f"{a!r} and {b!r}" for a, b in report.same_tokens[:_SHOWN])
  shared = ", ".join(repr(symbol) for symbol in report.shared[:_SHOWN])
  console.print(f"symbols that tokenize alike: {len(report.same_tokens)} {pairs}")
  console.print(f"symbols in both pools: {len(report.shared)} {shared}")
  near = sum(len(found) for found in report.relevant.values())
  console.print(
    f"symbols close to a label word, redrawn when they come up: {near} in "
    f"{sum(bool(found) for found in report.relevant.values())} tasks"
  )
  for name, problem in unfit.items():
    console.print(f"task {name}: {problem}", markup=False)
  console.print(f"tasks whose label words are alike to the model: {len(unfit)}")
  holds = report.holds and not unfit
  console.print("the contract holds" if holds else "the contract is broken")
  if not holds:
    raise typer.Exit(1)


def _categories(names: list[str] | None):
  from symtune.data.text.symbols import ALL_CATEGORIES, SymbolCategory

  try:
    return tuple(SymbolCategory(name) for name in names or ALL_CATEGORIES)
  except ValueError as error:
    known = ", ".join(SymbolCategory)
    raise SymtuneError(f"--category: got {names}, expected some of {known}.") from error
