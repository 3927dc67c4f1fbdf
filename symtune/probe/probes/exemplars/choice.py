"""Choice of exemplars: does a model answer better after exemplars like the query?

The same queries are asked with exemplars that are drawn at random, as in all other
probes, with the most similar ones (BM25) of every class, with the most similar ones of
any class, and with the least similar ones of every class. Labels are natural, or
symbols. After relevant exemplars, models behave more like a nearest-neighbour vote
(arXiv 2601.01290): ask the baseline `neighbours` too, which votes over the same ones.
"""

import dataclasses
import enum
from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.probe.ask import Asker, Question, ask_each
from symtune.probe.probe import Compared, ExemplarSets, ProbeItem, ProbeSettings


class Way(enum.StrEnum):
  """How exemplars are chosen."""

  RANDOM = "random"
  SIMILAR = "similar"
  SIMILAR_ANY = "similar, any class"
  DISSIMILAR = "dissimilar"

  @property
  def exemplars(self) -> ExemplarSets:
    """The setting of probes that chooses so."""
    if self is Way.RANDOM:
      return ExemplarSets.PER_QUERY
    is_similar = self in (Way.SIMILAR, Way.SIMILAR_ANY)
    return ExemplarSets.SIMILAR if is_similar else ExemplarSets.DISSIMILAR


_STYLES = ("natural", "symbols")


class ExemplarChoice:
  """Accuracy by the way in which exemplars are chosen, on the same queries."""

  name = "exemplar_choice"
  # What each other choice adds to exemplars that are drawn at random.
  contrasts = tuple(
    Compared(setting=f"{style}, {way}", minus=f"{style}, {Way.RANDOM}")
    for style in _STYLES
    for way in Way
    if way is not Way.RANDOM
  )

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Every task."""
    del settings
    return tuple(tasks)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per way, seed and query with natural labels, and one with symbols."""
    for way in Way:
      asked = dataclasses.replace(
        settings, exemplars=way.exemplars, balanced=way is not Way.SIMILAR_ANY
      )
      yield from _ask(Asker(self.name, subject, asked), way)


def _ask(asker: Asker, way: Way) -> Iterator[ProbeItem]:
  def questions(seed: int, episode: Episode) -> list[Question]:
    label = episode.query.label
    shown = zip(_STYLES, ((episode, label), (None, None)), strict=True)
    return [
      Question(
        setting=f"{style}, {way}",
        episode=own or asker.with_symbols(episode, seed),
        context=label,
        prior=prior,
      )
      for style, (own, prior) in shown
    ]

  return ask_each(asker, questions)
