"""Answerers and questions -> answers.jsonl, block by block, resumable.

The questions of a block are asked together, whether all of its rows are missing or, in
a run that was killed, a few: how they are batched never changes. So the file of a
resumed run equals that of an uninterrupted one byte for byte.
"""

import pathlib
from collections.abc import Sequence

import rich.console

import symtune
from symtune.errors import SymtuneError
from symtune.files import append_text
from symtune.instruct.answerers import Answerer, Ready
from symtune.instruct.extract import extract_answer
from symtune.instruct.questions import Question
from symtune.instruct.rows import (
  SCHEMA_VERSION,
  AnswerRow,
  drop_torn_line,
  read_rows,
  to_json,
)
from symtune.instruct.score import exact_match, rouge_l
from symtune.probe.probe import Score, TellsProgress
from symtune.probe.run import CheckpointLabel, RunContext
from symtune.progress import Progress

ANSWERS_FILE = "answers.jsonl"
BLOCK = 200  # questions; how much a killed run asks again at most
_ADVICE = (
  "Evaluate into another folder (--out), or move the file away; cached answers are not "
  "computed twice."
)


def evaluate(
  answerers: Sequence[Answerer],
  questions: Sequence[Question],
  path: pathlib.Path,
  context: RunContext,
  console: rich.console.Console,
) -> list[AnswerRow]:
  """Asks every answerer all questions, and appends the answers.

  Args:
    answerers: who is asked, one after the other.
    questions: what is asked, in this order.
    path: answers.jsonl; created if missing.
    context: what identifies the run.
    console: shows progress.

  Returns:
    The rows of these answerers, in the order of answerers and questions.

  Raises:
    SymtuneError: the file is damaged or holds other answers, or a question is too long
      for a model.
  """
  drop_torn_line(path)
  for answerer in answerers:
    ready = answerer.read()
    done = _count_done(path, ready.label, questions)
    asked = done - done % BLOCK if done < len(questions) else done
    with Progress(
      answerer.name, len(questions), unit="questions", console=console
    ) as progress:
      progress.skip(asked)
      model = ready.model
      if isinstance(model, TellsProgress):
        model.on_answered = progress.advance
      for start in range(asked, len(questions), BLOCK):
        block = questions[start : start + BLOCK]
        lines = _answer(ready, block, context)
        append_text(path, "".join(lines[max(0, done - start) :]))
        if not isinstance(model, TellsProgress):
          progress.advance(len(block))
  found = {(row.model, *row.key): row for row in read_rows(path)}
  return [found[a.name, *question.key] for a in answerers for question in questions]


def _answer(ready: Ready, block: Sequence[Question], context: RunContext) -> list[str]:
  """The lines of a block's rows."""
  rows = [
    _to_row(question, score, ready.label, context)
    for question, score in zip(block, ready.answer(block), strict=True)
  ]
  return [to_json(row) + "\n" for row in rows]


def _to_row(
  question: Question, score: Score, label: CheckpointLabel, context: RunContext
) -> AnswerRow:
  text = score.text or ""
  answer = extract_answer(text, question.encoding)
  # The definition is the last to go (`encode`).
  keeps_definition = question.has_definition and score.exemplars > 0
  return AnswerRow(
    schema_version=SCHEMA_VERSION,
    model=label.name,
    step=label.step,
    identity=label.identity,
    parameters=label.parameters,
    dtype=label.dtype,
    encoding=str(question.encoding),
    task=question.task,
    category=question.category,
    instance=question.instance,
    prompt_hash=question.prompt_hash,
    text=text,
    answer=answer,
    references=question.references,
    exact=exact_match(answer, question.references),
    rouge_l=rouge_l(answer, question.references),
    examples=score.exemplars - keeps_definition,
    examples_asked=question.num_examples,
    lost_definition=question.has_definition and not keeps_definition,
    config_hash=context.config_hash,
    symtune_version=symtune.__version__,
    git_commit=context.git_commit,
  )


def _count_done(
  path: pathlib.Path, label: CheckpointLabel, questions: Sequence[Question]
) -> int:
  """How many of the questions, the first ones, the file has answers to."""
  mine = [(i, r) for i, r in enumerate(read_rows(path), 1) if r.model == label.name]
  for (line, row), question in zip(mine, questions, strict=False):
    if row.identity != label.identity:
      raise SymtuneError(
        f"{path}, line {line}: got an answer of another model named {label.name} "
        f"(identity {row.identity[:24]}, expected {label.identity[:24]}). {_ADVICE}"
      )
    if (row.key, row.prompt_hash) != (question.key, question.prompt_hash):
      raise SymtuneError(
        f"{path}, line {line}: got the answer of {label.name} to instance "
        f"{row.instance + 1} of task {row.task}, expected instance "
        f"{question.instance + 1} of task {question.task}, with the prompt that this "
        f"symtune writes: lines were removed, or prompts have changed. {_ADVICE}"
      )
  if len(mine) > len(questions):
    raise SymtuneError(
      f"{path}, line {mine[len(questions)][0]}: got more answers of {label.name} than "
      f"the {len(questions)} questions: files were joined. {_ADVICE}"
    )
  return len(mine)
