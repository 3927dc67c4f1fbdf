"""Texts that tuning and evaluation tasks share, and what is done about them.

Two rows share a text if their rendered inputs have the same letters (whatever their
case, spacing and punctuation) or, if an overlap is given, if they are nearly the same
(near_duplicates.py). In instruction data, the text of a row is its input, or its
instruction if the input is empty; the examples that Super-NI shows count as well.
"""

import collections
import dataclasses
import enum
import re
from collections.abc import Sequence

from symtune.cards.card import Example, Task
from symtune.data.text.instructions import InstructionTask, Shown
from symtune.data.text.near_duplicates import find_overlaps, plain_texts
from symtune.errors import SymtuneError

_DIGIT = re.compile(r"\d")


class LeakPolicy(enum.StrEnum):
  """What happens to tuning rows whose text is also in an evaluation task."""

  REFUSE = "refuse"
  DROP = "drop"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leak:
  """Texts that one tuning task shares with one evaluation task.

  Attributes:
    tuning: name of the tuning task.
    evaluation: name of the evaluation task.
    rows: row numbers of the shared texts in the tuning task.
    example: one shared text, as the tuning task has it.
    evaluation_rows: row numbers of the shared texts in the evaluation task.
  """

  tuning: str
  evaluation: str
  rows: tuple[int, ...]
  example: str
  evaluation_rows: tuple[int, ...] = ()


def text_keys(texts: Sequence[str]) -> list[str]:
  """What texts are compared by; equal keys mean the same text.

  A key is the letters of a text: "It does n't work ." and "it doesn't work" are the
  same. Where digits occur, or nothing but punctuation, case and white space alone are
  left out: 1.5 is not 15, and 3 + 4 is not 3 - 4.

  Args:
    texts: any.

  Returns:
    One key per text.
  """
  return [
    plain.replace(" ", "")
    if plain and not _DIGIT.search(plain)
    else " ".join(text.casefold().split())
    for text, plain in zip(texts, plain_texts(texts), strict=True)
  ]


def find_leaks(
  tuning: Sequence[Task], evaluation: Sequence[Task], *, overlap: float | None = None
) -> tuple[Leak, ...]:
  """Every pair of a tuning and an evaluation task that shares texts.

  Args:
    tuning: tasks that a model is tuned on.
    evaluation: tasks that it is probed with.
    overlap: texts that share at least this share of their words, in common runs, count
      as the same (see `find_overlaps`), above 0 up to 1; None counts only equal texts.

  Returns:
    The leaks, in the order of the tasks; empty if nothing is shared.

  Raises:
    SymtuneError: the overlap is out of range.
  """
  tuning_rows, evaluation_rows = _all_rows(tuning), _all_rows(evaluation)
  pairs = _shared_pairs(
    [task.card.input_text(example) for task, example in tuning_rows],
    [task.card.input_text(example) for task, example in evaluation_rows],
    overlap,
  )
  by_tasks: dict[tuple[str, str], list[tuple[Example, Example]]] = {}
  for i, j in pairs:
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


def drop_instruction_leaks(
  tuning: Sequence[InstructionTask],
  evaluation: Sequence[Task],
  policy: LeakPolicy,
  *,
  overlap: float | None = None,
) -> tuple[tuple[InstructionTask, ...], tuple[Leak, ...]]:
  """Instruction data without the texts of evaluation tasks, or an error.

  Args:
    tuning: files of instruction data in the mixture.
    evaluation: tasks that the model is probed with.
    policy: refuse, or drop the rows and shown examples that leak.
    overlap: as in `find_leaks`.

  Returns:
    The files, unchanged if they have no leaks, and what was dropped. `Leak.rows` holds
    row numbers, which continue over the shown examples.

  Raises:
    SymtuneError: there are leaks and the policy refuses them, a file has no rows left,
      or the overlap is out of range.
  """
  others = _all_rows(evaluation)
  evaluation_texts = [task.card.input_text(example) for task, example in others]
  kept: list[InstructionTask] = []
  leaks: list[Leak] = []
  for file in tuning:
    texts = [row.input.strip() or row.instruction for row in file.rows]
    texts += [shown.input for shown in (*file.positive, *file.negative)]
    pairs = _shared_pairs(texts, evaluation_texts, overlap)
    by_task: dict[str, list[tuple[int, int]]] = {}
    for i, j in pairs:
      by_task.setdefault(others[j][0].card.name, []).append((i, others[j][1].row))
    leaks += [
      Leak(
        tuning=file.name,
        evaluation=name,
        rows=tuple(dict.fromkeys(i for i, _ in found)),
        example=texts[found[0][0]],
        evaluation_rows=tuple(sorted({row for _, row in found})),
      )
      for name, found in by_task.items()
    ]
    kept.append(_without_rows(file, {i for i, _ in pairs}))
  if leaks and policy is LeakPolicy.REFUSE:
    raise _refusal(leaks)
  for file in kept:
    if not file.rows:
      raise SymtuneError(
        f"instruction data {file.name}: every row is also in an evaluation task; leave "
        f"the file out of the mixture."
      )
  return tuple(kept), tuple(leaks)


