"""Rows of results.jsonl -> the same questions side by side, checkpoint by checkpoint.

Checkpoints are compared only on equal questions, so a question that one of them was not
asked is an error, not a silent difference between two samples.
"""

import dataclasses
from collections.abc import Sequence

from symtune.errors import SymtuneError
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.settings import FourSettings, Setting
from symtune.probe.results import ResultRow
from symtune.probe.run import CheckpointLabel

# As in Table 1 of Wei et al. 2023 from left to right, then section 6, then the others.
_ORDER = (
  *((FourSettings.name, str(setting)) for setting in Setting),
  (FlippedLabels.name, "flipped"),
  (FlippedLabels.name, "deranged"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskRows:
  """One task in one setting.

  Attributes:
    task: name of the task.
    by_checkpoint: rows of each checkpoint; row i asks the same question in all.
  """

  task: str
  by_checkpoint: tuple[tuple[ResultRow, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingRows:
  """One setting of one probe.

  Attributes:
    probe: name of the probe.
    setting: name of the setting.
    tasks: rows of each task, sorted by name.
  """

  probe: str
  setting: str
  tasks: tuple[TaskRows, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedResults:
  """What every checkpoint answered to the same questions.

  Attributes:
    checkpoints: in the given order; the others are compared with the first.
    settings: in the paper's order; probes that are not in the paper come last, by name.
  """

  checkpoints: tuple[CheckpointLabel, ...]
  settings: tuple[SettingRows, ...]


def pair_rows(
  rows: Sequence[ResultRow], order: Sequence[tuple[str, int]] = ()
) -> PairedResults:
  """Puts the answers of all checkpoints side by side.

  Args:
    rows: rows of any number of checkpoints (`probe.results.read_results`).
    order: name and step of checkpoints, the reference first. Other checkpoints follow
      in the order of the rows; baselines, which have no size, come last.

  Returns:
    The results; the order of settings and tasks does not depend on that of the rows.

  Raises:
    SymtuneError: there are no rows, or checkpoints were not asked the same questions.
  """
  if not rows:
    raise SymtuneError(
      "no results: expected at least one answered question. Probe a checkpoint first: "
      "symtune run or symtune probe."
    )
  checkpoints = _checkpoints(rows, order)
  by_key = [
    {r.pair_key: r for r in rows if (r.checkpoint, r.step) == (c.name, c.step)}
    for c in checkpoints
  ]
  _check_paired(checkpoints, by_key)
  grouped: dict[tuple[str, str], dict[str, list[tuple]]] = {}
  for key in sorted(by_key[0]):
    probe, setting, task = key[:3]
    grouped.setdefault((probe, setting), {}).setdefault(task, []).append(key)
  return PairedResults(
    checkpoints=checkpoints,
    settings=tuple(
      SettingRows(
        probe=probe,
        setting=setting,
        tasks=tuple(
          TaskRows(
            task=task,
            by_checkpoint=tuple(tuple(found[key] for key in keys) for found in by_key),
          )
          for task, keys in grouped[probe, setting].items()
        ),
      )
      for probe, setting in sorted(grouped, key=_place)
    ),
  )


def keep_common_tasks(results: PairedResults) -> PairedResults:
  """Keeps the tasks that all settings of a probe share, if their tasks differ.

  Few tasks have rows for 32 exemplars per class, or synonyms of all labels. A curve
  over settings would then mix the effect of the setting with that of its tasks.

  Args:
    results: results of any probes.

  Returns:
    The settings of the probes whose tasks differ, with the tasks that all settings of
    the probe share. A probe without shared tasks is left out.
  """
  kept = []
  for probe in dict.fromkeys(setting.probe for setting in results.settings):
    settings = [s for s in results.settings if s.probe == probe]
    tasks = [{task.task for task in s.tasks} for s in settings]
    common = set.intersection(*tasks)
    if common and common != set.union(*tasks):
      kept += [
        dataclasses.replace(s, tasks=tuple(t for t in s.tasks if t.task in common))
        for s in settings
      ]
  return dataclasses.replace(results, settings=tuple(kept))


def checkpoint_title(label: CheckpointLabel) -> str:
  """A checkpoint's name in tables: "before (step 0)"."""
  step = f"step {label.step}"
  return label.name if label.name == step else f"{label.name} ({step})"


def setting_title(probe: str, setting: str) -> str:
  """A setting's name in tables."""
  if probe == FourSettings.name:
    return setting.replace("+", " + ")
  if probe == FlippedLabels.name:
    return f"{setting} labels"
  return f"{probe.replace('_', ' ')}: {setting}"


def _checkpoints(
  rows: Sequence[ResultRow], order: Sequence[tuple[str, int]]
) -> tuple[CheckpointLabel, ...]:
  sizes = {(row.checkpoint, row.step): row.parameters for row in rows}
  places = {name: place for place, name in enumerate(order)}
  return tuple(
    CheckpointLabel(name=name, step=step, parameters=sizes[name, step])
    for name, step in sorted(
      sizes,  # sorting is stable: the rest stays in order of appearance
      key=lambda key: (
        places.get(key, len(places)),
        key not in places and not sizes[key],
      ),
    )
  )


def _place(name: tuple[str, str]) -> tuple[int, tuple[str, str]]:
  return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _check_paired(
  checkpoints: Sequence[CheckpointLabel], by_key: Sequence[dict[tuple, ResultRow]]
) -> None:
  asked = sorted(set().union(*by_key))
  unpaired = [key for key in asked if not all(key in found for found in by_key)]
  if unpaired:
    asked_of = [unpaired[0] in found for found in by_key]
    present, missing = (checkpoints[asked_of.index(value)] for value in (True, False))
    raise SymtuneError(
      f"got {len(unpaired)} of {len(asked)} questions that not every checkpoint was "
      f"asked, expected the same questions for all. For example, {_words(unpaired[0])} "
      f"was asked of {checkpoint_title(present)} but not of "
      f"{checkpoint_title(missing)}. Ask it the same probes: symtune probe --step "
      f"{missing.step} for a step of this run, or symtune probe --checkpoint with the "
      f"name that {missing.name} was given by; answers that are there are kept."
    )
  for label, found in zip(checkpoints[1:], by_key[1:], strict=True):
    different = [
      key for key in asked if _content(found[key]) != _content(by_key[0][key])
    ]
    if different:
      raise SymtuneError(
        f"got {len(different)} of {len(asked)} questions whose data or choices differ "
        f"between {checkpoint_title(checkpoints[0])} and {checkpoint_title(label)}, "
        f"expected equal ones. For example, {_words(different[0])}. The rows are from "
        f"different data or settings; probe both checkpoints again in a new folder."
      )


def _content(row: ResultRow) -> tuple:
  return (row.data_fingerprint, row.choices, row.label)


def _words(key: tuple) -> str:
  probe, setting, task, seed, query = key
  return f"probe {probe}, setting {setting}, task {task}, seed {seed}, query {query}"
