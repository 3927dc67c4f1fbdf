"""Stage 1: Distillation -> Lessons. What the teacher is asked, and what the student."""

import dataclasses
import itertools
from collections.abc import Sequence

from symtune.cards.card import Task
from symtune.cards.load import load_suite
from symtune.cards.resources import path_in_data
from symtune.data.rng import keyed_generator
from symtune.data.text.instructions import (
  InstructionForm,
  InstructionRow,
  InstructionTask,
)
from symtune.errors import SymtuneError
from symtune.instruct.distil.settings import Distillation, Source
from symtune.instruct.tasks import read_tasks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lessons:
  """Tasks, no instruction of which is on both sides.

  Attributes:
    taught: what the teacher answers.
    held_out: what the student is asked before and after.
  """

  taught: tuple[InstructionTask, ...]
  held_out: tuple[InstructionTask, ...]


def read_lessons(recipe: Distillation, data_dir: str | None) -> Lessons:
  """Reads the data of both sides.

  Args:
    recipe: all settings.
    data_dir: folder of the rows; the microworld needs none.

  Returns:
    The tasks. Those that both sides ask with the same instruction are left to the
    evaluation.

  Raises:
    SymtuneError: data are missing or damaged, or too few tasks are left.
  """
  tasks = _read(recipe.data, data_dir, recipe.seed)
  if recipe.evaluation is not None:
    held_out = _read(recipe.evaluation, data_dir, recipe.seed)
  else:
    held_out = _draw(tasks, recipe.held_out, recipe.seed, "held out")
  asked = {row.instruction for task in held_out for row in task.rows}
  taught = [t for t in tasks if not asked & {row.instruction for row in t.rows}]
  if not taught:
    raise SymtuneError(
      f"recipe {recipe.name}: the evaluation asks all {len(tasks)} instructions of the "
      f"data, so none is left to learn from. Lower held_out, or use other data."
    )
  return Lessons(taught=tuple(taught), held_out=tuple(held_out))


def _read(
  source: Source, data_dir: str | None, seed: int
) -> tuple[InstructionTask, ...]:
  if source.suite:
    suite = load_suite(source.suite, data_dir)
    tasks = tuple(to_instructions(task, source.instances) for task in suite)
  else:
    tasks = read_tasks(
      path_in_data(data_dir, source.path),
      source.form,
      listed=path_in_data(data_dir, source.tasks) if source.tasks else None,
      instances=source.instances,
      leave_out=source.leave_out,
    )
  if source.num_tasks is None:
    return tasks
  return _draw(tasks, source.num_tasks, seed, source.path or source.suite)


def to_instructions(task: Task, instances: int) -> InstructionTask:
  """A task of classification as instruction data: its label words are the answers.

  Args:
    task: the task.
    instances: most rows, one class after the other in turn.
  """
  by_class: list[list[InstructionRow]] = [[] for _ in task.card.labels]
  for example in task.examples:
    row = InstructionRow(
      instruction=task.card.instruction,
      input=task.card.input_text(example),
      outputs=(task.card.labels[example.label],),
    )
    by_class[example.label].append(row)
  turns = itertools.chain.from_iterable(itertools.zip_longest(*by_class))
  rows = [row for row in turns if row is not None]
  return InstructionTask(
    name=task.card.name,
    form=InstructionForm.ALPACA,
    rows=tuple(rows[:instances]),
    category=task.group or "",
    fingerprint=task.fingerprint,
  )


def _draw(
  tasks: Sequence[InstructionTask], count: int, seed: int, what: str
) -> tuple[InstructionTask, ...]:
  """Some of the tasks, in their order."""
  if not 1 <= count <= len(tasks):
    raise SymtuneError(
      f"distil: got {count} tasks to draw ({what}), expected 1 to {len(tasks)}, the "
      f"tasks there are. Correct num_tasks or held_out."
    )
  chosen = keyed_generator(seed, "distil", what).permutation(len(tasks))[:count]
  return tuple(tasks[i] for i in sorted(chosen))
