"""Task -> TaskIndex: what drawing asks of a task's rows, as numbers.

Inside the draw, an *example* is known by its number in the task's list of rows. Rows
that can give each other away form one *group*: those with the same text, with texts
that are nearly the same, or with the same passage, if the card names a field that is
one. Nothing of a query's group may be its exemplar.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Int32, Int64

from symtune.cards.card import Task, TaskCard
from symtune.data.limits import DEFAULT_OVERLAP
from symtune.data.text.leaks import text_keys
from symtune.data.text.near_duplicates import FEWEST_WORDS_TO_DIFFER, find_overlaps
from symtune.errors import SymtuneError

_Links = tuple[Int64[np.ndarray, "_links"], Int64[np.ndarray, "_links"]]
# Near texts in one group, from which on the task's texts count as made by a template.
_FEWEST_OF_TEMPLATE, _TEMPLATE_SHARE = 8, 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shots:
  """k, the number of exemplars per class: uniform between both ends, inclusive.

  The paper draws 2 to 10 in tuning (section 3.1) and uses 4 in evaluation.
  """

  minimum: int
  maximum: int

  def __post_init__(self):
    if not 0 <= self.minimum <= self.maximum:
      raise SymtuneError(
        f"exemplars per class: got {self.minimum} to {self.maximum}, expected "
        f"0 <= minimum <= maximum."
      )


TUNING_SHOTS = Shots(minimum=2, maximum=10)
EVALUATION_SHOTS = Shots(minimum=4, maximum=4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskIndex:
  """The rows of a task, as numbers.

  Attributes:
    labels: class id of each example.
    groups: group of each example.
    exemplars: the examples of each class that may be exemplars, ascending.
    queries: the examples that may be queries, ascending.
  """

  labels: Int32[np.ndarray, "examples"]
  groups: Int32[np.ndarray, "examples"]
  exemplars: tuple[Int32[np.ndarray, "_exemplars"], ...]
  queries: Int32[np.ndarray, "queries"]


def index_task(task: Task) -> TaskIndex:
  """Numbers the rows of a task.

  Raises:
    SymtuneError: the task has no queries.
  """
  card, examples = task.card, task.examples
  labels = np.asarray([e.label for e in examples], np.int32)
  shown = np.asarray([e.split in card.exemplar_splits for e in examples], bool)
  asked = np.asarray([e.split in card.query_splits for e in examples], bool)
  if not asked.any():
    raise SymtuneError(
      f"task {card.name}: got no rows in splits {list(card.query_splits)}, expected "
      f"queries there. Check query_splits in the card, or the rows."
    )
  return TaskIndex(
    labels=labels,
    groups=_group_rows(task),
    exemplars=tuple(
      np.flatnonzero(shown & (labels == label)).astype(np.int32)
      for label in range(len(card.labels))
    ),
    queries=np.flatnonzero(asked).astype(np.int32),
  )


def _group_rows(task: Task) -> Int32[np.ndarray, "_examples"]:
  """The group of each example; groups are numbered by their first example."""
  card, examples = task.card, task.examples
  texts = [card.input_text(example) for example in examples]
  links = [_link_equals(text_keys(texts)), _link_near(texts)]
  if card.passage is not None:
    passages = [example.fields[card.passage] for example in examples]
    links.append(_link_equals(text_keys(passages)))
  return _connect(links, len(texts))


def _link_near(texts: Sequence[str]) -> _Links:
  """Pairs of texts that are nearly the same; none if the texts are of one template.

  Texts that were made from a template differ in a word or a number, and that is what
  the task is about: then nearly all of them are near to each other.
  """
  near = find_overlaps(
    texts, None, threshold=DEFAULT_OVERLAP, fewest_words=FEWEST_WORDS_TO_DIFFER
  )
  links = (near.left, near.right)
  largest = np.bincount(_connect([links], len(texts))).max(initial=0)
  if largest > max(_FEWEST_OF_TEMPLATE, _TEMPLATE_SHARE * len(texts)):
    return near.left[:0], near.right[:0]
  return links


def _connect(links: Sequence[_Links], count: int) -> Int32[np.ndarray, "_examples"]:
  """The group of each of `count` examples, where links join examples."""
  left, right = np.concatenate(links, axis=1)
  if not len(left):
    return np.arange(count, dtype=np.int32)
  graph = scipy.sparse.coo_array(
    (np.ones(len(left), bool), (left, right)), shape=(count, count)
  )
  return scipy.sparse.csgraph.connected_components(graph, directed=False)[1]


def _link_equals(keys: Sequence[str]) -> _Links:
  """Each key, and the first one that is equal to it."""
  first: dict[str, int] = {}
  firsts = [first.setdefault(key, number) for number, key in enumerate(keys)]
  return np.arange(len(keys)), np.asarray(firsts, np.int64)


def without_groups(
  index: TaskIndex, examples: Int64[np.ndarray, "examples"]
) -> TaskIndex:
  """The same task, with nothing of some examples' groups among its exemplars."""
  groups = np.unique(index.groups[examples])
  kept = tuple(e[~np.isin(index.groups[e], groups)] for e in index.exemplars)
  return dataclasses.replace(index, exemplars=kept)


def most_shots(index: TaskIndex) -> int:
  """The most exemplars per class that every query can be shown."""
  return min(len(e) - _most_blocked(index, e) for e in index.exemplars)


def check_shots(index: TaskIndex, card: TaskCard, shots: Shots) -> None:
  """Refuses a task that has too few rows.

  Raises:
    SymtuneError: a class has fewer exemplars than an episode may show.
  """
  for label, exemplars in enumerate(index.exemplars):
    blocked = _most_blocked(index, exemplars)
    if len(exemplars) - blocked < shots.maximum:
      shared, or_passage = "text", ""
      if card.passage is not None:
        shared, or_passage = "text or passage", ", or leave 'passage' out of the card"
      raise SymtuneError(
        f"task {card.name}: class {card.labels[label]!r} has {len(exemplars)} rows "
        f"in splits {list(card.exemplar_splits)}, {blocked} of which may be the "
        f"query or share its {shared}; expected at least {shots.maximum} others. Add "
        f"rows to {card.rows}.jsonl, or lower the exemplars per class{or_passage}."
      )


def _most_blocked(index: TaskIndex, exemplars: Int32[np.ndarray, "exemplars"]) -> int:
  """The most exemplars of a class that are in one query's group."""
  sizes = np.bincount(
    index.groups[exemplars], minlength=int(index.groups.max(initial=-1)) + 1
  )
  return int(sizes[index.groups[index.queries]].max(initial=0))
