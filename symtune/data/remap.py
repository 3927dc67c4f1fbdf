"""Stage 3: (Episode, LabelMap) -> Episode. Symbols stand for the classes.

Only the tuple of label words changes. No text is searched or replaced, so a label word
inside an example's text stays as it is.
"""

import dataclasses

import numpy as np

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
        f"ones: two classes must not share a symbol."
      )


def remap_labels(episode: Episode, label_map: LabelMap) -> Episode:
  """The episode with symbols for labels, in exemplars and query alike.

  Args:
    episode: any episode.
    label_map: one symbol per class.

  Returns:
    A new episode; everything but `label_words` is shared.

  Raises:
    SymtuneError: the map has another number of classes, or a symbol equals a label
      word of the task (whatever its case).
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
      f"task, expected arbitrary ones. Draw them with draw_symbols()."
    )
  return dataclasses.replace(episode, label_words=label_map.symbols)


def flip_labels(episode: Episode) -> Episode:
  """The episode with its two label words swapped, in exemplars and query alike.

  Flipped-label probe of Wei et al. 2023, section 6: a model that reads its exemplars
  scores 100%, one that follows what the words mean scores 0%.

  Args:
    episode: an episode of a task with two classes.

  Returns:
    A new episode; everything but `label_words` is shared.

  Raises:
    SymtuneError: the task has more than two classes.
  """
  if len(episode.label_words) != 2:
    raise SymtuneError(
      f"flipped labels: task {episode.card.name} has {len(episode.label_words)} "
      f"classes, expected 2; with more it is not clear which word stands for which."
    )
  first, second = episode.label_words
  return dataclasses.replace(episode, label_words=(second, first))


def scramble_labels(episode: Episode, rng: np.random.Generator) -> Episode:
  """The episode with every class drawn anew, for each exemplar and for the query.

  The null control of symbol tuning: symbols, formats and lengths are the same, but a
  label says nothing about its text, so there is nothing to read in the exemplars.

  Args:
    episode: any episode.
    rng: the generator that this draw uses up.

  Returns:
    A new episode with the same texts and label words.
  """
  classes = len(episode.label_words)
  *exemplars, query = (
    dataclasses.replace(example, label=int(rng.integers(classes)))
    for example in (*episode.exemplars, episode.query)
  )
  return dataclasses.replace(episode, exemplars=tuple(exemplars), query=query)
