"""Exemplar order: do the same exemplars in another order get another answer?

The same exemplars and query in five random orders (Lu et al. 2022, arXiv 2104.08786),
with natural labels. The report gives the accuracy of each order, and how often two
orders get the same answer.
"""

import dataclasses

from symtune.data.episodes import Episode
from symtune.probe.ask import Asker, Question, TaskProbe

ORDERS = 5


class OrderSensitivity(TaskProbe):
  """Accuracy by order of the exemplars."""

  name = "order"

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each order."""
    rng = asker.rng(seed, episode.query, "orders")
    label = episode.query.label
    return [
      Question(
        setting=f"order {i + 1}",
        episode=dataclasses.replace(
          episode,
          exemplars=tuple(
            episode.exemplars[j] for j in rng.permutation(len(episode.exemplars))
          ),
        ),
        context=label,
        prior=label,
      )
      for i in range(ORDERS)
    ]
