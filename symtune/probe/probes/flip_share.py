"""Flipping a share of exemplars: how many wrong labels does a prior withstand?

Wei et al. 2023 (arXiv 2303.03846, section 3): the labels of 0, 25, 50, 75 or 100% of
the exemplars, 16 per class, are flipped, the expected answer is not. Below chance means
that the exemplars override the prior. With K classes a flipped exemplar gets the word
of another class by a derangement drawn for each prompt; with two classes that is the
other class.
Settings are named "flipped" for two classes and "deranged" for more: their chance
levels differ, and so does what a wrong label tells.

The flipped exemplars of a smaller share are among those of a larger one. The context
implies the label that most exemplars of the query's class show; in a tie it implies
none.

Deviations from the paper: words of a task card stand for the classes, tasks with more
than two classes are asked too, a task with too few rows shows fewer exemplars, and an
answer is ranked among the label words. Settings named "generated" have the answer
generated, as in the paper.
"""

import collections
import dataclasses

from symtune.data.episodes import Episode
from symtune.probe.ask import (
  Asker,
  ManyShotsProbe,
  Question,
  derange,
  with_generated,
)

SHARES = (0, 25, 50, 75, 100)  # per cent


class FlipShare(ManyShotsProbe):
  """Accuracy on the true labels, by the share of exemplars with flipped labels."""

  name = "flip_share"

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each share, and again to be generated."""
    labels = asker.task.card.labels
    rng = asker.rng(seed, episode.query, "flip share")
    kind = "flipped" if len(labels) == 2 else "deranged"
    order = derange(rng, len(labels))
    places = rng.permutation(len(episode.exemplars))
    asked = []
    for share in SHARES:
      count = round(share / 100 * len(places))
      flipped = frozenset(int(i) for i in places[:count])
      asked.append(
        Question(
          setting=f"{share:03d}% {kind}",
          episode=_flip(episode, flipped, order),
          context=_majority(episode, flipped, order),
          prior=episode.query.label,
          prompt_format=self.prompt_format,
        )
      )
    return with_generated(asked, asker.settings)


def _flip(episode: Episode, flipped: frozenset[int], order: tuple[int, ...]) -> Episode:
  exemplars = tuple(
    dataclasses.replace(exemplar, label=order[exemplar.label])
    if i in flipped
    else exemplar
    for i, exemplar in enumerate(episode.exemplars)
  )
  return dataclasses.replace(episode, exemplars=exemplars)


def _majority(
  episode: Episode, flipped: frozenset[int], order: tuple[int, ...]
) -> int | None:
  label = episode.query.label
  shown = collections.Counter(
    order[label] if i in flipped else label
    for i, exemplar in enumerate(episode.exemplars)
    if exemplar.label == label
  )
  most = shown.most_common(2)
  if not most or (len(most) == 2 and most[0][1] == most[1][1]):
    return None
  return most[0][0]
