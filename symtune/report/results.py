"""Rows of results.jsonl -> the same questions side by side, checkpoint by checkpoint.

Checkpoints are compared only on equal questions, so a question that one of them was not
asked is an error, not a silent difference between two samples.
"""

import dataclasses
import hashlib
import itertools
import types
from collections.abc import Iterator, Sequence

import numpy as np

from symtune.errors import SymtuneError
from symtune.probe.contrasts import Contrasts, of_catalog
from symtune.probe.probe import Compared
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.settings import FourSettings, Setting
from symtune.probe.results import ResultRow, Results, collect
from symtune.probe.row_checks import QUESTION
from symtune.probe.run import CheckpointLabel

# As in Table 1 of Wei et al. 2023 from left to right, then section 6, then the others.
_ORDER = (
  *((FourSettings.name, str(setting)) for setting in Setting),
  (FlippedLabels.name, "flipped"),
  (FlippedLabels.name, "deranged"),
)

# What two answers to one question must have in common besides its key.
_CONTENT = (
  "data_fingerprint",
  "prompt_hash",
  "choices",
  "kind",
  "label",
  "context",
  "prior",
  "exemplars_asked",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskRows:
  """One task in one setting.

  Attributes:
    task: name of the task.
    by_checkpoint: rows of each checkpoint; row i asks the same question in all.
  """

  task: str
  by_checkpoint: tuple[Results, ...]

  @property
  def group(self) -> str | None:
    """The task's group; `read_results` refuses rows that differ in it."""
    return self.by_checkpoint[0][0].group


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
    contrasts: what each probe declares to compare, by its name.
  """

  checkpoints: tuple[CheckpointLabel, ...]
  settings: tuple[SettingRows, ...]
  contrasts: Contrasts

  def compared(self) -> Iterator[tuple[Compared, SettingRows, SettingRows]]:
    """What probes compare: the setting that is subtracted, and then the other one.

    Only settings that were asked; a pair that is declared twice comes twice.
    """
    by_name = {(s.probe, s.setting): s for s in self.settings}
    for probe, declared in self.contrasts.items():
      names = [s.setting for s in self.settings if s.probe == probe]
      for one in declared:
        last = by_name.get((probe, one.setting))
        for minus in names if one.minus is None else [one.minus]:
          first = by_name.get((probe, minus))
          if first is not None and last is not None and first is not last:
            yield one, first, last


def pair_rows(
  rows: Sequence[ResultRow],
  order: Sequence[tuple[str, int]] = (),
  own_contrasts: Contrasts = types.MappingProxyType({}),
) -> PairedResults:
  """Puts the answers of all checkpoints side by side.

  Args:
    rows: rows of any number of checkpoints (`probe.results.read_results`).
    order: name and step of checkpoints, the reference first. Other checkpoints follow
      in the order of the rows; baselines, which have no size, come last.
    own_contrasts: what probes of the user's own compare (`probe.contrasts`).

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
  results = collect(rows)
  found = _checkpoints(results, order)
  checkpoints = tuple(label for label, _ in found)
  keys = _question_keys(results)
  places = [mine[np.lexsort(keys[mine].T[::-1])] for _, mine in found]
  by_checkpoint = [results.take(mine) for mine in places]
  _check_paired(checkpoints, by_checkpoint, [keys[mine] for mine in places])
  settings: dict[tuple[str, str], list[TaskRows]] = {}
  for start, stop in _runs(keys[places[0]][:, :3]):
    parts = tuple(results.take(mine[start:stop]) for mine in places)
    first = parts[0][0]
    task = TaskRows(task=first.task, by_checkpoint=parts)
    settings.setdefault((first.probe, first.setting), []).append(task)
  return PairedResults(
    checkpoints=checkpoints,
    settings=tuple(
      SettingRows(probe=probe, setting=setting, tasks=tuple(settings[probe, setting]))
      for probe, setting in sorted(settings, key=_place)
    ),
    contrasts={**of_catalog(), **own_contrasts},
  )


def _runs(keys: np.ndarray) -> list[tuple[int, int]]:
  """Start and stop of each run of equal keys [rows, parts]."""
  is_new = np.any(keys[1:] != keys[:-1], axis=1)
  ends = [0, *(np.flatnonzero(is_new) + 1).tolist(), len(keys)]
  return list(itertools.pairwise(ends))


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


def question_hash(tasks: Sequence[Results]) -> str:
  """A hash of the questions and right answers, whichever probe and setting asked them.

  Args:
    tasks: rows of one checkpoint, task by task.
  """
  digest = hashlib.sha256()
  for rows in tasks:
    digest.update(rows[0].task.encode())
    for name in ("seed", "query", "prompt_hash", "label"):
      digest.update(rows.numbers(name).tobytes())
  return digest.hexdigest()


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
  results: Results, order: Sequence[tuple[str, int]]
) -> list[tuple[CheckpointLabel, np.ndarray]]:
  """Each checkpoint in its place, with the numbers of its rows."""
  names, steps = results.words("checkpoint"), results.numbers("step")
  pairs = np.stack([names.codes, steps], axis=1)
  firsts, group = np.unique(pairs, axis=0, return_index=True, return_inverse=True)[1:]
  places = {name: place for place, name in enumerate(order)}
  found = []
  for number in np.argsort(firsts).tolist():
    row = results[int(firsts[number])]
    label = CheckpointLabel(
      name=row.checkpoint,
      step=row.step,
      parameters=row.parameters,
      family=row.family,
      identity=row.identity,
      dtype=row.dtype,
    )
    found.append((label, np.flatnonzero(group.reshape(-1) == number)))

  def place(entry: tuple[CheckpointLabel, np.ndarray]) -> tuple[int, bool]:
    label, _ = entry
    key = (label.name, label.step)
    return places.get(key, len(places)), key not in places and not label.parameters

  return sorted(found, key=place)  # stable: the rest stays in order of appearance


