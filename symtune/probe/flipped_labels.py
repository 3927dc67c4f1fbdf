"""Flipped labels: does the model follow its exemplars against what the words mean?

Wei et al. 2023, section 6: the two label words are swapped in every exemplar and in the
expected answer, without an instruction, on tasks with two classes. A model that reads
its exemplars scores 1, one that follows its priors scores 0, a guesser one half.
"""

from collections.abc import Iterator

from symtune.cards.card import Task
from symtune.data.mixture import LabelStyle, PromptMaker
from symtune.probe.probe import ProbeItem, ProbeSettings, draw_queries, make_item


class FlippedLabels:
  """Accuracy when both exemplar labels and the expected answer are swapped."""

  name = "flipped_labels"

  def accepts(self, task: Task) -> bool:
    """Tasks with two classes."""
    return len(task.card.labels) == 2

  def items(self, task: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed and query."""
    maker = PromptMaker(task, settings.shots)
    for seed in settings.seeds:
      for query in draw_queries(maker, settings, seed):
        yield make_item(
          maker,
          query,
          settings,
          probe=self.name,
          setting="flipped",
          seed=seed,
          labels=LabelStyle.FLIPPED,
          instruction=False,
        )
