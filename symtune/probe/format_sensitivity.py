"""Prompt format: does "Q: ... A:" get another answer than "Input: ... Output:"?

The same exemplars and query in each of the ten input-label formats (Wei et al. 2023,
appendix E.2), with natural labels. The report gives the accuracy of each format, and
how often two formats get the same answer.
"""

from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.data.prompts import ALL_FORMATS
from symtune.probe.ask import Asker, Question, ask_each
from symtune.probe.probe import ProbeItem, ProbeSettings


class FormatSensitivity:
  """Accuracy by input-label format."""

  name = "format"

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Every task."""
    del settings
    return tuple(tasks)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """Per seed and query, one item for each format."""
    asker = Asker(self.name, subject, settings)

    def questions(seed: int, episode: Episode) -> list[Question]:
      del seed
      label = episode.query.label
      return [
        Question(
          setting=f.name.lower().replace("_", " "),
          episode=episode,
          context=label,
          prior=label,
          prompt_format=f,
        )
        for f in ALL_FORMATS
      ]

    return ask_each(asker, questions)
