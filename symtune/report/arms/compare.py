"""PairedResults of several arms -> Comparison: after minus before, and arm minus arm.

An arm is a recipe that was run with several seeds. The answers of all its seeds are
joined, so intervals and p-values respect that answers under one seed belong together,
and with few seeds they use Student's quantile (`stats/clusters.py`). All arms must have
been asked the same questions, so that they are compared question by question.
"""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np

from symtune.errors import SymtuneError
from symtune.probe.results import Results
from symtune.probe.run import CheckpointLabel
from symtune.report.results import PairedResults, SettingRows, TaskRows
from symtune.report.summary import Summary, summarize_groups, summarize_settings
from symtune.stats.means import holm

# The group of a row over all tasks of its setting.
ALL_TASKS = "all tasks"
# Fields that equal questions have in common, in the order in which they are compared.
_CONTENT = ("seed", "query", "prompt_hash", "choices", "label", "group")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArmResults:
  """What an arm answered.

  Attributes:
    name: name of the arm.
    results: the answers of all its seeds; its checkpoints are before and after tuning.
  """

  name: str
  results: PairedResults


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
  """Arms side by side; row i is the same setting and tasks everywhere.

  Attributes:
    arms: names of the arms.
    seeds: the seeds that every arm was run with.
    bases: for each arm, the place of the first arm with the same answers before tuning.
    by_arm: for each arm, one summary per row, of the checkpoints before and after.
    between: one summary per row whose checkpoints are the arms after tuning, so that
      its changes are the differences from the first arm.
    by_seed: for each arm and seed, the difference from before of each row, -1 to 1.
  """

  arms: tuple[str, ...]
  seeds: tuple[int, ...]
  bases: tuple[int, ...]
  by_arm: tuple[tuple[Summary, ...], ...]
  between: tuple[Summary, ...]
  by_seed: tuple[tuple[tuple[float, ...], ...], ...]

  @property
  def rows(self) -> tuple[Summary, ...]:
    """A summary of each row, to read what it is about."""
    return self.by_arm[0]


def compare_arms(arms: Sequence[ArmResults]) -> Comparison:
  """Compares arms with their own start and with the first arm.

  Args:
    arms: at least one; all with the same seeds.

  Returns:
    The comparison. The p-values of all differences from before are corrected together
    (Holm), and so are those of all differences from the first arm.

  Raises:
    SymtuneError: two arms were not asked the same questions.
  """
  for arm in arms[1:]:
    _check_same_questions(arms[0], arm)
  by_arm = [_summarize(arm.results) for arm in arms]
  first = arms[0].results.settings[0].tasks[0].by_checkpoint[0]
  seeds = tuple(np.unique(first.numbers("seed")).tolist())
  return Comparison(
    arms=tuple(arm.name for arm in arms),
    seeds=seeds,
    bases=_find_bases([arm.results for arm in arms]),
    by_arm=_correct(by_arm),
    between=_correct([_summarize(_after(arms))])[0],
    by_seed=tuple(
      tuple(_changes_of_seed(arm.results, summaries, seed) for seed in seeds)
      for arm, summaries in zip(arms, by_arm, strict=True)
    ),
  )


def _summarize(results: PairedResults) -> tuple[Summary, ...]:
  """All tasks of each setting, followed by its groups if it has several."""
  groups: dict[tuple[str, str], list[Summary]] = {}
  for summary in summarize_groups(results):
    groups.setdefault((summary.probe, summary.setting), []).append(summary)
  rows = []
  for summary in summarize_settings(results):
    rows.append(dataclasses.replace(summary, group=ALL_TASKS))
    mine = groups.get((summary.probe, summary.setting), [])
    rows += mine if len(mine) > 1 else []
  return tuple(rows)


def _correct(columns: Sequence[tuple[Summary, ...]]) -> tuple[tuple[Summary, ...], ...]:
  """Corrects the p-values of all summaries of a table together."""
  tested: list[tuple[Hashable, float]] = [
    ((summary.questions, number, place), change.p_value)
    for number, column in enumerate(columns)
    for summary in column
    for place, change in enumerate(summary.changes)
  ]
  corrected = iter(holm([p for _, p in tested], [key for key, _ in tested]))
  return tuple(
    tuple(
      dataclasses.replace(s, holm_p_values=tuple(next(corrected) for _ in s.changes))
      for s in column
    )
    for column in columns
  )


