"""The commands that show cards: tasks, preview."""

import collections
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import rich.console
import rich.markup
import rich.table

from symtune.cards.card import Task, TaskCard
from symtune.cards.load import (
  MICROWORLD_PREFIX,
  MICROWORLD_SUITES,
  is_for_evaluation,
  list_cards,
  list_suites,
  load_card,
  load_suite,
  load_task,
  read_suite,
)
from symtune.cards.resources import resource_dir
from symtune.checks import parse_choice
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture, label_pool, text_pool
from symtune.data.prompts import Prompt
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.text.symbols import (
  ALL_CATEGORIES,
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  make_pool,
)
from symtune.data.text.vocab import Vocab, unknown_words
from symtune.data.tokens.causal import CausalTokenizer
from symtune.data.tokens.label_ids import check_label_ids
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError

_MICROWORLD_VOCAB = "microworld/vocab.model"
# Where a task that is in several suites borrows label words. Tuning tasks do not borrow
# the words of evaluation tasks.
_EVALUATION_SUITES = ("symbol_tuning_eval", "microworld_eval")
_BORROWING_SUITES = ("symbol_tuning_train", "microworld_train", *_EVALUATION_SUITES)
# Label words that `_words` draws from a pool of its own, like symbols.
_WORD_STYLES = (LabelStyle.BORROWED, LabelStyle.TEXT_WORDS)
# What recipe.symbols.categories of gin_configs/recipes/microworld.gin says.
MICROWORLD_CATEGORIES = (SymbolCategory.NONCE,)
_WIDEST = 10_000  # columns; more than any card takes


def list_tasks(
  suite: str | None,
  vocab_path: pathlib.Path | None,
  *,
  wide: bool = False,
  as_json: bool = False,
) -> None:
  """Prints a table of cards: all of them, or those of a suite with their groups.

  Args:
    suite: name or file of a suite; None stands for all cards.
    vocab_path: checks that the vocabulary tells the label words of a task apart.
    wide: each card has one line, however long, instead of lines as the terminal's.
    as_json: prints one JSON list instead of a table.

  Raises:
    SymtuneError: an unknown suite, or a card whose label words are the same to the
      vocabulary; the table is printed first.
  """
  if suite is None:
    cards = [load_card(name) for name in list_cards()]
    groups = {}
  else:
    cards = _suite_cards(suite)
    groups = _suite_groups(suite)
  if as_json:
    print(json.dumps([_card_record(card, groups) for card in cards], indent=2))
  else:
    _print_cards(cards, groups, wide=wide)
  is_microworld = all(card.name.startswith(MICROWORLD_PREFIX) for card in cards)
  vocab = _find_vocab(vocab_path, is_microworld=is_microworld)
  if vocab is not None:
    for card in cards:
      check_label_ids(f"task {card.name}", card.labels, vocab)


def _card_record(card: TaskCard, groups: Mapping[str, list[str]]) -> dict[str, Any]:
  named = [group for group, names in groups.items() if card.name in names]
  return {
    "task": card.name,
    "title": card.title,
    "type": str(card.task_type),
    "labels": list(card.labels),
    "group": named[0] if named else None,
    "licence": card.licence,
  }


def _print_cards(
  cards: Sequence[TaskCard], groups: Mapping[str, list[str]], *, wide: bool
) -> None:
  table = rich.table.Table()
  table.add_column("task", no_wrap=True)
  for title in ("type", "classes", "label words", "licence"):
    table.add_column(title, overflow="fold")  # in several lines, and never cut
  for card in cards:
    table.add_row(
      card.name,
      str(card.task_type),
      str(len(card.labels)),
      rich.markup.escape(" | ".join(card.labels)),
      rich.markup.escape(card.licence),
    )
  console = rich.console.Console()
  if wide:
    widest = rich.console.Console(width=_WIDEST).measure(table).maximum
    rich.console.Console(width=widest).print(table)
  else:
    console.print(table)
  console.print(f"{len(cards)} tasks; suites: {', '.join(list_suites())}")
  for group, names in groups.items():
    console.print(
      f"group {group!r}, {len(names)} tasks: {', '.join(names)}", markup=False
    )


def _suite_cards(suite: str) -> list[TaskCard]:
  """The cards of a suite; those of the microworld are made together with their rows."""
  return list(read_suite(suite).tasks) or [t.card for t in load_suite(suite, None)]


def _suite_groups(suite: str) -> dict[str, list[str]]:
  """The names of the tasks of each group of a suite; empty if it has no groups."""
  found = read_suite(suite)
  pairs = list(found.group_by_task.items())
  if found.plan is not None:
    pairs = [(task.card.name, task.group) for task in load_suite(suite, None)]
  groups = collections.defaultdict(list)
  for name, group in pairs:
    if group is not None:
      groups[group].append(name)
  return groups


