"""The four in-context-learning settings: with or without instruction and labels.

Wei et al. 2023, section 4: with neither an instruction nor relevant labels, exemplars
are the only way to learn the task.
"""

import enum

from symtune.data.episodes import Episode
from symtune.probe.ask import Asker, Question, TaskProbe


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
  def has_labels(self) -> bool:
    """Whether labels are natural words; if not, symbols never seen in tuning."""
    return self in (Setting.INSTRUCTION_AND_LABELS, Setting.LABELS)


class FourSettings(TaskProbe):
  """Accuracy in each setting, on the same queries and exemplars."""

  name = "settings"

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each of the four settings."""
    symbols = asker.with_symbols(episode, seed)
    label = episode.query.label
    return [
      Question(
        setting=s,
        episode=episode if s.has_labels else symbols,
        context=label,
        prior=label if s.has_labels else None,
        instruction=s.has_instruction,
      )
      for s in Setting
    ]
