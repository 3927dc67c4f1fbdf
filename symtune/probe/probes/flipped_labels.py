"""Flipped labels: does the model follow exemplars that contradict the words' meaning?

Wei et al. 2023, section 6: the label words are swapped in every exemplar and in the
expected answer, without an instruction. A model that reads its exemplars scores 1, one
that follows its priors scores 0. The paper asks about two classes only, since with more
"it is unclear how best to flip". Here the words of K classes are deranged: a random
permutation that leaves no word in its place, drawn anew for each prompt. That is a
separate setting, so that the paper's setting stays comparable.
"""

from symtune.data.episodes import Episode
from symtune.data.remap import with_words
from symtune.probe.ask import Asker, Question, TaskProbe, derange


class FlippedLabels(TaskProbe):
  """Accuracy when exemplar labels and the expected answer are swapped."""

  name = "flipped_labels"

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One: "flipped" for two classes, "deranged" for more."""
    labels = asker.task.card.labels
    setting = "flipped" if len(labels) == 2 else "deranged"
    # Class c is called labels[order[c]].
    order = derange(asker.rng(seed, episode.query, "derange"), len(labels))
    flipped = with_words(episode, tuple(labels[i] for i in order))
    label = episode.query.label
    return [
      Question(
        setting=setting, episode=flipped, context=label, prior=order.index(label)
      )
    ]
