"""Checkpoint and probes -> results.jsonl, subject by subject, resumable.

The rows of one (checkpoint, probe, subject) are written together as a group. A killed
run leaves at most one incomplete group, at the end. It is removed and asked again, so
the file of a resumed run equals that of an uninterrupted one byte for byte.
"""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import rich.console

import symtune
from symtune.data.draw.words import DRAWS_VERSION
from symtune.errors import SymtuneError
from symtune.files import QUESTIONS_FILE
from symtune.probe.answer.calibrate import (
  Calibration,
  CalibrationScores,
  count_prompts,
  score_calibration,
)
from symtune.probe.contrasts import of_own, write_contrasts
from symtune.probe.probe import (
  AnswerKind,
  ProbeItem,
  Score,
  ScoreFn,
  TellsProgress,
  parse_answer,
)
from symtune.probe.questions import Questions
from symtune.probe.results import (
  SCHEMA_VERSION,
  ResultRow,
  collect,
  read_results,
  to_json,
)
from symtune.probe.texts import QuestionFile
from symtune.progress import Progress

_Key = tuple[str, str, str, int, int]  # of a question, as ProbeItem.key


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointLabel:
  """Names the checkpoint that is asked.

  Attributes:
    name: name in tables.
    step: training step.
    parameters: number of parameters of the model; None for a scorer without any.
    family: architecture and vocabulary of the model; None for a scorer without one.
    identity: what answers: a hash of the weights and settings, or a baseline's name.
      Rows with the same name and step but another identity are refused.
    dtype: type in which the model computes, such as "float32"; None for a scorer
      without a model.
  """

  name: str
  step: int
  parameters: int | None = None
  family: str | None = None
  identity: str = ""
  dtype: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunContext:
  """What identifies a run; part of every row.

  Attributes:
    config_hash: hash of settings, data and vocabulary.
    vocab_hash: hash of the vocabulary.
    git_commit: commit of symtune, or None.
  """

  config_hash: str
  vocab_hash: str
  git_commit: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Done:
  """What a results file already holds of one checkpoint.

  Attributes:
    path: the file.
    num_rows: rows of all checkpoints.
    places: the place of each question's row.
    prompts: the hash of each question's prompt.
    data: by probe and task, each fingerprint of the data and the first row with it.
  """

  path: pathlib.Path
  num_rows: int
  places: dict[_Key, int]
  prompts: dict[_Key, int]
  data: dict[tuple[str, str], dict[str, int]]


def run_probes(
  score: ScoreFn,
  questions: Questions,
  *,
  results_path: pathlib.Path,
  label: CheckpointLabel,
  context: RunContext,
  console: rich.console.Console,
  calibration: Sequence[Calibration] = (),
  clock: Callable[[], float] = time.monotonic,
) -> None:
  """Asks every probe about every subject, and appends the answers.

  Args:
    score: the model, or a baseline.
    questions: what to ask.
    results_path: results.jsonl; created if missing, and so is questions.jsonl.gz
      beside it, which keeps the text of every question once. What probes of the
      user's own compare stands in contrasts.json.
    label: the checkpoint that gives the answers.
    context: what identifies the run.
    console: shows progress.
    calibration: the calibration prompts whose scores the rows keep.
    clock: the time in seconds, for the progress.

  Raises:
    SymtuneError: the file is damaged, or holds rows that this call would not write:
      answers of another model under this name, or to questions made from other data.
  """
  _drop_torn_line(results_path)
  done = _read_done(results_path, label)
  texts = QuestionFile(results_path.with_name(QUESTIONS_FILE))
  write_contrasts(results_path.parent, of_own(questions.probes))
  extra = count_prompts(calibration)
  total = _count_prompts(questions.count(), extra)
  with Progress(
    label.name, total, unit="prompts", console=console, clock=clock
  ) as progress:
    tells = isinstance(score, TellsProgress)
    if tells:
      score.on_answered = progress.advance
    for probe, items in questions:
      progress.describe(f"{label.name}, {probe}, {items[0].task}")
      prompts = _count_prompts(collections.Counter(i.kind for i in items), extra)
      _check_data(done, items)
      texts.add(items, prompt_hash)
      if _is_done(done, items):
        progress.skip(prompts)
        continue
      answers = score(items)
      extras = score_calibration(score, items, calibration)
      rows = [
        _to_row(item, answer, extra, label, context)
        for item, answer, extra in zip(items, answers, extras, strict=True)
      ]
      _append(results_path, rows)
      if not tells:
        progress.advance(prompts)


def _count_prompts(items: Mapping[AnswerKind, int], extra: int) -> int:
  """The number of prompts of items; ranked ones have `extra` calibration prompts."""
  return sum(items.values()) + extra * items.get(AnswerKind.RANK, 0)


def _read_done(path: pathlib.Path, label: CheckpointLabel) -> _Done:
  """What the file holds of the checkpoint; checks its identity."""
  rows = read_results(path) if path.exists() else collect([])
  is_named = rows.words("checkpoint").mapped(lambda name: name == label.name)
  mine = np.flatnonzero(is_named & (rows.numbers("step") == label.step))
  prompts = rows.numbers("prompt_hash")
  done = _Done(path=path, num_rows=len(rows), places={}, prompts={}, data={})
  for i in mine.tolist():
    row = rows[i]
    if row.identity != label.identity:
      raise SymtuneError(
        f"{path}, line {i + 1}: got answers of another model named "
        f"{label.name}, step {label.step} (identity {row.identity[:24]}), expected "
        f"{label.identity[:24]}. Write the answers of this model into another folder "
        f"(--out), or move {path.name} away."
      )
    done.places[row.pair_key] = i
    done.prompts[row.pair_key] = int(prompts[i])
    done.data.setdefault((row.probe, row.task), {}).setdefault(row.data_fingerprint, i)
  return done