def _after(arms: Sequence[ArmResults]) -> PairedResults:
  """All arms after tuning, as checkpoints that answered the same questions."""
  columns = [_tasks(arm.results) for arm in arms]
  joined = {
    key: TaskRows(
      task=task.task,
      by_checkpoint=tuple(column[key].by_checkpoint[1] for column in columns),
    )
    for key, task in columns[0].items()
  }
  return PairedResults(
    checkpoints=tuple(
      CheckpointLabel(name=arm.name, step=arm.results.checkpoints[1].step)
      for arm in arms
    ),
    settings=tuple(
      dataclasses.replace(
        setting,
        tasks=tuple(joined[_key(setting, task)] for task in setting.tasks),
      )
      for setting in arms[0].results.settings
    ),
    contrasts=arms[0].results.contrasts,
  )


def _changes_of_seed(
  results: PairedResults, summaries: Sequence[Summary], seed: int
) -> tuple[float, ...]:
  """After minus before under one seed: means over the tasks of each summary."""
  changes = {}
  for key, task in _tasks(results).items():
    mine = task.by_checkpoint[0].numbers("seed") == seed
    before, after = (r.numbers("correct")[mine].mean() for r in task.by_checkpoint)
    changes[key] = after - before
  return tuple(
    float(np.mean([changes[s.probe, s.setting, task] for task in s.tasks]))
    for s in summaries
  )


def _find_bases(results: Sequence[PairedResults]) -> tuple[int, ...]:
  """For each arm the first arm that gave the same answers before tuning.

  Arms with the same start have the same answers, as their questions are the same. If
  they were computed on different devices, an answer may differ; they are then shown
  apart, like arms with different starts.
  """
  answers = [
    tuple(
      task.by_checkpoint[0].numbers("prediction").tobytes()
      for task in _tasks(arm).values()
    )
    for arm in results
  ]
  return tuple(answers.index(mine) for mine in answers)


def _check_same_questions(first: ArmResults, other: ArmResults) -> None:
  names = f"arms {first.name!r} and {other.name!r}"
  advice = (
    "Arms are compared on the same questions only: give them the same probes, tasks, "
    "vocabulary and evaluation symbols."
  )
  ours, theirs = _tasks(first.results), _tasks(other.results)
  for key in (*ours, *theirs):
    if key not in theirs or key not in ours:
      asked = first.name if key in ours else other.name
      raise SymtuneError(
        f"{names} were not asked the same questions: only {asked!r} was asked "
        f"{_title(key)}. {advice}"
      )
    difference = _first_difference(
      ours[key].by_checkpoint[1], theirs[key].by_checkpoint[1]
    )
    if difference:
      raise SymtuneError(
        f"{names} were not asked the same questions: {_title(key)}, {difference}. "
        f"{advice}"
      )


def _first_difference(ours: Results, theirs: Results) -> str | None:
  """Where the questions of a task differ first, or None."""
  if len(ours) != len(theirs):
    return f"{len(ours)} and {len(theirs)} questions"
  for name in _CONTENT:
    is_different = _values(ours, name) != _values(theirs, name)
    if is_different.any():
      place = int(np.argmax(is_different))
      row, other = ours[place], theirs[place]
      return (
        f"seed {row.seed}, query {row.query}: {name} "
        f"{getattr(row, name)} and {getattr(other, name)}"
      )
  return None


def _values(rows: Results, name: str) -> np.ndarray:
  if name in ("choices", "group"):
    return rows.words(name).mapped(str)
  return rows.numbers(name)


def _tasks(results: PairedResults) -> dict[tuple[str, str, str], TaskRows]:
  """The rows of each probe, setting and task."""
  return {_key(s, task): task for s in results.settings for task in s.tasks}


def _key(setting: SettingRows, task: TaskRows) -> tuple[str, str, str]:
  return setting.probe, setting.setting, task.task


def _title(key: tuple[str, str, str]) -> str:
  return "probe {}, setting {}, task {}".format(*key)
