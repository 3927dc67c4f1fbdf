"""Stage 11: PairedResults -> paired differences between settings of a checkpoint.

The settings of a probe share queries, exemplars and seeds, so two of them are compared
like two checkpoints: on the same questions, with the same intervals and tests. Each
probe declares which it compares (`probe.probe.Compared`). In the shipped ones natural
labels minus symbols shows what the labels' meaning adds, natural minus swapped labels
what it costs to override that meaning, and the setting `labels` minus `neither` what
the exemplars alone do not give. Exemplars that are looked up minus those drawn at
random show what their choice adds.

A difference between a setting with an instruction and one without is also that of their
formats (`probe/probes/settings.py`); beside it stands the difference at equal format,
which is what the instruction alone adds.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.probe.results import Results
from symtune.probe.run import CheckpointLabel
from symtune.report.results import (
  PairedResults,
  SettingRows,
  checkpoint_title,
  question_hash,
  setting_title,
)
from symtune.report.summary import in_threads, right_answers
from symtune.report.tables import CHANGE_COLUMNS, Column, Table, change_cells
from symtune.stats.means import PairedDifference, holm, paired_difference


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast:
  """One setting minus another.

  Attributes:
    probe: name of the probe.
    settings: (first, last); the difference is the last minus the first.
    checkpoint: the checkpoint that answered.
    tasks: names of the tasks asked in both settings.
    questions: hashes of what was asked in both settings (`results.question_hash`).
    change: the difference.
    holm_p_value: its p-value, corrected for all contrasts of the results (Holm).
  """

  probe: str
  settings: tuple[str, str]
  checkpoint: CheckpointLabel
  tasks: tuple[str, ...]
  questions: tuple[str, ...]
  change: PairedDifference
  holm_p_value: float


def compare_settings(results: PairedResults) -> tuple[Contrast, ...]:
  """The contrasts that the probes of some results declare.

  Args:
    results: results of any probes.

  Returns:
    One contrast per pair of settings and checkpoint, over the tasks asked in both.
  """
  pairs = {
    (first.probe, first.setting, last.setting): (first, last)
    for _, first, last in results.compared()
  }
  compared = in_threads(
    _compare,
    [
      (first, last, place, label)
      for first, last in pairs.values()
      for place, label in enumerate(results.checkpoints)
    ],
  )
  found = [contrast for contrast in compared if contrast is not None]
  corrected = holm(
    [c.change.p_value for c in found], [(*c.questions, c.checkpoint) for c in found]
  )
  return tuple(
    dataclasses.replace(contrast, holm_p_value=p_value)
    for contrast, p_value in zip(found, corrected, strict=True)
  )


def contrast_table(contrasts: Sequence[Contrast]) -> Table:
  """One row per pair of settings and checkpoint."""
  return Table(
    title="Settings compared, in points [95% interval]",
    columns=(
      Column(title="compared", is_number=False),
      Column(title="checkpoint", is_number=False),
      Column(title="tasks"),
      Column(title="n"),
      Column(title="difference"),
      *CHANGE_COLUMNS,
    ),
    rows=tuple(
      (
        f"{setting_title(c.probe, c.settings[1])} (minus {c.settings[0]})",
        checkpoint_title(c.checkpoint),
        str(len(c.tasks)),
        str(c.change.n),
        *change_cells(c.change, c.holm_p_value),
      )
      for c in contrasts
    ),
  )


def _compare(
  first: SettingRows, last: SettingRows, place: int, label: CheckpointLabel
) -> Contrast | None:
  """The contrast of two settings; None if no task was asked in both."""
  pairs = pair_questions(first, last, place)
  if not pairs:
    return None
  before, after = (
    [right_answers(rows[side]) for rows in pairs.values()] for side in (0, 1)
  )
  questions = tuple(question_hash([p[side] for p in pairs.values()]) for side in (0, 1))
  rng = contrast_generator(first, last, tuple(pairs))
  return Contrast(
    probe=first.probe,
    settings=(first.setting, last.setting),
    checkpoint=label,
    tasks=tuple(pairs),
    questions=questions,
    change=paired_difference(before, after, rng),
    holm_p_value=1.0,
  )


def pair_questions(
  first: SettingRows, last: SettingRows, place: int
) -> dict[str, tuple[Results, Results]]:
  """What a checkpoint answered to the questions that were asked in both settings.

  Args:
    first: a setting.
    last: another one of the same probe.
    place: of the checkpoint.

  Returns:
    Rows of both by task, question by question; without tasks that only one has.
  """
  by_task = {task.task: task.by_checkpoint[place] for task in first.tasks}
  pairs = {
    task.task: _same_questions(by_task[task.task], task.by_checkpoint[place])
    for task in last.tasks
    if task.task in by_task
  }
  return {task: rows for task, rows in pairs.items() if len(rows[0])}


def contrast_generator(
  first: SettingRows, last: SettingRows, tasks: Sequence[str]
) -> np.random.Generator:
  """Draws the resamples of a contrast: equal results give equal intervals."""
  names = (first.probe, first.setting, last.setting)
  return keyed_generator("report", "contrast", *names, *tasks)


def _same_questions(first: Results, last: Results) -> tuple[Results, Results]:
  """The rows of both settings with the same seed and query, in the same order."""
  keys = [np.stack([r.numbers("seed"), r.numbers("query")], 1) for r in (first, last)]
  numbers = np.unique(np.concatenate(keys), axis=0, return_inverse=True)[1].reshape(-1)
  _, before, after = np.intersect1d(
    numbers[: len(first)], numbers[len(first) :], return_indices=True
  )
  return first.take(before), last.take(after)
