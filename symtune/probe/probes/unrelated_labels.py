"""Semantically unrelated labels: can the model learn a mapping to meaningless words?

SUL-ICL of Wei et al. 2023 (arXiv 2303.03846, section 4 and appendix B): Foo and Bar,
digits, letters or fruits stand for the classes, each set also in reversed order, after
16 exemplars per class. A class always has the same word.

Models that keep to the words they know do not say Foo or Bar at all. Ranking cannot
show that, so the paper's own set is also asked with generated answers ("foo bar,
generated"), and the report says how many are one of the shown words, one of the task's
own, or something else.

Single digits and letters are among the symbols that symbol tuning draws from, so a
tuned model has seen them as labels, though never for these tasks. Their settings say
"tuned on"; only the others show whether tuning generalizes to unseen labels.
"""

from collections.abc import Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.data.remap import LabelMap, remap_labels
from symtune.probe.ask import Asker, ManyShotsProbe, Question, with_generated
from symtune.probe.probe import ProbeSettings

LABEL_SETS = {
  "foo bar": ("Foo", "Bar", "Iff", "Roc", "Ket", "Dal"),
  "digits (tuned on)": ("0", "1", "2", "3", "4", "5"),
  "letters (tuned on)": ("A", "B", "C", "D", "E", "F"),
  "fruits": ("Apple", "Orange", "Banana", "Peach", "Cherry", "Kiwi"),
}
PAPERS_SET = "foo bar"
MAX_CLASSES = 6
_WORDS = frozenset(w.casefold() for words in LABEL_SETS.values() for w in words)


class UnrelatedLabels(ManyShotsProbe):
  """Accuracy with fixed label words that mean nothing for the task."""

  name = "unrelated_labels"

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[Task, ...]:
    """Tasks of at most six classes that do not use these words themselves."""
    del settings
    return tuple(t for t in tasks if _is_unrelated(t.card.labels))

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each set of words and each order, and the paper's set generated."""
    count, label = len(episode.label_words), episode.query.label
    del seed
    asked = []
    for name, words in LABEL_SETS.items():
      for setting, chosen in (
        (name, words[:count]),
        (f"{name}, reversed", words[:count][::-1]),
      ):
        question = Question(
          setting=setting,
          episode=remap_labels(episode, LabelMap(symbols=chosen)),
          context=label,
          prior=None,
          prompt_format=self.prompt_format,
        )
        is_papers = setting == PAPERS_SET
        asked += with_generated([question], asker.settings) if is_papers else [question]
    return asked


def _is_unrelated(labels: Sequence[str]) -> bool:
  return len(labels) <= MAX_CLASSES and not _WORDS & {w.casefold() for w in labels}
