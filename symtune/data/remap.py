"""Stage 3: (Episode, LabelMap) -> Episode. Symbols stand for the classes.

Only the tuple of label words changes. No text is searched or replaced, so a label word
inside an example's text stays as it is.
"""

import dataclasses

from symtune.data.episodes import Episode
from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelMap:
  """One symbol per class id; symbols are unique."""

  symbols: tuple[str, ...]

  def __post_init__(self):
    if len(set(self.symbols)) != len(self.symbols) or not all(self.symbols):
      raise SymtuneError(
        f"label map: got symbols {list(self.symbols)}, expected unique, non-empty "
        f"ones: each class needs its own symbol."
      )


def remap_labels(episode: Episode, label_map: LabelMap) -> Episode:
  """The episode with symbols for labels, in exemplars and query alike.

  Args:
    episode: any episode.
    label_map: one symbol per class.

  Returns:
    A new episode; everything but `label_words` is shared.

  Raises:
    SymtuneError: the number of symbols is wrong, or a symbol equals a label word of
      the task (ignoring case).
  """
  card = episode.card
  if len(label_map.symbols) != len(card.labels):
    raise SymtuneError(
      f"label map for task {card.name}: got {len(label_map.symbols)} symbols, expected "
      f"{len(card.labels)}, one for each of {list(card.labels)}."
    )
  labels = {label.casefold() for label in card.labels}
  same = [s for s in label_map.symbols if s.casefold() in labels]
  if same:
    raise SymtuneError(
      f"label map for task {card.name}: got symbols {same} that are label words of the "
      f"task, expected arbitrary symbols."
    )
  return dataclasses.replace(episode, label_words=label_map.symbols)


def with_words(episode: Episode, words: tuple[str, ...]) -> Episode:
  """The episode with other label words, which may be the task's own in another order.

  Args:
    episode: any episode.
    words: one per class, all different.
  """
  assert len(set(words)) == len(words) == len(episode.label_words), "one word per class"
  return dataclasses.replace(episode, label_words=words)
