"""Questions, index and models -> answers.jsonl and a table of exact match and F1."""

import dataclasses
import json
import os
import pathlib
import typing
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import rich.console

from symtune.bounded import parse_json
from symtune.checks import check_types
from symtune.data.prompts import Prompt
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer
from symtune.files import append_text
from symtune.probe.probe import AnswerKind, ProbeItem
from symtune.probe.run import CheckpointLabel
from symtune.progress import Progress
from symtune.ralm.questions import OpenQuestion, exact_match, f1, make_prompt
from symtune.ralm.rows import check_identity
from symtune.report.tables import Column, Table
from symtune.retrieve.index import PassageIndex
from symtune.stats.clusters import TaskAnswers
from symtune.stats.means import macro_mean, paired_difference
from symtune.stats.ratios import ratio

FILE = "answers.jsonl"
_BATCH = 64  # questions whose rows are written together


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerRow:
  """One answer.

  Attributes:
    model: its name.
    identity: what identifies its weights and its vocabulary.
    passages: how many stood before the question.
    number: of the question in its file, from 0.
    question: the question.
    found: numbers of the passages.
    answer: what the model wrote, up to the first line break.
    exact_match: 1 or 0.
    f1: 0 to 1.
    corpus: hash of the index.
  """

  model: str
  identity: str
  passages: int
  number: int
  question: str
  found: list[int]
  answer: str
  exact_match: float
  f1: float
  corpus: str

  def __post_init__(self):
    check_types(self)


def answer_all(
  answerer: Answerer,
  questions: Sequence[OpenQuestion],
  index: PassageIndex,
  passages: Sequence[int],
  forbidden: Collection[str],
  out: pathlib.Path,
  console: rich.console.Console,
) -> None:
  """Asks every question without passages and with each number of them.

  Args:
    answerer: generates at most `questions.MAX_NEW_TOKENS` tokens.
    questions: the questions.
    index: of the corpus.
    passages: how many passages stand before a question.
    forbidden: documents that are never retrieved.
    out: folder of answers.jsonl, which is continued.
    console: shows progress.

  Raises:
    SymtuneError: the file is damaged or has rows of another model of this name, or a
      question is too long for the model.
  """
  path, label = out / FILE, answerer.label
  if path.exists():
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
  done = {(row.passages, row.number) for row in _answers_of(label, path)}
  total = len(questions) * (1 + len(passages))
  with Progress(label.name, total, unit="questions", console=console) as progress:
    for count in (0, *passages):
      for first in range(0, len(questions), _BATCH):
        batch = range(first, min(first + _BATCH, len(questions)))
        left = [i for i in batch if (count, i) not in done]
        rows = _answer(answerer, questions, left, index, count, forbidden)
        append_text(
          path, "".join(json.dumps(dataclasses.asdict(r)) + "\n" for r in rows)
        )
        progress.skip(len(batch) - len(left))
        progress.advance(len(left))


def _answer(
  answerer: Answerer,
  questions: Sequence[OpenQuestion],
  numbers: Sequence[int],
  index: PassageIndex,
  count: int,
  forbidden: Collection[str],
) -> list[AnswerRow]:
  asked = [questions[i] for i in numbers]
  found = [[] for _ in asked]
  if count:
    found = index.search_all([q.question for q in asked], count, forbidden)
  prompts = [
    make_prompt(question.question, [index.passage(one.number) for one in some])
    for question, some in zip(asked, found, strict=True)
  ]
  scores = answerer.score(
    [_item(prompt, i) for prompt, i in zip(prompts, numbers, strict=True)]
  )
  rows = []
  for i, question, some, score in zip(numbers, asked, found, scores, strict=True):
    answer = (score.text or "").strip().split("\n")[0].strip()
    rows.append(
      AnswerRow(
        model=answerer.label.name,
        identity=answerer.label.identity,
        passages=count,
        number=i,
        question=question.question,
        found=[one.number for one in some],
        answer=answer,
        exact_match=exact_match(answer, question.answers),
        f1=f1(answer, question.answers),
        corpus=index.hash,
      )
    )
  return rows


def _answers_of(label: CheckpointLabel, path: pathlib.Path) -> list[AnswerRow]:
  """The rows of a model; refuses those of another one with its name."""
  rows = [row for row in read_answers(path) if row.model == label.name]
  for row in rows:
    check_identity(label, row.identity, path)
  return rows


def _item(prompt: str, number: int) -> ProbeItem:
  return ProbeItem(
    probe="ralm",
    setting="questions",
    task="questions",
    seed=0,
    query=number,
    prompt=Prompt(turns=((prompt,),), exemplar_labels=(), choices=("",), answer=0),
    context=None,
    prior=None,
    kind=AnswerKind.GENERATE,
    fingerprint="",
  )


def read_answers(path: pathlib.Path) -> list[AnswerRow]:
  """The rows of a file; none if there is no file.

  Raises:
    SymtuneError: a line is no row; names file and line.
  """
  if not path.exists():
    return []
  rows = []
  for number, line in enumerate(path.read_bytes().splitlines(), 1):
    where = f"{path}, line {number}"
    values: Any = parse_json(line, where)
    if not isinstance(values, dict) or set(values) != set(
      typing.get_type_hints(AnswerRow)
    ):
      raise SymtuneError(f"{where}: expected a row with the keys of AnswerRow.")
    try:
      rows.append(AnswerRow(**values))
    except SymtuneError as error:
      raise SymtuneError(f"{where}: {error}") from error
  return rows


def answer_table(rows: Sequence[AnswerRow]) -> Table:
  """Exact match and F1 in per cent, and their paired change by passages."""
  groups: dict[tuple[str, int], list[AnswerRow]] = {}
  for row in rows:
    groups.setdefault((row.model, row.passages), []).append(row)
  columns = [
    Column(title="model", is_number=False),
    *(Column(title=t) for t in ("passages", "questions", "exact match", "F1")),
    *(Column(title=t) for t in ("change of exact match", "change of F1")),
  ]
  lines = []
  for (model, count), some in groups.items():
    base = {row.number: row for row in groups.get((model, 0), ())}
    pairs = [(base[row.number], row) for row in some if row.number in base]
    match = macro_mean([_answers(some)])
    of_f1 = ratio(np.asarray([row.f1 for row in some]), np.ones(len(some)))
    change = ["", ""]
    if count and pairs:
      before, after = ([pair[i] for pair in pairs] for i in (0, 1))
      difference = paired_difference(
        [_answers(before)], [_answers(after)], keyed_generator("answers")
      )
      gains = np.asarray([b.f1 - a.f1 for a, b in pairs])
      gain = ratio(gains, np.ones(len(gains)))
      change = [
        _show(difference.difference, difference.low, difference.high, "+"),
        _show(gain.value, gain.low, gain.high, "+"),
      ]
    lines.append(
      (
        model,
        str(count),
        str(len(some)),
        _show(match.mean, match.low, match.high),
        _show(of_f1.value, of_f1.low, of_f1.high),
        *change,
      )
    )
  title = "Answers in %, with and without passages [95% interval over questions]"
  return Table(title=title, columns=tuple(columns), rows=tuple(lines))


def _answers(rows: Sequence[AnswerRow]) -> TaskAnswers:
  return TaskAnswers(
    queries=np.asarray([row.number for row in rows]),
    seeds=np.zeros(len(rows), np.int64),
    values=np.asarray([row.exact_match for row in rows]),
  )


def _show(value: float, low: float, high: float, sign: str = "") -> str:
  return f"{100 * value:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
