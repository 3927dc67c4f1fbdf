"""Texts that tuning and evaluation tasks share, and what is done about them.

Two rows share a text when their rendered inputs are equal up to case and white space,
or, where an overlap is asked for, when they share that part of their word n-grams
(data/near_duplicates.py).
"""

import collections
import dataclasses
import enum
from collections.abc import Sequence

from symtune.cards.card import Example, Task, TaskCard
from symtune.data.near_duplicates import find_overlaps
from symtune.errors import SymtuneError


class LeakPolicy(enum.StrEnum):
  """What happens to tuning rows whose text an evaluation task has too."""

  REFUSE = "refuse"
  DROP = "drop"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leak:
  """Texts that one tuning task shares with one evaluation task.

  Attributes:
    tuning: name of the tuning task.
    evaluation: name of the evaluation task.
    rows: rows of the tuning task that are shared.
    example: one shared text, as the tuning task has it.
    evaluation_rows: rows of the evaluation task that are shared.
  """

  tuning: str
  evaluation: str
  rows: tuple[int, ...]
  example: str
  evaluation_rows: tuple[int, ...] = ()


def text_key(card: TaskCard, example: Example) -> str:
  """What makes two rows the same text: not case, not white space."""
  return " ".join(card.input_text(example).casefold().split())


def find_leaks(
  tuning: Sequence[Task], evaluation: Sequence[Task], *, overlap: float | None = None
) -> tuple[Leak, ...]:
  """Every pair of a tuning and an evaluation task that shares texts.

  Args:
    tuning: tasks that a model is tuned on.
    evaluation: tasks that it is probed with.
    overlap: texts that share this part of their n-grams count as the same, above 0 up
      to 1; None takes equal texts only.

  Returns:
    The leaks, in the order of the tasks; empty if nothing is shared.

  Raises:
    SymtuneError: the overlap is out of range.
  """
  if overlap is not None and not 0 < overlap <= 1:
    raise SymtuneError(f"leaks: got overlap {overlap}, expected above 0 up to 1.")
  tuning_rows, evaluation_rows = _all_rows(tuning), _all_rows(evaluation)
  pairs = _equal_pairs(tuning_rows, evaluation_rows)
  if overlap is not None:
    near = find_overlaps(
      [task.card.input_text(example) for task, example in tuning_rows],
      [task.card.input_text(example) for task, example in evaluation_rows],
      threshold=overlap,
    )
    pairs |= set(zip(near.left.tolist(), near.right.tolist(), strict=True))
  by_tasks: dict[tuple[str, str], list[tuple[Example, Example]]] = {}
  for i, j in sorted(pairs):
    (task, example), (other, match) = tuning_rows[i], evaluation_rows[j]
    key = (task.card.name, other.card.name)
    by_tasks.setdefault(key, []).append((example, match))
  return tuple(
    Leak(
      tuning=task.card.name,
      evaluation=other.card.name,
      rows=tuple(dict.fromkeys(example.row for example, _ in found)),
      example=task.card.input_text(found[0][0]),
      evaluation_rows=tuple(sorted({match.row for _, match in found})),
    )
    for task in tuning
    for other in evaluation
    if (found := by_tasks.get((task.card.name, other.card.name)))
  )


def _all_rows(tasks: Sequence[Task]) -> list[tuple[Task, Example]]:
  return [(task, example) for task in tasks for example in task.examples]


def _equal_pairs(
  tuning: Sequence[tuple[Task, Example]], evaluation: Sequence[tuple[Task, Example]]
) -> set[tuple[int, int]]:
  """Positions of texts that are equal up to case and white space."""
  owners: dict[str, list[int]] = collections.defaultdict(list)
  for j, (task, example) in enumerate(evaluation):
    owners[text_key(task.card, example)].append(j)
  return {
    (i, j)
    for i, (task, example) in enumerate(tuning)
    for j in owners.get(text_key(task.card, example), ())
  }


def apply_policy(
  tuning: Sequence[Task], leaks: Sequence[Leak], policy: LeakPolicy
) -> tuple[Task, ...]:
  """The tuning tasks without leaks, or an error.

  Args:
    tuning: tasks that a model is tuned on.
    leaks: as found by `find_leaks`.
    policy: refuse, or drop the shared rows from tuning (as exemplars too).

  Returns:
    The tasks; those without leaks are the same objects. Rows keep their numbers.

  Raises:
    SymtuneError: there are leaks and the policy refuses them.
  """
  if leaks and policy is LeakPolicy.REFUSE:
    raise SymtuneError(
      f"tuning and evaluation tasks share texts: {describe_leaks(leaks)}; for example "
      f"{leaks[0].example[:80]!r}. Leave a task out, or set mixture.leaks = 'drop' to "
      f"tune without those rows."
    )
  shared: dict[str, set[int]] = collections.defaultdict(set)
  for leak in leaks:
    shared[leak.tuning] |= set(leak.rows)
  return tuple(
    dataclasses.replace(
      task,
      examples=tuple(e for e in task.examples if e.row not in shared[task.card.name]),
    )
    if task.card.name in shared
    else task
    for task in tuning
  )


def describe_leaks(leaks: Sequence[Leak]) -> str:
  """One line: rows, tuning task and evaluation task of each leak."""
  return ", ".join(
    f"{len(leak.rows)} rows of {leak.tuning} are in {leak.evaluation}" for leak in leaks
  )
