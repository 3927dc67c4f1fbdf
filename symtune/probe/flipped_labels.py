"""Flipped labels: does the model follow its exemplars against what the words mean?

Wei et al. 2023, section 6: the two label words are swapped in every exemplar and in the
expected answer, without an instruction, on tasks with two classes. A model that reads
its exemplars scores 1, one that follows its priors scores 0, a guesser one half.
"""

from collections.abc import Iterator

from symtune.cards.card import Task
from symtune.data.mixture import LabelStyle
from symtune.probe.probe import ProbeItem, ProbeSettings, Variant, make_items

_FLIPPED = Variant(setting="flipped", labels=LabelStyle.FLIPPED, instruction=False)


class FlippedLabels:
  """Accuracy when both exemplar labels and the expected answer are swapped."""

  name = "flipped_labels"

  def accepts(self, task: Task) -> bool:
    """Tasks with two classes."""
    return len(task.card.labels) == 2

  def items(self, task: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed and query."""
    return make_items(self.name, task, settings, (_FLIPPED,))
