"""Exemplar order: does the same prompt in another order get another answer?

The same exemplars and query in five random orders (Lu et al. 2022, arXiv 2104.08786),
with natural labels. The report gives the accuracy of each order, and how often two
orders get the same answer.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.probe.ask import Asker, Question, ask_each
from symtune.probe.probe import ProbeItem, ProbeSettings

ORDERS = 5


class OrderSensitivity:
  """Accuracy by order of the exemplars."""

  name = "order"

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Every task."""
    del settings
    return tuple(tasks)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """Per seed and query, one item for each order."""
    asker = Asker(self.name, subject, settings)

    def questions(seed: int, episode: Episode) -> list[Question]:
      rng = asker.rng(seed, episode.query, "orders")
      label = episode.query.label
      return [
        Question(
          setting=f"order {i + 1}",
          episode=dataclasses.replace(
            episode,
            demos=tuple(episode.demos[j] for j in rng.permutation(len(episode.demos))),
          ),
          context=label,
          prior=label,
        )
        for i in range(ORDERS)
      ]

    return ask_each(asker, questions)
