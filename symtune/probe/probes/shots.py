"""Number of exemplars: 1 to 32 per class, with natural labels and with symbols.

Wei et al. 2023 (arXiv 2303.03846, 1 to 32; arXiv 2305.08298, appendix C.4). The
exemplars of a smaller k are among those of a larger one, in the same order: the first
ones or, where the last ones are the most similar, these. A task is asked with each k
for which every class has enough rows, so larger k are averaged over fewer tasks: the
report repeats the curve for the tasks that have every k. Prompts that are too long lose
exemplars; every result row records how many.
"""

import collections
import dataclasses
from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.draw.index import Shots, most_shots
from symtune.data.episodes import Episode
from symtune.probe.ask import Asker, Question, ask_each
from symtune.probe.probe import ExemplarSets, ProbeItem, ProbeSettings

NUMBERS = (1, 2, 4, 8, 16, 32)


class NumberOfShots:
  """Accuracy by the number of exemplars per class."""

  name = "shots"

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Tasks that can show at least one exemplar of each class."""
    return tuple(t for t in tasks if _numbers(t, settings))

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """Per seed and query, two items for each number."""
    numbers = _numbers(subject, settings)
    shots = Shots(minimum=numbers[-1], maximum=numbers[-1])
    asker = Asker(self.name, subject, settings, shots)

    def questions(seed: int, episode: Episode) -> list[Question]:
      symbols = asker.with_symbols(episode, seed)
      label = episode.query.label
      return [
        Question(
          setting=f"{style}, {number:02d} per class",
          episode=_some(shown, number, settings),
          context=label,
          prior=prior,
        )
        for style, shown, prior in (
          ("natural", episode, label),
          ("symbols", symbols, None),
        )
        for number in numbers
      ]

    return ask_each(asker, questions)


def _numbers(task: Task, settings: ProbeSettings) -> list[int]:
  """The numbers of exemplars per class that every query of a task can be shown."""
  most = most_shots(settings.index_of(task))
  return [number for number in NUMBERS if number <= most]


def _some(episode: Episode, number: int, settings: ProbeSettings) -> Episode:
  """So many exemplars of each class, in their order; or of any class, if so looked up.

  Of similar exemplars the last ones are taken, of others the first ones.
  """
  is_similar = settings.exemplars is ExemplarSets.SIMILAR
  order = episode.exemplars[::-1] if is_similar else episode.exemplars
  if settings.looks_up and not settings.balanced:
    kept = list(order[: number * len(episode.label_words)])
  else:
    seen: collections.Counter[int] = collections.Counter()
    kept = []
    for exemplar in order:
      seen[exemplar.label] += 1
      if seen[exemplar.label] <= number:
        kept.append(exemplar)
  kept = kept[::-1] if is_similar else kept
  return dataclasses.replace(episode, exemplars=tuple(kept))
