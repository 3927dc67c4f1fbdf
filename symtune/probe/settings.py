"""The four in-context-learning settings: instruction or not, relevant labels or not.

Wei et al. 2023, section 4: with neither an instruction nor relevant labels, exemplars
are the only way to know the task.
"""

import enum
from collections.abc import Iterator

from symtune.cards.card import Task
from symtune.data.mixture import LabelStyle
from symtune.probe.probe import ProbeItem, ProbeSettings, Variant, make_items


class Setting(enum.StrEnum):
  """Table 1 of the paper, left to right."""

  INSTRUCTION_AND_LABELS = "instruction+labels"
  LABELS = "labels"
  INSTRUCTION = "instruction"
  NEITHER = "neither"

  @property
  def has_instruction(self) -> bool:
    """Whether prompts carry the task's instruction."""
    return self in (Setting.INSTRUCTION_AND_LABELS, Setting.INSTRUCTION)

  @property
  def labels(self) -> LabelStyle:
    """Natural label words if relevant, else symbols never seen in tuning."""
    relevant = self in (Setting.INSTRUCTION_AND_LABELS, Setting.LABELS)
    return LabelStyle.NATURAL if relevant else LabelStyle.SYMBOLS


class FourSettings:
  """Accuracy in each setting, on the same queries and exemplars."""

  name = "settings"

  def accepts(self, task: Task) -> bool:
    """Every task."""
    del task
    return True

  def items(self, task: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """Per seed and query, one item for each of the four settings."""
    return make_items(self.name, task, settings, _VARIANTS)


_VARIANTS = tuple(
  Variant(setting=s, labels=s.labels, instruction=s.has_instruction) for s in Setting
)
