"""Prompt format: do "Q: ... A:" and "Input: ... Output:" get different answers?

The same exemplars and query in each of the ten input-label formats (Wei et al. 2023,
appendix E.2), with natural labels. The report gives the accuracy of each format, and
how often two formats get the same answer.
"""

from symtune.data.episodes import Episode
from symtune.data.prompts import ALL_FORMATS
from symtune.probe.ask import Asker, Question, TaskProbe


class FormatSensitivity(TaskProbe):
  """Accuracy by input-label format."""

  name = "format"

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each format."""
    del asker, seed
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
