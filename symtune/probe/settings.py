"""The four in-context-learning settings: instruction or not, relevant labels or not.

Wei et al. 2023, section 4: with neither an instruction nor relevant labels, exemplars
are the only way to know the task.
"""

import enum
from collections.abc import Iterator

from symtune.cards.card import Task
from symtune.data.mixture import LabelStyle, PromptMaker
from symtune.probe.probe import ProbeItem, ProbeSettings, draw_queries, make_item


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
    maker = PromptMaker(task, settings.shots)
    for seed in settings.seeds:
      for query in draw_queries(maker, settings, seed):
        for setting in Setting:
          yield make_item(
            maker,
            query,
            settings,
            probe=self.name,
            setting=setting,
            seed=seed,
            labels=setting.labels,
            instruction=setting.has_instruction,
          )
