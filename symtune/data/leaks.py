"""Texts that tuning and evaluation tasks share, and what is done about them.

Two rows share a text when their rendered inputs are equal up to case and white space.
"""

import collections
import dataclasses
import enum
from collections.abc import Sequence

from symtune.cards.card import Example, Task, TaskCard
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
    example: one shared text.
  """

  tuning: str
  evaluation: str
  rows: tuple[int, ...]
  example: str


def text_key(card: TaskCard, example: Example) -> str:
  """What makes two rows the same text: not case, not white space."""
  return " ".join(card.input_text(example).casefold().split())


def find_leaks(tuning: Sequence[Task], evaluation: Sequence[Task]) -> tuple[Leak, ...]:
  """Every pair of a tuning and an evaluation task that shares texts.

  Args:
    tuning: tasks that a model is tuned on.
    evaluation: tasks that it is probed with.

  Returns:
    The leaks, in the order of the tasks; empty if nothing is shared.
  """
  owners: dict[str, list[str]] = {}
  for task in evaluation:
    for key in {text_key(task.card, e) for e in task.examples}:
      owners.setdefault(key, []).append(task.card.name)
  leaks = []
  for task in tuning:
    rows: dict[str, list[Example]] = collections.defaultdict(list)
    for example in task.examples:
      for owner in owners.get(text_key(task.card, example), ()):
        rows[owner].append(example)
    leaks.extend(
      Leak(
        tuning=task.card.name,
        evaluation=other.card.name,
        rows=tuple(e.row for e in rows[other.card.name]),
        example=task.card.input_text(rows[other.card.name][0]),
      )
      for other in evaluation
      if other.card.name in rows
    )
  return tuple(leaks)


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
