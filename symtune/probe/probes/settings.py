"""The four in-context-learning settings: with or without instruction and labels.

Wei et al. 2023, section 4: with neither an instruction nor relevant labels, exemplars
are the only way to learn the task.

In the paper a prompt with an instruction always has the format Question/Answer, and one
without has any of ten. So the difference between such settings is also that of their
formats. Two more settings, "fixed format", ask without an instruction in the format
Question/Answer: what an instruction adds is the difference to these.
"""

import enum

from symtune.data.episodes import Episode
from symtune.data.prompts import PromptFormat
from symtune.probe.ask import Asker, Question, TaskProbe
from symtune.probe.probe import Compared


class Setting(enum.StrEnum):
  """Table 1 of the paper, left to right; then without an instruction in one format."""

  INSTRUCTION_AND_LABELS = "instruction+labels"
  LABELS = "labels"
  INSTRUCTION = "instruction"
  NEITHER = "neither"
  LABELS_FIXED_FORMAT = "labels, fixed format"
  NEITHER_FIXED_FORMAT = "neither, fixed format"

  @property
  def has_instruction(self) -> bool:
    """Whether prompts carry the task's instruction."""
    return self in (Setting.INSTRUCTION_AND_LABELS, Setting.INSTRUCTION)

  @property
  def has_labels(self) -> bool:
    """Whether labels are natural words; if not, symbols never seen in tuning."""
    return self in (
      Setting.INSTRUCTION_AND_LABELS,
      Setting.LABELS,
      Setting.LABELS_FIXED_FORMAT,
    )

  @property
  def prompt_format(self) -> PromptFormat | None:
    """The format of all prompts; None where each prompt's is drawn."""
    if self in (Setting.LABELS, Setting.NEITHER):
      return None
    return PromptFormat.QUESTION_ANSWER


class FourSettings(TaskProbe):
  """Accuracy in each setting, on the same queries and exemplars."""

  name = "settings"
  # What labels add, without and with an instruction; what an instruction adds, in the
  # paper's design, which changes the format too, and then at equal format.
  contrasts = (
    Compared(
      setting=Setting.LABELS, minus=Setting.NEITHER, reliance="natural minus symbols"
    ),
    Compared(setting=Setting.INSTRUCTION_AND_LABELS, minus=Setting.INSTRUCTION),
    Compared(setting=Setting.INSTRUCTION, minus=Setting.NEITHER),
    Compared(setting=Setting.INSTRUCTION, minus=Setting.NEITHER_FIXED_FORMAT),
    Compared(setting=Setting.INSTRUCTION_AND_LABELS, minus=Setting.LABELS),
    Compared(setting=Setting.INSTRUCTION_AND_LABELS, minus=Setting.LABELS_FIXED_FORMAT),
  )

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each setting."""
    symbols = asker.with_symbols(episode, seed)
    label = episode.query.label
    return [
      Question(
        setting=s,
        episode=episode if s.has_labels else symbols,
        context=label,
        prior=label if s.has_labels else None,
        instruction=s.has_instruction,
        prompt_format=s.prompt_format,
      )
      for s in Setting
    ]
