"""Task -> a card and its rows as files, which can be edited, shared and read again."""

import json
import pathlib

import yaml

from symtune.cards.card import Task
from symtune.errors import SymtuneError
from symtune.files import write_whole

_HEADER = """\
# Edit the title, the template, the labels (the words that prompts show for the classes)
# and the instruction as you like. `label_sets` may give other words for the classes.
"""


def write_task(task: Task, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
  """Writes `<name>.yaml` and `<rows>.jsonl`.

  Args:
    task: a task whose rows come from one's own table.
    folder: the data folder; made if it is missing.

  Returns:
    The paths of the card and of the rows.

  Raises:
    SymtuneError: one of the files exists, or the disk is full.
  """
  card = task.card
  paths = folder / f"{card.name}.yaml", folder / f"{card.rows}.jsonl"
  there = [str(path) for path in paths if path.exists()]
  if there:
    raise SymtuneError(
      f"{there[0]} exists. Remove it, or choose another folder or another --name."
    )
  folder.mkdir(parents=True, exist_ok=True)
  rows = (
    {
      **example.fields,
      "label": example.label,
      "label_name": card.label_names[example.label],
      "split": example.split,
    }
    for example in task.examples
  )
  lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
  write_whole(paths[1], "".join(lines))
  content = {
    "name": card.name,
    "title": card.title,
    "version": card.version,
    "task_type": str(card.task_type),
    "fields": list(card.fields),
    "template": card.template,
    "labels": list(card.labels),
    "label_names": list(card.label_names),
    "instruction": card.instruction,
    "exemplar_splits": list(card.exemplar_splits),
    "query_splits": list(card.query_splits),
    "rows": card.rows,
  }
  if card.label_sets:
    content["label_sets"] = {n: list(words) for n, words in card.label_sets.items()}
  text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=88)
  write_whole(paths[0], _HEADER + text)
  return paths
