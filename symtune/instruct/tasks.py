"""Instruction data -> the tasks of an evaluation: who is asked what, in file order.

A Super-NI task and a file of pairs are one task each. In files of rows (Alpaca,
Self-Instruct, or your own in their layouts) each instruction is a task of its own, and
the file is its category.

A split of Super-NI (`data/text/task_files.py`) is strict: no task may be in both lists.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

from symtune.data.text.instructions import (
  InstructionForm,
  InstructionRow,
  InstructionTask,
  read_instructions,
)
from symtune.data.text.task_files import find_files, read_names
from symtune.errors import SymtuneError

# The published evaluation asks the first 100 instances of a task (Wang et al. 2022,
# arXiv 2204.07705, section 6.1).
MOST_INSTANCES = 100
BY_INSTRUCTION = (InstructionForm.ALPACA, InstructionForm.SELF_INSTRUCT)


def read_tasks(
  path: str | os.PathLike[str],
  form: InstructionForm,
  *,
  listed: str | os.PathLike[str] | None = None,
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
  for file in find_files(path, listed):
    (task,) = read_instructions(file, form, leave_out=leave_out)
    for part in _by_instruction(task) if form in BY_INSTRUCTION else [task]:
      kept = dataclasses.replace(
        part, rows=part.rows[:instances], category=part.category or task.name
      )
      tasks.append(kept)
  return tuple(tasks)


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


def _by_instruction(task: InstructionTask) -> list[InstructionTask]:
  """One task for each instruction of a file, in the order of their first rows."""
  rows: dict[str, list[InstructionRow]] = {}
  for row in task.rows:
    rows.setdefault(row.instruction, []).append(row)
  return [
    dataclasses.replace(task, name=f"{task.name}:{number}", rows=tuple(same))
    for number, same in enumerate(rows.values(), start=1)
  ]