def _question_keys(results: Results) -> np.ndarray:
  """Numbers [rows, 5] that sort like the keys of the questions."""
  ranks = [results.words(name).ranks() for name in QUESTION[:3]]
  return np.stack([*ranks, *(results.numbers(n) for n in QUESTION[3:])], axis=1)


def _place(name: tuple[str, str]) -> tuple[int, tuple[str, str]]:
  return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _check_paired(
  checkpoints: Sequence[CheckpointLabel],
  by_checkpoint: Sequence[Results],
  keys: Sequence[np.ndarray],
) -> None:
  """Refuses other questions; rows of each checkpoint are sorted by their keys."""
  if not all(np.array_equal(found, keys[0]) for found in keys[1:]):
    raise _unpaired(checkpoints, by_checkpoint)
  for label, found in zip(checkpoints[1:], by_checkpoint[1:], strict=True):
    is_different = np.zeros(len(found), bool)
    for name in _CONTENT:
      is_different |= _values(found, name) != _values(by_checkpoint[0], name)
    if is_different.any():
      example = found[int(np.argmax(is_different))].pair_key
      raise SymtuneError(
        f"got {is_different.sum()} of {len(found)} questions whose data or choices "
        f"differ between {checkpoint_title(checkpoints[0])} and "
        f"{checkpoint_title(label)}, expected equal ones. For example, "
        f"{_words(example)}. The rows are from different data, settings or versions "
        f"of symtune; probe both checkpoints again in a new folder."
      )


def _unpaired(
  checkpoints: Sequence[CheckpointLabel], by_checkpoint: Sequence[Results]
) -> SymtuneError:
  by_key = [{row.pair_key for row in found} for found in by_checkpoint]
  asked = sorted(set().union(*by_key))
  unpaired = [key for key in asked if not all(key in found for found in by_key)]
  asked_of = [unpaired[0] in found for found in by_key]
  present, missing = (checkpoints[asked_of.index(value)] for value in (True, False))
  return SymtuneError(
    f"got {len(unpaired)} of {len(asked)} questions that not every checkpoint was "
    f"asked, expected the same questions for all. For example, {_words(unpaired[0])} "
    f"was asked of {checkpoint_title(present)} but not of "
    f"{checkpoint_title(missing)}. Ask it the same probes: symtune probe --step "
    f"{missing.step} for a step of this run, or symtune probe --checkpoint with the "
    f"name that {missing.name} was given by; answers that are there are kept."
  )


def _values(results: Results, name: str) -> np.ndarray:
  if name in ("data_fingerprint", "choices", "kind"):
    return results.words(name).codes
  return results.numbers(name)


def _words(key: tuple) -> str:
  probe, setting, task, seed, query = key
  return f"probe {probe}, setting {setting}, task {task}, seed {seed}, query {query}"