def preview(
  name: str,
  data: str | None,
  vocab_path: pathlib.Path | None,
  *,
  labels: str,
  pool: str | None,
  suite: str | None,
  instruction: bool,
  shots: int,
  count: int,
  seed: int,
  max_inputs: int,
) -> None:
  """Prints prompts of a task as text and as the tokens that a model sees.

  Raises:
    SymtuneError: bad options, no rows, or label words that are the same to the
      vocabulary.
  """
  style = parse_choice(LabelStyle, labels, "--labels")
  task = load_task(name, data)
  vocab = _find_vocab(vocab_path, is_microworld=name.startswith(MICROWORLD_PREFIX))
  if pool is None:
    split = PoolSplit.EVALUATION if _is_asked(name) else PoolSplit.TUNING
  else:
    split = parse_choice(PoolSplit, pool, "--pool")
  words = _words(style, task, suite) or _symbols(name, split)
  ingredient = Ingredient(
    labels=LabelStyle.SYMBOLS if style in _WORD_STYLES else style,
    instruction=instruction,
    min_shots=shots,
    max_shots=shots,
  )
  mixture = Mixture([(ingredient, (task,))], words, seed=seed)
  console = rich.console.Console(highlight=False)
  for number, prompt in enumerate(mixture.prompts(range(count)), start=1):
    if vocab is not None:
      check_label_ids(f"task {task.card.name}", prompt.choices, vocab)
    console.rule(f"{task.card.name}, prompt {number}")
    _show_prompt(console, task, prompt)
    if vocab is None:
      console.print("\nGive --vocab to see the tokens.", style="dim")
    else:
      _show_tokens(console, prompt, vocab, max_inputs)
  if style.draws_symbols:
    groups = {str(c): len(symbols) for c, symbols in words.symbols.items()}
    kind = f"{style} label words" if style in _WORD_STYLES else f"{split} symbols"
    console.print(f"\n{kind} to draw from: {groups}", style="dim", soft_wrap=True)


def _is_asked(name: str) -> bool:
  """Whether probes ask about a task; all others are for tuning."""
  if name.startswith(MICROWORLD_PREFIX):
    return any(card.name == name for card in _suite_cards(MICROWORLD_SUITES[1]))
  return is_for_evaluation(name)


def _symbols(name: str, split: PoolSplit) -> SymbolPool:
  """The symbols that recipes draw for a task."""
  is_microworld = name.startswith(MICROWORLD_PREFIX)
  return make_pool(split, MICROWORLD_CATEGORIES if is_microworld else ALL_CATEGORIES)


def _words(style: LabelStyle, task: Task, suite: str | None) -> SymbolPool | None:
  """The pool of a style that takes words from tasks; None for other styles."""
  if style is LabelStyle.TEXT_WORDS:
    return text_pool([task])
  return _borrowed(task, suite) if style is LabelStyle.BORROWED else None


def _borrowed(task: Task, suite: str | None) -> SymbolPool:
  """The label words of the other tasks of the suite; if none is given, the task's."""
  suites = (*_BORROWING_SUITES, *list_suites()) if suite is None else (suite,)
  for lender in suites:
    cards = _suite_cards(lender)
    if suite is not None or any(card.name == task.card.name for card in cards):
      asked = [] if lender in _EVALUATION_SUITES else _EVALUATION_SUITES
      reserved = [w for name in asked for c in _suite_cards(name) for w in c.labels]
      others = [card for card in cards if card.name != task.card.name]
      return label_pool(others, reserved)
  raise SymtuneError(
    f"--labels borrowed: task {task.card.name} is in no suite of symtune, so no other "
    f"task lends it label words. Name a suite or its file with --suite."
  )


def _find_vocab(path: pathlib.Path | None, *, is_microworld: bool) -> Vocab | None:
  if path is None and is_microworld:
    path = resource_dir("tasks") / _MICROWORLD_VOCAB
  if path is None:
    return None
  from symtune.convert.tokenizer.read import read_vocab  # slow to import

  return read_vocab(path)


def _show_prompt(console: rich.console.Console, task: Task, prompt: Prompt) -> None:
  console.print(rich.markup.escape(prompt.inputs), soft_wrap=True)
  console.print(
    f"[green]{rich.markup.escape(prompt.choices[prompt.answer])}[/]", soft_wrap=True
  )
  remapped = ", ".join(
    f"{label} -> {word}"
    for label, word in zip(task.card.labels, prompt.choices, strict=True)
  )
  console.print(f"\nlabels: {rich.markup.escape(remapped)}", soft_wrap=True)


def _show_tokens(
  console: rich.console.Console, prompt: Prompt, vocab: Vocab, max_inputs: int
) -> None:
  """Prints what the model sees once the prompt is shortened to the input length."""
  if isinstance(vocab, CausalVocab):
    tokenizer = CausalTokenizer(vocab, max_inputs=max_inputs, max_targets=max_inputs)
    end, note = "", "▁ is a space, ↵ a newline"
  else:
    tokenizer = PromptTokenizer(vocab, max_inputs=max_inputs, max_targets=max_inputs)
    end, note = " with EOS", "newlines are spaces to the model"
  tokens = tokenizer.tokenize(prompt)
  console.print(
    f"tokens: {len(tokens.inputs)}{end}; {tokens.exemplars_dropped} exemplars dropped "
    f"to fit; {note}",
    style="dim",
  )
  targets = [("target", choice) for choice in tokens.choices]
  for title, ids in [("inputs", tokens.inputs), *targets]:
    pieces = rich.markup.escape(" ".join(vocab.pieces(ids)))
    console.print(f"{title}: {pieces}", soft_wrap=True)
  _warn_unknown(console, prompt, vocab)


def _warn_unknown(console: rich.console.Console, prompt: Prompt, vocab: Vocab) -> None:
  """Warns about words with pieces that are not in the vocabulary."""
  unknown = unknown_words((prompt.inputs, *prompt.choices), vocab)
  if unknown:
    shown = rich.markup.escape(", ".join(repr(w) for w in unknown[:10]))
    console.print(
      f"[yellow]warning:[/] {len(unknown)} words have pieces that are not in the "
      f"vocabulary: {shown}",
      soft_wrap=True,
    )
