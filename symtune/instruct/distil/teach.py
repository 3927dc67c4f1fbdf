"""Stage 2: Questions -> teacher.jsonl. The teacher answers, block by block, resumable.

A teacher is anything that continues prompts (`generate/generators.py`). The questions
of a block are always asked together, with a seed of their own, so that a native teacher
which was killed and continued writes the same bytes.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import rich.console

from symtune.checks import check_types
from symtune.data.rng import keyed_generator
from symtune.instruct.generate.generators import Ended, Generator, Sampling
from symtune.instruct.generate.rows import Log
from symtune.instruct.questions import Question
from symtune.instruct.rows import SCHEMA_VERSION
from symtune.progress import Progress

BLOCK = 16  # questions; how much a killed run asks again at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Taught:
  """A row of teacher.jsonl: what the teacher answered.

  Attributes:
    schema_version: version of this format.
    teacher: identity of the teacher.
    task: name of the task.
    instance: number of the instance in the task, from 0.
    prompt_hash: that of its `Question`.
    text: the answer.
    ended: why it is over (`Ended`).
    prompt_tokens: number of tokens that the teacher read.
    tokens: number of tokens that it wrote.
  """

  schema_version: int = SCHEMA_VERSION
  teacher: str
  task: str
  instance: int
  prompt_hash: int
  text: str
  ended: str
  prompt_tokens: int
  tokens: int

  def __post_init__(self):
    check_types(self)


def teach(
  teacher: Generator,
  questions: Sequence[Question],
  sampling: Sampling,
  seed: int,
  path: pathlib.Path,
  console: rich.console.Console,
) -> list[Taught]:
  """Has a teacher answer all questions, and appends its answers to a file.

  Args:
    teacher: who answers.
    questions: what is asked, in this order.
    sampling: how answers are drawn.
    seed: of what is drawn.
    path: teacher.jsonl; created if missing.
    console: shows progress.

  Returns:
    One row per question, in their order.

  Raises:
    SymtuneError: the file is damaged or holds answers to other questions or of another
      teacher, or the teacher cannot answer.
  """
  log = Log(path, Taught)
  done = _count_done(log, teacher, questions)
  first = done - done % BLOCK if done < len(questions) else done
  with Progress("teacher", len(questions), unit="answers", console=console) as progress:
    progress.skip(first)
    for start in range(first, len(questions), BLOCK):
      block = questions[start : start + BLOCK]
      drawn = int(keyed_generator(seed, "teacher", start).integers(2**31))
      prompts = [question.prompt.inputs for question in block]
      completions = teacher.complete(prompts, sampling, drawn)
      rows = [
        Taught(
          teacher=teacher.identity,
          task=question.task,
          instance=question.instance,
          prompt_hash=question.prompt_hash,
          text=found.text.strip(),
          ended=str(found.ended),
          prompt_tokens=found.prompt_tokens,
          tokens=found.tokens,
        )
        for question, found in zip(block, completions, strict=True)
      ]
      log.append(rows[max(0, done - start) :])
      progress.advance(len(block))
  return log.rows


def recorded(questions: Sequence[Question], teacher: str) -> list[Taught]:
  """The outputs of the data as what a teacher answered, without asking anybody.

  Args:
    questions: instances with their outputs, the first of which is taken.
    teacher: who wrote them, or what is known of it.
  """
  return [
    Taught(
      teacher=teacher,
      task=question.task,
      instance=question.instance,
      prompt_hash=question.prompt_hash,
      text=question.references[0].strip(),
      ended=str(Ended.END),
      prompt_tokens=0,
      tokens=0,
    )
    for question in questions
  ]


def _count_done(
  log: Log[Taught], teacher: Generator, questions: Sequence[Question]
) -> int:
  """How many of the questions, the first ones, the file has answers to."""
  for place, (row, question) in enumerate(zip(log.rows, questions, strict=False)):
    if (row.teacher, row.prompt_hash) != (teacher.identity, question.prompt_hash):
      raise log.damage(
        place,
        f"the answer of {teacher.identity[:24]} to instance {question.instance + 1} of "
        f"task {question.task}, got that of {row.teacher[:24]} to instance "
        f"{row.instance + 1} of task {row.task}",
      )
  if len(log.rows) > len(questions):
    raise log.damage(len(questions), f"no more than {len(questions)} answers")
  return len(log.rows)
