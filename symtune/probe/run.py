"""Checkpoint and probes -> results.jsonl, task by task, resumable.

Rows of one (checkpoint, probe, task) are written together. A killed run leaves whole
groups and at most one torn one at the end, which is taken off and asked again, so the
file of a resumed run equals that of an uninterrupted one byte for byte.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import rich.console
import rich.progress

from symtune.cards.card import Task
from symtune.errors import SymtuneError
from symtune.probe.probe import Probe, ProbeItem, ProbeSettings, Score, ScoreFn
from symtune.probe.results import SCHEMA_VERSION, ResultRow, read_results, to_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointLabel:
  """Which checkpoint is asked: its name in tables, and its training step."""

  name: str
  step: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunContext:
  """What identifies a run; part of every row.

  Attributes:
    config_hash: of settings, data and vocabulary.
    vocab_hash: of the vocabulary.
    git_commit: of symtune, or None.
  """

  config_hash: str
  vocab_hash: str
  git_commit: str | None


def run_probes(
  score: ScoreFn,
  probes: Sequence[Probe],
  tasks: Sequence[Task],
  settings: ProbeSettings,
  *,
  results_path: pathlib.Path,
  label: CheckpointLabel,
  context: RunContext,
  console: rich.console.Console,
) -> None:
  """Asks every probe about every task it accepts, and appends the answers.

  Args:
    score: the model, or a baseline.
    probes: what to ask.
    tasks: what to ask about.
    settings: symbols, shots and seeds.
    results_path: results.jsonl; made when missing.
    label: which checkpoint the answers are from.
    context: what identifies the run.
    console: shows progress.

  Raises:
    SymtuneError: the file is damaged, or holds rows that this call would not write.
  """
  groups = [(p, t) for p in probes for t in tasks if p.accepts(t)]
  _drop_torn_line(results_path)
  done = read_results(results_path) if results_path.exists() else []
  progress = rich.progress.Progress(console=console, transient=True)
  with progress:
    shown = progress.add_task(f"probe {label.name}", total=len(groups))
    for probe, task in groups:
      items = tuple(probe.items(task, settings))
      if not _is_done(results_path, done, items, label):
        rows = [
          _to_row(item, answer, label, context)
          for item, answer in zip(items, score(items), strict=True)
        ]
        _append(results_path, rows)
      progress.advance(shown)


def _is_done(
  path: pathlib.Path,
  done: list[ResultRow],
  items: Sequence[ProbeItem],
  label: CheckpointLabel,
) -> bool:
  """Whether the items' rows are there; takes a torn group off the end of the file."""
  probe, task = items[0].probe, items[0].task
  group = (label.name, label.step, probe, task)
  places = [
    i for i, r in enumerate(done) if (r.checkpoint, r.step, r.probe, r.task) == group
  ]
  if len(places) == len(items):
    return True
  if places:
    if places != list(range(len(done) - len(places), len(done))):
      raise SymtuneError(
        f"{path}: got {len(places)} rows of checkpoint {label.name}, probe {probe}, "
        f"task {task}, expected {len(items)}. The file was edited; move it away and "
        f"probe again."
      )
    _keep_lines(path, places[0])
    del done[places[0] :]
  return False


def _to_row(
  item: ProbeItem, score: Score, label: CheckpointLabel, context: RunContext
) -> ResultRow:
  values = score.log_likelihoods
  prediction = max(range(len(values)), key=values.__getitem__)
  return ResultRow(
    schema_version=SCHEMA_VERSION,
    checkpoint=label.name,
    step=label.step,
    probe=item.probe,
    setting=item.setting,
    task=item.task,
    seed=item.seed,
    query=item.query,
    num_classes=len(values),
    label=item.prompt.answer,
    prediction=prediction,
    correct=prediction == item.prompt.answer,
    chance=1.0 / len(values),
    log_likelihoods=values,
    choices=item.prompt.choices,
    demos=score.demos,
    demos_asked=len(item.prompt.demo_labels),
    config_hash=context.config_hash,
    data_fingerprint=item.fingerprint,
    vocab_hash=context.vocab_hash,
    git_commit=context.git_commit,
  )


def _append(path: pathlib.Path, rows: Sequence[ResultRow]) -> None:
  with path.open("a", encoding="utf-8") as file:
    file.write("".join(to_json(row) + "\n" for row in rows))
    file.flush()
    os.fsync(file.fileno())


def _drop_torn_line(path: pathlib.Path) -> None:
  """Takes off a last line without its newline: the end of a killed write."""
  if path.exists():
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
      os.truncate(path, whole)


def _keep_lines(path: pathlib.Path, count: int) -> None:
  lines = path.read_bytes().splitlines(keepends=True)
  os.truncate(path, sum(len(line) for line in lines[:count]))
