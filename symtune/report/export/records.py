"""PairedResults -> numbers of the report's tables, one record per row and checkpoint.

Accuracies, differences and their intervals are shares from -1 to 1, not per cent. What
a row does not have, such as the difference of the first checkpoint, is None.
"""

from collections.abc import Sequence
from typing import Any

from symtune.probe.run import CheckpointLabel
from symtune.report.contrasts import compare_settings
from symtune.report.labels.reliance import measure_reliance
from symtune.report.results import PairedResults
from symtune.report.summary import (
  Summary,
  summarize_groups,
  summarize_settings,
  summarize_tasks,
)
from symtune.stats.means import PairedDifference

# The columns of a difference, in the order of `_change_values`.
_CHANGE = (
  *("difference", "difference_low", "difference_high"),
  *("new_tasks_low", "new_tasks_high", "detectable", "p", "p_holm"),
)


def accuracy_records(results: PairedResults) -> list[dict[str, Any]]:
  """Accuracy of every setting, group of tasks and task, checkpoint by checkpoint.

  Args:
    results: of any probes.

  Returns:
    Records with equal keys. `over` is "all", "group" or "task", and says what the mean
    is over; p-values are corrected (Holm) for all rows of one kind, as in the report.
  """
  made = [("all", summary) for summary in summarize_settings(results)]
  made += [("group", s) for s in summarize_groups(results) if s.group is not None]
  made += [("task", summary) for summary in summarize_tasks(results)]
  return [
    _accuracy_record(over, summary, results.checkpoints, place)
    for over, summary in made
    for place in range(len(results.checkpoints))
  ]


def contrast_records(results: PairedResults) -> list[dict[str, Any]]:
  """Differences between settings of one checkpoint (`report.contrasts`)."""
  return [
    {
      "probe": c.probe,
      "setting": c.settings[1],
      "minus": c.settings[0],
      "checkpoint": c.checkpoint.name,
      "step": c.checkpoint.step,
      "tasks": len(c.tasks),
      "n": c.change.n,
      **change_record(c.change, c.holm_p_value),
    }
    for c in compare_settings(results)
  ]


def reliance_records(results: PairedResults) -> list[dict[str, Any]]:
  """Label reliance and its change from the first checkpoint (`report.labels`)."""
  return [
    {
      "measure": one.measure,
      "checkpoint": label.name,
      "step": label.step,
      "tasks": len(one.tasks),
      "n": one.n,
      "value": level.value,
      "low": level.low,
      "high": level.high,
      **change_record(change, p_holm),
    }
    for one in measure_reliance(results)
    for label, level, change, p_holm in zip(
      results.checkpoints,
      one.levels,
      (None, *one.changes),
      (1.0, *one.holm_p_values),
      strict=True,
    )
  ]


def change_record(change: PairedDifference | None, p_holm: float) -> dict[str, Any]:
  """A difference, its intervals and p-values; None gives a record of nothing."""
  if change is None:
    return dict.fromkeys(_CHANGE)
  low, high = change.new_tasks or (None, None)
  detectable = change.detectable if change.detectable <= 1.0 else None
  values = (change.difference, change.low, change.high, low, high)
  return dict(zip(_CHANGE, (*values, detectable, change.p_value, p_holm), strict=True))


def _accuracy_record(
  over: str, summary: Summary, checkpoints: Sequence[CheckpointLabel], place: int
) -> dict[str, Any]:
  label, accuracy = checkpoints[place], summary.accuracy[place]
  is_first = place == 0
  return {
    "over": over,
    "probe": summary.probe,
    "setting": summary.setting,
    "group": summary.group,
    "task": summary.tasks[0] if over == "task" else None,
    "tasks": len(summary.tasks),
    "n": summary.n,
    "chance": summary.chance,
    "checkpoint": label.name,
    "step": label.step,
    "accuracy": accuracy.mean,
    "low": accuracy.low,
    "high": accuracy.high,
    **change_record(
      None if is_first else summary.changes[place - 1],
      1.0 if is_first else summary.holm_p_values[place - 1],
    ),
  }