def _without_rows(file: InstructionTask, shared: set[int]) -> InstructionTask:
  """The file without the rows and shown examples whose numbers are in `shared`."""
  if not shared:
    return file
  first, second = len(file.rows), len(file.rows) + len(file.positive)

  def others(shown: Sequence[Shown], start: int) -> tuple[Shown, ...]:
    return tuple(s for i, s in enumerate(shown, start) if i not in shared)

  return dataclasses.replace(
    file,
    rows=tuple(row for i, row in enumerate(file.rows) if i not in shared),
    positive=others(file.positive, first),
    negative=others(file.negative, second),
  )


def _all_rows(tasks: Sequence[Task]) -> list[tuple[Task, Example]]:
  return [(task, example) for task in tasks for example in task.examples]


def _shared_pairs(
  tuning: Sequence[str], evaluation: Sequence[str], overlap: float | None
) -> list[tuple[int, int]]:
  """Sorted pairs of indices of texts that are the same; `overlap` must be a share."""
  if overlap is not None and not 0 < overlap <= 1:
    raise SymtuneError(f"leaks: got overlap {overlap}, expected 0 < overlap <= 1.")
  owners: dict[str, list[int]] = collections.defaultdict(list)
  for j, key in enumerate(text_keys(evaluation)):
    owners[key].append(j)
  pairs = {
    (i, j) for i, key in enumerate(text_keys(tuning)) for j in owners.get(key, ())
  }
  if overlap is not None:
    near = find_overlaps(tuning, evaluation, threshold=overlap)
    pairs |= set(zip(near.left.tolist(), near.right.tolist(), strict=True))
  return sorted(pairs)


def apply_policy(
  tuning: Sequence[Task], leaks: Sequence[Leak], policy: LeakPolicy
) -> tuple[Task, ...]:
  """The tuning tasks without leaks, or an error.

  Args:
    tuning: tasks that a model is tuned on.
    leaks: leaks found by `find_leaks`.
    policy: refuse, or drop the shared rows from tuning (also as exemplars).

  Returns:
    The tasks; those without leaks are the same objects. Rows keep their numbers.

  Raises:
    SymtuneError: there are leaks and the policy refuses them, or a task has no rows of
      a class left.
  """
  if leaks and policy is LeakPolicy.REFUSE:
    raise _refusal(leaks)
  shared: dict[str, set[int]] = collections.defaultdict(set)
  for leak in leaks:
    shared[leak.tuning] |= set(leak.rows)
  return tuple(
    _without_leaks(task, shared[task.card.name], leaks)
    if task.card.name in shared
    else task
    for task in tuning
  )


def _without_leaks(task: Task, shared: set[int], leaks: Sequence[Leak]) -> Task:
  """The task without some rows, or an error if no query or no exemplar is left."""
  card = task.card
  kept = tuple(e for e in task.examples if e.row not in shared)
  for splits in (card.query_splits, card.exemplar_splits):
    before = {e.label for e in task.examples if e.split in splits}
    lost = before - {e.label for e in kept if e.split in splits}
    if lost:
      others = ", ".join(x.evaluation for x in leaks if x.tuning == card.name)
      raise SymtuneError(
        f"task {card.name}: {len(shared)} of its {len(task.examples)} rows are also in "
        f"{others}, and mixture.leaks = 'drop' leaves none of class "
        f"{card.labels[min(lost)]!r} in splits {list(splits)}, expected some. Leave "
        f"the task out of the tuning suite, or do not ask about it in the probe suite."
      )
  return dataclasses.replace(task, examples=kept)


def _refusal(leaks: Sequence[Leak]) -> SymtuneError:
  return SymtuneError(
    f"tuning and evaluation tasks share texts: {describe_leaks(leaks)}; for example "
    f"{leaks[0].example[:80]!r}. Leave a task out, or set mixture.leaks = 'drop' to "
    f"tune without those rows."
  )


def describe_leaks(leaks: Sequence[Leak]) -> str:
  """One line: rows, tuning task and evaluation task of each leak."""
  return ", ".join(
    f"{len(leak.rows)} rows of {leak.tuning} are in {leak.evaluation}" for leak in leaks
  )
