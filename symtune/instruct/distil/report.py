"""What was taught, planned and answered -> the report of a distillation."""

import pathlib
from collections.abc import Sequence

import numpy as np

from symtune.instruct.distil.costs import Cost, cost_table
from symtune.instruct.distil.sift import Judged, Sifted
from symtune.instruct.distil.student import TUNED, UNTUNED
from symtune.instruct.distil.tasks import Lessons
from symtune.instruct.overlaps import find_near_duplicates
from symtune.instruct.questions import Question
from symtune.instruct.report import shortened, write_report
from symtune.instruct.rows import AnswerRow
from symtune.report.lab.content import Content
from symtune.report.tables import Column, Table, show_percent

_SHOWN = 12  # answers of the teacher


def report_distillation(
  folder: pathlib.Path,
  lessons: Lessons,
  sifted: Sifted,
  costs: Sequence[Cost],
  questions: Sequence[Question],
  rows: Sequence[AnswerRow],
  *,
  is_suite: bool,
) -> Content:
  """Writes report.md and report.html.

  Args:
    folder: gets the files.
    lessons: the tasks of both sides.
    sifted: the teacher's answers.
    costs: what was planned.
    questions: the questions of the evaluation.
    rows: the answers of all models to them.
    is_suite: whether the teacher was asked the tasks of a suite.

  Returns:
    What the report says.

  Raises:
    SymtuneError: the disk is full.
  """
  near = find_near_duplicates(lessons.held_out, lessons.taught)
  return write_report(
    folder,
    lessons.held_out,
    questions,
    rows,
    near,
    title="Distillation",
    remarks=_remarks(lessons, sifted, is_suite),
    more=(funnel_table(sifted), _sample_table(sifted), cost_table(costs)),
  )


def _remarks(lessons: Lessons, sifted: Sifted, is_suite: bool) -> list[str]:
  written = sum(one.taught.tokens for one in sifted.judged)
  read = sum(one.taught.prompt_tokens for one in sifted.judged)
  spent = f" It read {read:,} tokens and wrote {written:,}." if written else ""
  return [
    f"Teacher: {sifted.teacher}. Licence of its answers: {sifted.licence}. Whatever is "
    f"trained on them may be bound by it.",
    f"The teacher answered {len(sifted.judged):,} instances of {len(lessons.taught):,} "
    f"tasks, of which {sifted.num_kept:,} were kept.{spent} The student was tuned on "
    f"these, with the loss on the answers only. Below, it is asked tasks that it was "
    f"not tuned on; {TUNED} and all others are compared with {UNTUNED}.",
    *(
      [
        "The instructions of a suite are written to one pattern: they count as nearly "
        "the same below even where they ask for other classes."
      ]
      if is_suite
      else []
    ),
  ]


def funnel_table(sifted: Sifted) -> Table:
  """How many answers were kept, and why others were not."""
  total = len(sifted.judged)
  counts = {"answers of the teacher": total}
  counts |= {f"left out: {reason}": n for reason, n in sifted.rejected.most_common()}
  counts["kept"] = sifted.num_kept
  return Table(
    title="What the student learns from",
    columns=(
      Column(title="answers", is_number=False),
      Column(title="n"),
      Column(title="in %"),
    ),
    rows=tuple((name, f"{n:,}", show_percent(n / total)) for name, n in counts.items()),
  )


def _sample_table(sifted: Sifted) -> Table:
  """Some answers of the teacher, evenly spread."""
  judged = sifted.judged
  count = min(_SHOWN, len(judged))
  places = np.linspace(0, len(judged) - 1, count).round().astype(int)
  return Table(
    title="Some answers of the teacher",
    columns=tuple(
      Column(title=title, is_number=False)
      for title in ("instruction", "input", "answer", "verdict")
    ),
    rows=tuple(_sample(judged[place]) for place in places),
  )


def _sample(one: Judged) -> tuple[str, ...]:
  texts = (one.question.instruction, one.question.input, one.taught.text)
  return (*map(shortened, texts), str(one.reason or "kept"))
