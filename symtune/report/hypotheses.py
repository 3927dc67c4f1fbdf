"""PairedResults -> which hypothesis answers follow: the exemplars' or the prior's."""

import collections
from collections.abc import Sequence

from symtune.probe.results import ResultRow
from symtune.probe.run import CheckpointLabel
from symtune.report.outcomes import Outcome, judge_row
from symtune.report.results import (
  PairedResults,
  SettingRows,
  checkpoint_title,
  setting_title,
)
from symtune.report.summary import task_answers
from symtune.report.tables import Column, Table, show_estimate, show_percent
from symtune.stats.clusters import TaskAnswers
from symtune.stats.means import Estimate, macro_mean


def hypothesis_table(results: PairedResults) -> Table:
  """One row per setting and checkpoint, for questions whose hypotheses differ.

  Shares are means over tasks, in per cent; the four outcomes sum to 100. The interval
  of the override rate is 95%, clustered like that of an accuracy.
  """
  rows = [
    _row(setting, label, [t.by_checkpoint[i] for t in setting.tasks])
    for setting in results.settings
    for i, label in enumerate(results.checkpoints)
    if any(judge_row(row) for t in setting.tasks for row in t.by_checkpoint[i])
  ]
  titles = ("questions", "override rate", "prior", "neither", "unparsed")
  return Table(
    title="What answers follow where exemplars and prior differ, in %",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="checkpoint", is_number=False),
      *(Column(title=title) for title in titles),
    ),
    rows=tuple(rows),
  )


def _row(
  setting: SettingRows, label: CheckpointLabel, tasks: list[tuple[ResultRow, ...]]
) -> tuple[str, ...]:
  judged = _judged(tasks)
  shares = {outcome: _share(judged, outcome) for outcome in Outcome}
  return (
    setting_title(setting.probe, setting.setting),
    checkpoint_title(label),
    str(shares[Outcome.CONTEXT].n),
    show_estimate(shares[Outcome.CONTEXT]),
    *(
      show_percent(shares[outcome].mean)
      for outcome in (Outcome.PRIOR, Outcome.NEITHER, Outcome.UNPARSED)
    ),
  )


def _judged(
  tasks: Sequence[Sequence[ResultRow]],
) -> list[tuple[list[ResultRow], list[Outcome]]]:
  """Per task the rows that have an outcome, and the outcomes; if there are any."""
  judged = []
  for rows in tasks:
    pairs = [(row, judge_row(row)) for row in rows]
    kept = [(row, outcome) for row, outcome in pairs if outcome is not None]
    if kept:
      judged.append(([row for row, _ in kept], [outcome for _, outcome in kept]))
  return judged


def _share(
  judged: list[tuple[list[ResultRow], list[Outcome]]], outcome: Outcome
) -> Estimate:
  answers: list[TaskAnswers] = [
    task_answers(rows, [float(o is outcome) for o in found]) for rows, found in judged
  ]
  return macro_mean(answers)


def agreement(results: PairedResults, probe: str) -> list[tuple[str, float]]:
  """How often two settings of a probe get the same answer to the same question.

  Args:
    results: of any probes.
    probe: whose settings are compared, such as "order".

  Returns:
    (checkpoint, mean over questions of the share of pairs of settings that agree).
  """
  found = []
  for i, label in enumerate(results.checkpoints):
    answers = collections.defaultdict(list)
    for setting in results.settings:
      for task in setting.tasks if setting.probe == probe else ():
        for row in task.by_checkpoint[i]:
          answers[row.task, row.seed, row.query].append(_answer(row))
    shares = [_pair_share(a) for a in answers.values() if len(a) > 1]
    if shares:
      found.append((checkpoint_title(label), sum(shares) / len(shares)))
  return found


def _answer(row: ResultRow) -> int | str:
  """The choice; of texts that are none, the text: two of them may well differ."""
  if row.prediction is not None:
    return row.prediction
  return " ".join((row.text or "").split()).casefold()


def _pair_share(answers: Sequence[int | str]) -> float:
  """Of all pairs of answers, the share that are equal."""
  counts = collections.Counter(answers)
  pairs = len(answers) * (len(answers) - 1)
  return sum(c * (c - 1) for c in counts.values()) / pairs
