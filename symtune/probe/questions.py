"""(probes, tasks, settings) -> Questions: what every checkpoint of a run is asked."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from symtune.cards.card import Task
from symtune.probe.answer.calibrate import Calibration
from symtune.probe.probe import AnswerKind, Probe, ProbeItem, ProbeSettings

# Items that are kept to be asked again, of about 5 kB each. The others are made again.
_MOST_KEPT = 50_000


class Questions:
  """The items of some probes, subject by subject; can be read any number of times.

  Attributes:
    probes: what is asked.
  """

  def __init__(
    self, probes: Sequence[Probe], tasks: Sequence[Task], settings: ProbeSettings
  ):
    """Finds the subjects of every probe.

    Args:
      probes: what to ask.
      tasks: what to ask about.
      settings: symbols, exemplars per class, and seeds.

    Raises:
      SymtuneError: a probe cannot read its data.
    """
    self.probes = tuple(probes)
    self._settings = settings
    self._subjects: list[tuple[Probe, Any]] = [
      (probe, subject)
      for probe in probes
      for subject in probe.subjects(tasks, settings)
    ]
    self._kept: dict[int, tuple[ProbeItem, ...]] = {}
    self._counts: dict[int, collections.Counter[AnswerKind]] = {}

  def __len__(self) -> int:
    return len(self._subjects)

  def count(self) -> collections.Counter[AnswerKind]:
    """The number of items by how they are answered."""
    if len(self._counts) < len(self):
      for _ in self:  # counts what it makes
        pass
    return sum(self._counts.values(), collections.Counter())

  def __iter__(self) -> Iterator[tuple[str, tuple[ProbeItem, ...]]]:
    """The name of the probe and the items of each subject, in a fixed order."""
    for number, (probe, subject) in enumerate(self._subjects):
      items = self._kept.get(number)
      if items is None:
        items = tuple(probe.items(subject, self._settings))
        if sum(map(len, self._kept.values())) + len(items) <= _MOST_KEPT:
          self._kept[number] = items
      if number not in self._counts:
        self._counts[number] = collections.Counter(item.kind for item in items)
      yield probe.name, items


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inquiry:
  """All that every answerer of a run is asked.

  Attributes:
    questions: the questions.
    calibration: calibration prompts that are asked beside ranked ones.
    config_hash: identifies settings, data and vocabulary; part of every result row.
  """

  questions: Questions
  calibration: tuple[Calibration, ...]
  config_hash: str
