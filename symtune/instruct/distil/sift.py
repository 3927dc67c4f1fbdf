"""Stage 3: Taught answers -> Sifted. What a student learns from, and what is left out.

The rules are those of Self-Instruct for instances (`generate/filters.py`), applied to
all answers to one instruction together. An answer that reached the largest number of
tokens is not whole, and is left out.
"""

import collections
import dataclasses
import json
from collections.abc import Sequence

from symtune.instruct.distil.teach import Taught
from symtune.instruct.generate.filters import Instance, Reason, judge_instances
from symtune.instruct.generate.generators import Ended
from symtune.instruct.questions import Question


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
  """A question with its answer, and why that is left out; None if it is kept."""

  question: Question
  taught: Taught
  reason: Reason | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sifted:
  """All answers of a teacher, in the order of the questions.

  Attributes:
    teacher: its name.
    licence: under which terms the answers may be used.
    judged: the answers.
  """

  teacher: str
  licence: str
  judged: tuple[Judged, ...]

  @property
  def num_kept(self) -> int:
    """How many answers a student learns from."""
    return sum(one.reason is None for one in self.judged)

  @property
  def rejected(self) -> collections.Counter[Reason]:
    """How many answers are left out, by reason."""
    return collections.Counter(one.reason for one in self.judged if one.reason)

  def rows(self) -> str:
    """What a student learns from, as the lines of a file in Alpaca's layout."""
    return self._lines([one for one in self.judged if one.reason is None])

  def leftovers(self) -> str:
    """What is left out, with reasons, as the lines of a file."""
    return self._lines([one for one in self.judged if one.reason])

  def _lines(self, some: Sequence[Judged]) -> str:
    lines = []
    for one in some:
      question = one.question
      row = {
        # The input of a pair is a whole prompt.
        "instruction": question.instruction or question.input,
        "input": question.input if question.instruction else "",
        "output": one.taught.text,
        "task": question.task,
        "teacher": self.teacher,
        "licence": self.licence,
      }
      if one.reason:
        row["reason"] = str(one.reason)
      lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def sift(
  questions: Sequence[Question],
  taught: Sequence[Taught],
  *,
  teacher: str,
  licence: str,
) -> Sifted:
  """Judges every answer.

  Args:
    questions: what was asked.
    taught: the answer to each question.
    teacher: name of the teacher.
    licence: under which terms its answers may be used.
  """
  by_task: dict[str, list[int]] = collections.defaultdict(list)
  reasons: list[Reason | None] = []
  for place, (question, one) in enumerate(zip(questions, taught, strict=True)):
    is_whole = one.ended != Ended.LENGTH
    reasons.append(None if is_whole else Reason.TRUNCATED)
    if is_whole:
      by_task[question.task].append(place)
  for places in by_task.values():
    instances = [
      Instance(input=questions[place].input, output=taught[place].text)
      for place in places
    ]
    found = judge_instances(instances, is_truncated=False, most=len(instances))
    for place, reason in zip(places, found, strict=True):
      reasons[place] = reason
  judged = tuple(
    Judged(question=question, taught=one, reason=reason)
    for question, one, reason in zip(questions, taught, reasons, strict=True)
  )
  return Sifted(teacher=teacher, licence=licence, judged=judged)
