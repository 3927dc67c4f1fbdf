"""Semantically unrelated labels: can the model learn a mapping to meaningless words?

SUL-ICL of Wei et al. 2023 (arXiv 2303.03846, section 4 and appendix B): Foo and Bar,
digits, letters or fruits stand for the classes, each set also in reversed order. A
class always has the same word.

Single digits and letters are among the symbols that symbol tuning draws from, so a
tuned model has seen them as labels, though never for these tasks. Their settings say
"tuned on"; only the others show whether tuning generalizes to unseen labels.
"""

from collections.abc import Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.data.remap import LabelMap, remap_labels
from symtune.probe.ask import Asker, Question, TaskProbe
from symtune.probe.probe import ProbeSettings

LABEL_SETS = {
  "foo bar": ("Foo", "Bar", "Iff", "Roc", "Ket", "Dal"),
  "digits (tuned on)": ("0", "1", "2", "3", "4", "5"),
  "letters (tuned on)": ("A", "B", "C", "D", "E", "F"),
  "fruits": ("Apple", "Orange", "Banana", "Peach", "Cherry", "Kiwi"),
}
MAX_CLASSES = 6
_WORDS = frozenset(w.casefold() for words in LABEL_SETS.values() for w in words)


class UnrelatedLabels(TaskProbe):
  """Accuracy with fixed label words that mean nothing for the task."""

  name = "unrelated_labels"

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Tasks of at most six classes that do not use these words themselves."""
    del settings
    return tuple(t for t in tasks if _is_unrelated(t.card.labels))

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each set of words and each order."""
    count = len(episode.label_words)
    del asker, seed
    asked = []
    for name, words in LABEL_SETS.items():
      for setting, chosen in (
        (name, words[:count]),
        (f"{name}, reversed", words[:count][::-1]),
      ):
        remapped = remap_labels(episode, LabelMap(symbols=chosen))
        label = episode.query.label
        asked.append(
          Question(setting=setting, episode=remapped, context=label, prior=None)
        )
    return asked


def _is_unrelated(labels: Sequence[str]) -> bool:
  return len(labels) <= MAX_CLASSES and not _WORDS & {w.casefold() for w in labels}
