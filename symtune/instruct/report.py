"""Questions and answer rows -> report.md and report.html, with answers side by side."""

import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from symtune.data.text.instructions import InstructionTask
from symtune.instruct.overlaps import NearDuplicate
from symtune.instruct.questions import Question
from symtune.instruct.rows import AnswerRow
from symtune.instruct.tables import (
  category_table,
  change_table,
  near_duplicate_table,
  new_task_table,
  overall_table,
  task_table,
)
from symtune.instruct.tasks import BY_INSTRUCTION
from symtune.report.lab.content import (
  Answered,
  Content,
  Section,
  SideBySide,
  of_table,
)
from symtune.report.lab.page import write_content
from symtune.report.tables import Column, Table, show_percent

STEM = "report"
_ANSWERS_TITLE = "Answers side by side, with ROUGE-L in %"
_SHOWN_ANSWERS = 24  # in report.md
_MOST_ANSWERS = 400  # in report.html
_LONGEST_TEXT = 240  # characters of a text in the table of answers
_SCORABLE = re.compile("[a-z0-9]", re.IGNORECASE | re.ASCII)


def write_report(
  folder: pathlib.Path,
  tasks: Sequence[InstructionTask],
  questions: Sequence[Question],
  rows: Sequence[AnswerRow],
  near: Sequence[NearDuplicate] | None,
  *,
  title: str = "Instructions",
  remarks: Sequence[str] = (),
  more: Sequence[Table] = (),
) -> Content:
  """Writes report.md and report.html.

  Args:
    folder: gets the files.
    tasks: the tasks that were asked.
    questions: the questions.
    rows: the answers of all models, each to all questions, in their order.
    near: test tasks that are nearly the same as a training task; None if no training
      tasks are known.
    title: the report's title.
    remarks: paragraphs that stand before the others.
    more: tables that stand after the first ones.

  Returns:
    What the report says.

  Raises:
    SymtuneError: the disk is full.
  """
  several = len({row.model for row in rows}) > 1
  tables = [overall_table(rows), *([change_table(rows)] if several else [])]
  headlines = tuple(tables)
  tables += more
  if near:
    if {pair.test for pair in near} < {row.task for row in rows}:
      tables.append(new_task_table(rows, near))
    tables.append(near_duplicate_table(near))
  if len({row.category for row in rows}) > 1:
    tables.append(category_table(rows))
  by_task = [] if tasks[0].form in BY_INSTRUCTION else [task_table(rows)]
  answers = Section(title=_ANSWERS_TITLE, parts=(_side_by_side(questions, rows),))
  content = Content(
    title=title,
    remarks=tuple(
      f"{remark}\n" for remark in (*remarks, *_remarks(tasks, questions, rows, near))
    ),
    sections=(*map(of_table, tables), answers, *map(of_table, by_task)),
    results=None,
    headlines=headlines,
  )
  write_content(folder / STEM, content)
  return content


def _remarks(
  tasks: Sequence[InstructionTask],
  questions: Sequence[Question],
  rows: Sequence[AnswerRow],
  near: Sequence[NearDuplicate] | None,
) -> list[str]:
  """What a reader has to know before the tables."""
  instances = sum(len(task.rows) for task in tasks)
  remarks = [
    f"{instances} instances of {len(tasks)} tasks, answered greedily. Exact match and "
    "ROUGE-L are means over instances. A prompt that is too long for a model loses "
    'examples, then the definition, never the instance; "shortened" counts these '
    "prompts."
  ]
  lost = sum(row.lost_definition for row in rows)
  if lost:
    remarks.append(f"{lost} answers were given without the definition, for its length.")
  left_out = sum({task.fingerprint: task.left_out for task in tasks}.values())
  if left_out:
    remarks.append(f"{left_out} rows without instruction or output were left out.")
  foreign = sum(
    not any(_SCORABLE.search(reference) for reference in question.references)
    for question in questions
  )
  if foreign:
    remarks.append(
      f"ROUGE-L reads only Latin letters and digits: {foreign} of {len(questions)} "
      "questions have no reference with any, so that it is 0 for every answer to them."
    )
  if near is None:
    remarks.append(
      "No training tasks were given (`--train`, `--train-tasks`), so nothing shows "
      "that these tasks are new to a model."
    )
  elif not near:
    remarks.append("No task is nearly the same as a training task.")
  return remarks


def _side_by_side(
  questions: Sequence[Question], rows: Sequence[AnswerRow]
) -> SideBySide:
  """Questions, evenly spread, with every model's answer."""
  models = tuple(dict.fromkeys(row.model for row in rows))
  by_key = {(row.model, *row.key): row for row in rows}
  answers = {q.key: [by_key[model, *q.key] for model in models] for q in questions}
  on_page = _spread(questions, _MOST_ANSWERS)
  return SideBySide(
    models=models,
    questions=tuple(_answered(one, answers[one.key]) for one in on_page),
    sample=f"{len(on_page):,} of {len(questions):,} questions, evenly spread. An "
    "answer is right (✓) if it matches a reference exactly.",
    table=_answer_table(_spread(questions, _SHOWN_ANSWERS), answers, models),
  )


def _spread(questions: Sequence[Question], most: int) -> list[Question]:
  """At most so many of the questions, evenly spread."""
  count = min(most, len(questions))
  places = np.linspace(0, len(questions) - 1, count).round().astype(int)
  return [questions[place] for place in places]


def _answered(question: Question, answers: Sequence[AnswerRow]) -> Answered:
  return Answered(
    where=f"{question.encoding} · {question.task}",
    asked=(
      ("Instruction", question.instruction),
      ("Input", question.input),
      ("Reference", question.references[0]),
    ),
    answers=tuple(row.text for row in answers),
    notes=tuple(f"ROUGE-L {show_percent(row.rouge_l)}" for row in answers),
    right=tuple(row.exact for row in answers),
  )


def _answer_table(
  questions: Sequence[Question],
  answers: Mapping[tuple[str, str, int], Sequence[AnswerRow]],
  models: Sequence[str],
) -> Table:
  """A row for each question, with every model's answer and its ROUGE-L."""
  return Table(
    title=_ANSWERS_TITLE,
    columns=tuple(
      Column(title=title, is_number=False)
      for title in ("task", "encoding", "instruction", "input", "reference", *models)
    ),
    rows=tuple(
      (
        question.task,
        str(question.encoding),
        shortened(question.instruction),
        shortened(question.input),
        shortened(question.references[0]),
        *(
          f"{shortened(row.text)} ({show_percent(row.rouge_l)})"
          for row in answers[question.key]
        ),
      )
      for question in questions
    ),
  )


def shortened(text: str) -> str:
  """The beginning of a text, in one line, as tables show it."""
  line = " ".join(text.split())
  return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}…"
