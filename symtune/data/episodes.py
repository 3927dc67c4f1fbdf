"""Stage 2: Task -> Episode. A query and k exemplars per class; see data/draw.

Terms: an *exemplar* is a labelled example shown in the prompt; the *query* is the
example to be classified; an *episode* is one query with its exemplars.
"""

import dataclasses

from symtune.cards.card import Example, TaskCard


@dataclasses.dataclass(frozen=True, kw_only=True)
class Episode:
  """One query and its exemplars, with the words that stand for the classes.

  Attributes:
    card: the task.
    label_words: one word per class id; remapping replaces this tuple alone.
    exemplars: the exemplars, in prompt order.
    query: the example to be classified; never among `exemplars`, by row or by text.
    nearest_last: whether the exemplars were looked up, those most like the query last.
  """

  card: TaskCard
  label_words: tuple[str, ...]
  exemplars: tuple[Example, ...]
  query: Example
  nearest_last: bool = False
