"""Instruction data -> the tasks of an evaluation: who is asked what, in file order.

A Super-NI task and a file of pairs are one task each. In files of rows (Alpaca,
Self-Instruct, or your own in their layouts) each instruction is a task of its own, and
the file is its category.

A split of Super-NI is a list of task names, one per line, as in the published
`splits/default/test_tasks.txt`. It is strict: no task may be in both lists.
"""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

from symtune.bounded import read_text
from symtune.cards.resources import data_path
from symtune.data.text.instructions import (
  InstructionForm,
  InstructionRow,
  InstructionTask,
  read_instructions,
)
from symtune.errors import SymtuneError, did_you_mean

# The published evaluation asks the first 100 instances of a task (Wang et al. 2022,
# arXiv 2204.07705, section 6.1).
MOST_INSTANCES = 100
_MAX_LIST_BYTES = 10_000_000
BY_INSTRUCTION = (InstructionForm.ALPACA, InstructionForm.SELF_INSTRUCT)


def read_tasks(
  path: pathlib.Path,
  form: InstructionForm,
  *,
  listed: pathlib.Path | None = None,
  instances: int = MOST_INSTANCES,
  leave_out: bool = False,
) -> tuple[InstructionTask, ...]:
  """Reads tasks, one file after the other, and keeps their first instances.

  Args:
    path: a file, or a folder of `.json` and `.jsonl` files.
    form: layout of the files.
    listed: a list of the folder's tasks to read (`read_names`); None reads all.
    instances: most instances of a task.
    leave_out: leave out and count rows without instruction or output.

  Returns:
    The tasks. `category` is never empty: a task without one has that of its file.

  Raises:
    SymtuneError: a file is missing or has another form; names file and line.
  """
  tasks: list[InstructionTask] = []
  for file in _find_files(path, listed):
    (task,) = read_instructions(file, form, leave_out=leave_out)
    for part in _by_instruction(task) if form in BY_INSTRUCTION else [task]:
      kept = dataclasses.replace(
        part, rows=part.rows[:instances], category=part.category or task.name
      )
      tasks.append(kept)
  return tuple(tasks)


def read_names(path: pathlib.Path) -> tuple[str, ...]:
  """The task names of a split: one per line, with or without `.json`.

  Raises:
    SymtuneError: there is no such file, it is empty, or it has a name twice.
  """
  try:
    text = read_text(path, _MAX_LIST_BYTES)
  except OSError as error:
    raise SymtuneError(
      f"{path}: the list of tasks cannot be read ({error.strerror}). Give a text file "
      f"with one task name per line."
    ) from error
  names = [line.strip().removesuffix(".json") for line in text.splitlines()]
  names = [name for name in names if name]
  repeated = [name for name, count in collections.Counter(names).items() if count > 1]
  if repeated or not names:
    problem = (
      f"{repeated[0]:.60} stands there twice" if repeated else "got no task names"
    )
    raise SymtuneError(f"{path}: {problem}, expected each task on one line.")
  return tuple(names)


def check_strict(test: pathlib.Path, train: pathlib.Path) -> None:
  """Refuses two lists with a task in common.

  Raises:
    SymtuneError: names such tasks.
  """
  both = sorted({*read_names(test)} & {*read_names(train)})
  if both:
    raise SymtuneError(
      f"{test} and {train}: got {len(both)} tasks in both lists, such as {both[0]}, "
      f"expected none: a task that was trained on is not unseen. Remove them from one "
      f"of the lists."
    )


def fingerprint_of(tasks: Sequence[InstructionTask]) -> str:
  """SHA-256 of what is asked: files, names and numbers of instances."""
  parts = [f"{task.fingerprint} {task.name} {len(task.rows)}" for task in tasks]
  return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _find_files(path: pathlib.Path, listed: pathlib.Path | None) -> list[pathlib.Path]:
  names = None if listed is None else read_names(listed)
  path = pathlib.Path(data_path(path))
  if not path.exists():
    raise SymtuneError(f"{path}: there is no file at this path. Correct --data.")
  if not path.is_dir():
    if names is not None:
      raise SymtuneError(
        f"{path}: got a file, but {listed} names files of a folder. Give the folder of "
        f"the tasks."
      )
    return [path]
  found = {f.stem: f for f in sorted(path.iterdir()) if f.suffix in (".json", ".jsonl")}
  if not found:
    raise SymtuneError(
      f"{path}: no .json or .jsonl file lies in this folder. Correct --data."
    )
  if names is None:
    return list(found.values())
  missing = [name for name in names if name not in found]
  if missing:
    raise SymtuneError(
      f"{listed}: {len(missing)} of {len(names)} listed tasks are not in {path}, such "
      f"as {missing[0]:.60}.json.{did_you_mean(missing[0], found)} Download them, or "
      f"remove them from the list."
    )
  return [found[name] for name in names]


def _by_instruction(task: InstructionTask) -> list[InstructionTask]:
  """One task for each instruction of a file, in the order of their first rows."""
  rows: dict[str, list[InstructionRow]] = {}
  for row in task.rows:
    rows.setdefault(row.instruction, []).append(row)
  return [
    dataclasses.replace(task, name=f"{task.name}:{number}", rows=tuple(same))
    for number, same in enumerate(rows.values(), start=1)
  ]