def _check_data(done: _Done, items: Sequence[ProbeItem]) -> None:
  """Refuses to resume if earlier questions were made from other data or draws."""
  wanted = {(item.probe, item.task): _data_fingerprint(item) for item in items}
  for (probe, task), expected in wanted.items():
    for found, place in done.data.get((probe, task), {}).items():
      if found != expected:
        raise SymtuneError(
          f"{done.path}, line {place + 1}: got an answer of probe {probe}, task "
          f"{task} with data_fingerprint {found[:16]}, expected {expected[:16]}: the "
          f"task's rows, its card or the way in which prompts are drawn have changed "
          f"since. Probe into another folder with --out, or move {done.path.name} away."
        )
  for item in items:
    if done.prompts.get(item.key) not in (None, prompt_hash(item)):
      raise SymtuneError(
        f"{done.path}, line {done.places[item.key] + 1}: got the answer to another "
        f"prompt of probe {item.probe}, setting {item.setting}, task {item.task}, "
        f"query {item.query}: the way in which prompts are written has changed since. "
        f"Probe into another folder with --out, or move {done.path.name} away."
      )


def _is_done(done: _Done, items: Sequence[ProbeItem]) -> bool:
  """Whether the items' rows exist; removes an incomplete group at the file's end."""
  places, num_rows = done.places, done.num_rows
  found = sorted(places[item.key] for item in items if item.key in places)
  if len(found) == len(items):
    return True
  if found:
    if found != list(range(num_rows - len(found), num_rows)):
      raise SymtuneError(
        f"{done.path}: got {len(found)} rows of probe {items[0].probe}, task "
        f"{items[0].task} and the tasks asked together with it, expected {len(items)}. "
        f"Fewer are allowed only at the end of the file, where a killed run stopped, "
        f"but other rows follow: lines were removed, or two files were joined. Move "
        f"{done.path.name} away and probe again; cached answers are not computed twice."
      )
    _keep_lines(done.path, found[0])
    for item in items:
      places.pop(item.key, None)
  return False


def _to_row(
  item: ProbeItem,
  score: Score,
  calibration: CalibrationScores,
  label: CheckpointLabel,
  context: RunContext,
) -> ResultRow:
  choices = item.prompt.choices
  if item.kind is AnswerKind.GENERATE:
    prediction = parse_answer(score.text or "", choices)
  else:
    values = score.log_likelihoods
    prediction = max(range(len(values)), key=values.__getitem__)
  return ResultRow(
    schema_version=SCHEMA_VERSION,
    checkpoint=label.name,
    step=label.step,
    identity=label.identity,
    parameters=label.parameters,
    family=label.family,
    dtype=label.dtype,
    probe=item.probe,
    setting=item.setting,
    task=item.task,
    seed=item.seed,
    query=item.query,
    prompt_hash=prompt_hash(item),
    shares=item.shares,
    group=item.group,
    kind=str(item.kind),
    num_classes=len(choices),
    label=item.prompt.answer,
    context=item.context,
    prior=item.prior,
    prediction=prediction,
    correct=prediction == item.prompt.answer,
    chance=1.0 / len(choices) if len(choices) > 1 else 0.0,
    text=score.text,
    log_likelihoods=score.log_likelihoods,
    tokens=score.tokens,
    null_log_likelihoods=calibration.null_log_likelihoods,
    content_free_log_prior=calibration.content_free_log_prior,
    domain_log_prior=calibration.domain_log_prior,
    choices=choices,
    references=item.references,
    natural=item.natural,
    exemplars=score.exemplars,
    exemplars_asked=len(item.prompt.exemplar_labels),
    config_hash=context.config_hash,
    data_fingerprint=_data_fingerprint(item),
    vocab_hash=context.vocab_hash,
    symtune_version=symtune.__version__,
    git_commit=context.git_commit,
  )


def prompt_hash(item: ProbeItem) -> int:
  """A hash of what is asked: `ResultRow.prompt_hash`.

  Args:
    item: the question.

  Returns:
    48 bits, so that every reader of JSON keeps them exactly.
  """
  asked = [item.prompt.turns, item.prompt.choices, str(item.kind)]
  return int(hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12], 16)


def _data_fingerprint(item: ProbeItem) -> str:
  """SHA-256 of what a question is made of and of the version of the draws."""
  return hashlib.sha256(f"{DRAWS_VERSION} {item.fingerprint}".encode()).hexdigest()


def _append(path: pathlib.Path, rows: Sequence[ResultRow]) -> None:
  with path.open("a", encoding="utf-8") as file:
    file.write("".join(to_json(row) + "\n" for row in rows))
    file.flush()
    os.fsync(file.fileno())


def _drop_torn_line(path: pathlib.Path) -> None:
  """Removes a last line without a newline, which a killed write left."""
  if path.exists():
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
      os.truncate(path, whole)


def _keep_lines(path: pathlib.Path, count: int) -> None:
  lines = path.read_bytes().splitlines(keepends=True)
  os.truncate(path, sum(len(line) for line in lines[:count]))
