"""Flipped labels: does the model follow its exemplars against what the words mean?

Wei et al. 2023, section 6: the label words are exchanged in every exemplar and in the
expected answer, without an instruction. A model that reads its exemplars scores 1, one
that follows its priors scores 0. The paper asks about two classes only, since with more
"it is unclear how best to flip". Here the words of K classes are deranged: a random
permutation that leaves no word in its place, drawn anew for each prompt. That is a
setting of its own, so the paper's number stays the paper's.
"""

from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.probe.ask import Asker, Question, ask_each, derange, with_words
from symtune.probe.probe import ProbeItem, ProbeSettings


class FlippedLabels:
  """Accuracy when exemplar labels and the expected answer are exchanged."""

  name = "flipped_labels"

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Every task."""
    del settings
    return tuple(tasks)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed and query: "flipped" for two classes, "deranged" for more."""
    asker = Asker(self.name, subject, settings)
    labels = subject.card.labels
    setting = "flipped" if len(labels) == 2 else "deranged"

    def questions(seed: int, episode: Episode) -> list[Question]:
      # Class c is called labels[order[c]].
      order = derange(asker.rng(seed, episode.query, "derange"), len(labels))
      flipped = with_words(episode, tuple(labels[i] for i in order))
      label = episode.query.label
      return [
        Question(
          setting=setting, episode=flipped, context=label, prior=order.index(label)
        )
      ]

    return ask_each(asker, questions)
