"""The four in-context-learning settings: instruction or not, relevant labels or not.

Wei et al. 2023, section 4: with neither an instruction nor relevant labels, exemplars
are the only way to know the task.
"""

import enum
from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.probe.ask import Asker, Question, ask_each
from symtune.probe.probe import ProbeItem, ProbeSettings


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
    """Natural label words if so, else symbols never seen in tuning."""
    return self in (Setting.INSTRUCTION_AND_LABELS, Setting.LABELS)


class FourSettings:
  """Accuracy in each setting, on the same queries and exemplars."""

  name = "settings"

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Every task."""
    del settings
    return tuple(tasks)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """Per seed and query, one item for each of the four settings."""
    asker = Asker(self.name, subject, settings)

    def questions(seed: int, episode: Episode) -> list[Question]:
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

    return ask_each(asker, questions)
