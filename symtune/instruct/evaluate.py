"""Answerers and questions -> answers.jsonl, block by block, resumable.

The rows of a block of questions are written together. A killed run leaves at most one
incomplete block, at the end of the file. It is removed and asked again, so the file of
a resumed run equals that of an uninterrupted one byte for byte.
"""

import os
import pathlib
from collections.abc import Sequence

import rich.console

import symtune
from symtune.errors import SymtuneError
from symtune.files import append_text
from symtune.instruct.answerers import Answerer, Ready
from symtune.instruct.encodings import extract_answer
from symtune.instruct.questions import Question
from symtune.instruct.rows import SCHEMA_VERSION, AnswerRow, read_rows, to_json
from symtune.instruct.score import exact_match, rouge_l
from symtune.probe.probe import Score, TellsProgress
from symtune.probe.run import CheckpointLabel, RunContext
from symtune.progress import Progress

ANSWERS_FILE = "answers.jsonl"
BLOCK = 200  # questions; how much a killed run asks again at most


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
  _drop_torn_line(path)
  for answerer in answerers:
    ready = answerer.read()
    done = _count_done(path, ready.label, questions)
    with Progress(
      answerer.name, len(questions), unit="questions", console=console
    ) as progress:
      progress.skip(done)
      tells = isinstance(ready.model, TellsProgress)
      if isinstance(ready.model, TellsProgress):
        ready.model.on_answered = progress.advance
      for start in range(done, len(questions), BLOCK):
        block = questions[start : start + BLOCK]
        append_text(path, _answer(ready, block, context))
        if not tells:
          progress.advance(len(block))
  found = {(row.model, *row.key): row for row in read_rows(path)}
  return [found[a.name, *question.key] for a in answerers for question in questions]


def _answer(ready: Ready, block: Sequence[Question], context: RunContext) -> str:
  """The lines of a block's rows."""
  rows = [
    _to_row(question, score, ready.label, context)
    for question, score in zip(block, ready.answer(block), strict=True)
  ]
  return "".join(to_json(row) + "\n" for row in rows)


def _to_row(
  question: Question, score: Score, label: CheckpointLabel, context: RunContext
) -> AnswerRow:
  text = score.text or ""
  answer = extract_answer(text, question.encoding)
  # The definition is the last to go (`encodings.encode`).
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
  """How many questions are answered; removes an incomplete block at the file's end."""
  rows = read_rows(path)
  places = [i for i, row in enumerate(rows) if row.model == label.name]
  for place, question in zip(places, questions, strict=False):
    row = rows[place]
    if row.identity != label.identity:
      raise SymtuneError(
        f"{path}, line {place + 1}: got an answer of another model named {label.name} "
        f"(identity {row.identity[:24]}, expected {label.identity[:24]}). Evaluate "
        f"into another folder (--out), or move {path.name} away."
      )
    if (row.key, row.prompt_hash) != (question.key, question.prompt_hash):
      raise SymtuneError(
        f"{path}, line {place + 1}: got an answer to instance {row.instance + 1} of "
        f"task {row.task} in another place or to another prompt, expected task "
        f"{question.task}, instance {question.instance + 1}: lines were removed or "
        f"joined, or prompts are written in another way since. Evaluate into another "
        f"folder (--out), or move {path.name} away."
      )
  done = min(len(places), len(questions))
  whole = done if done == len(questions) else done - done % BLOCK
  if len(places) > len(questions) or (
    whole < done and places[whole:] != [*range(len(rows) - done + whole, len(rows))]
  ):
    raise SymtuneError(
      f"{path}: got {len(places)} answers of {label.name}, expected {len(questions)}, "
      f"or fewer only where the file ends: lines were removed, or two files were "
      f"joined. Evaluate into another folder (--out), or move {path.name} away; cached "
      f"answers are not computed twice."
    )
  if whole < done:
    _keep_lines(path, places[whole])
  return whole


def _drop_torn_line(path: pathlib.Path) -> None:
  """Removes a last line without a newline, which a killed write left."""
  if path.exists():
    data = path.read_bytes()
    os.truncate(path, data.rfind(b"\n") + 1)


def _keep_lines(path: pathlib.Path, count: int) -> None:
  lines = path.read_bytes().splitlines(keepends=True)
  os.truncate(path, sum(len(line) for line in lines[:count]))
