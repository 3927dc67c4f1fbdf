"""The commands that show cards: tasks, preview."""

import pathlib

import numpy as np
import rich.console
import rich.markup
import rich.table

from symtune.cards.card import Task
from symtune.cards.examples import read_task
from symtune.cards.load import (
  list_cards,
  list_suites,
  load_card,
  load_suite,
  read_suite,
)
from symtune.cards.resources import data_path, resource_dir
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.prompts import Prompt
from symtune.data.text.symbols import PoolSplit, make_pool
from symtune.data.text.vocab import Vocab
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError

_MICROWORLD_VOCAB = "microworld/vocab.model"
_MICROWORLD_PREFIX = "micro_"
_MICROWORLD_SUITES = ("microworld_train", "microworld_eval")


def list_tasks(suite: str | None) -> None:
  """Prints a table of cards: all of them, or those of a suite."""
  if suite is None:
    cards = [load_card(name) for name in list_cards()]
  else:
    cards = list(read_suite(suite).tasks)
    if not cards:  # the microworld's cards are generated together with their rows
      cards = [task.card for task in load_suite(suite, None)]
  table = rich.table.Table("task", "type", "classes", "label words", "licence")
  for card in cards:
    table.add_row(
      card.name,
      str(card.task_type),
      str(len(card.labels)),
      rich.markup.escape(" | ".join(card.labels)),
      rich.markup.escape(card.licence),
    )
  console = rich.console.Console()
  console.print(table)
  console.print(f"{len(cards)} tasks; suites: {', '.join(list_suites())}")


def preview(
  name: str,
  data: str | None,
  vocab_path: pathlib.Path | None,
  *,
  labels: str,
  instruction: bool,
  shots: int,
  count: int,
  seed: int,
  max_inputs: int,
) -> None:
  """Prints prompts of a task as text and as the tokens that a model sees."""
  try:
    style = LabelStyle(labels)
  except ValueError as error:
    raise SymtuneError(
      f"--labels: got {labels!r}, expected one of {[str(s) for s in LabelStyle]}."
    ) from error
  task = _find_task(name, data)
  vocab = _find_vocab(vocab_path, is_microworld=name.startswith(_MICROWORLD_PREFIX))
  ingredient = Ingredient(
    labels=style,
    instruction=instruction,
    min_shots=shots,
    max_shots=shots,
  )
  mixture = Mixture([(ingredient, (task,))], make_pool(PoolSplit.TUNING), seed=seed)
  console = rich.console.Console(highlight=False)
  for number, prompt in enumerate(mixture.prompts(range(count)), start=1):
    console.rule(f"{task.card.name}, prompt {number}")
    _show_prompt(console, task, prompt)
    if vocab is None:
      console.print("\nGive --vocab to see the tokens.", style="dim")
    else:
      _show_tokens(console, prompt, vocab, max_inputs)


def _find_task(name: str, data: str | None) -> Task:
  if name.startswith(_MICROWORLD_PREFIX):
    tasks = {t.card.name: t for s in _MICROWORLD_SUITES for t in load_suite(s, None)}
    if name not in tasks:
      raise SymtuneError(
        f"unknown microworld task {name!r}. To list the known ones, run: symtune tasks "
        f"--suite {_MICROWORLD_SUITES[1]}."
      )
    return tasks[name]
  card = load_card(name)
  if data is None:
    raise SymtuneError(
      f"task {name} needs rows: give the folder of {card.rows}.jsonl with --data."
    )
  return read_task(card, data_path(data))


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
  tokenizer = PromptTokenizer(
    vocab, max_inputs=max_inputs, max_targets=max_inputs, min_exemplars_per_class=0
  )
  tokens = tokenizer.tokenize(prompt)
  console.print(
    f"tokens: {len(tokens.inputs)} with EOS; {tokens.exemplars_dropped} exemplars "
    f"dropped to fit; newlines are spaces to the model",
    style="dim",
  )
  targets = [("target", choice) for choice in tokens.choices]
  for title, ids in [("inputs", tokens.inputs), *targets]:
    pieces = rich.markup.escape(" ".join(vocab.pieces(ids)))
    console.print(f"{title}: {pieces}", soft_wrap=True)
  _warn_unknown(console, prompt, vocab)


def _warn_unknown(console: rich.console.Console, prompt: Prompt, vocab: Vocab) -> None:
  """Warns about words with pieces that are not in the vocabulary."""
  words = dict.fromkeys(" ".join((prompt.inputs, *prompt.choices)).split())
  unknown = [w for w in words if np.any(vocab.encode(w) == vocab.unk_id)]
  if unknown:
    shown = rich.markup.escape(", ".join(repr(w) for w in unknown[:10]))
    console.print(
      f"[yellow]warning:[/] {len(unknown)} words have pieces that are not in the "
      f"vocabulary: {shown}",
      soft_wrap=True,
    )
