"""PairedResults -> which hypothesis answers follow: the exemplars' or the prior's."""

import zlib
from collections.abc import Sequence

import numpy as np

from symtune.probe.columns import MISSING
from symtune.probe.results import Results
from symtune.probe.run import CheckpointLabel
from symtune.report.outcomes import NO_OUTCOME, OUTCOMES, Outcome, judge_rows
from symtune.report.results import (
  PairedResults,
  SettingRows,
  checkpoint_title,
  setting_title,
)
from symtune.report.summary import task_answers
from symtune.report.tables import Column, Table, show_estimate, show_percent
from symtune.stats.means import Estimate, macro_mean


def hypothesis_table(results: PairedResults) -> Table:
  """One row per setting and checkpoint, for questions whose hypotheses differ.

  Shares are means over tasks, in per cent; the four outcomes sum to 100. The interval
  of the override rate is 95%, clustered like that of an accuracy.
  """
  rows = [
    _row(setting, label, judged)
    for setting in results.settings
    for i, label in enumerate(results.checkpoints)
    if (judged := _judged([t.by_checkpoint[i] for t in setting.tasks]))
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
  setting: SettingRows, label: CheckpointLabel, judged: list[tuple[Results, np.ndarray]]
) -> tuple[str, ...]:
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


def _judged(tasks: Sequence[Results]) -> list[tuple[Results, np.ndarray]]:
  """Per task the rows that have an outcome, and the outcomes; if there are any."""
  judged = []
  for rows in tasks:
    found = judge_rows(rows)
    is_judged = found != NO_OUTCOME
    if is_judged.any():
      judged.append((rows.take(is_judged), found[is_judged]))
  return judged


def _share(judged: list[tuple[Results, np.ndarray]], outcome: Outcome) -> Estimate:
  place = OUTCOMES.index(outcome)
  return macro_mean([task_answers(rows, found == place) for rows, found in judged])


def agreement(results: PairedResults, probe: str) -> list[tuple[str, float]]:
  """How often two settings of a probe get the same answer to the same question.

  Args:
    results: of any probes.
    probe: whose settings are compared, such as "order".

  Returns:
    (checkpoint, mean over questions of the share of pairs of settings that agree).
  """
  tasks = [t for s in results.settings for t in s.tasks if s.probe == probe]
  found = []
  for i, label in enumerate(results.checkpoints):
    shares = _pair_shares([(t.task, t.by_checkpoint[i]) for t in tasks])
    if len(shares):
      found.append((checkpoint_title(label), float(shares.mean())))
  return found


def _pair_shares(tasks: Sequence[tuple[str, Results]]) -> np.ndarray:
  """Of each question with several answers, the share of their pairs that are equal."""
  names: dict[str, int] = {}
  keys = [
    np.stack(
      [
        np.full(len(rows), names.setdefault(name, len(names))),
        rows.numbers("seed"),
        rows.numbers("query"),
        _answers(rows),
      ],
      axis=1,
    )
    for name, rows in tasks
  ]
  if not keys:
    return np.zeros(0)
  answers, counts = np.unique(np.concatenate(keys), axis=0, return_counts=True)
  question = np.unique(answers[:, :3], axis=0, return_inverse=True)[1].reshape(-1)
  asked = np.bincount(question, weights=counts)
  equal = np.bincount(question, weights=counts * (counts - 1))
  return (equal / np.maximum(asked * (asked - 1), 1))[asked > 1]


def _answers(rows: Results) -> np.ndarray:
  """The choice; of texts that are none, a hash of the text: two may well differ."""
  texts = rows.words("text").mapped(
    lambda text: -1 - zlib.crc32(" ".join((text or "").split()).casefold().encode())
  )
  prediction = rows.numbers("prediction")
  return np.where(prediction == MISSING, texts, prediction)
