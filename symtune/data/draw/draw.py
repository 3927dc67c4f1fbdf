"""The one place where prompts are drawn: positions -> Draws, numbers only.

Training joins token ids by these numbers (data/tokens/join.py); previews, probes and
SeqIO tasks render text by them (`read_draw`).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int64, UInt32

from symtune.cards.card import Example, Task
from symtune.data.draw.exemplars import draw_exemplars, shuffle_within
from symtune.data.draw.tables import DrawTables
from symtune.data.draw.words import (
  Use,
  below,
  draw_many_words,
  draw_words,
  position_generator,
)
from symtune.data.episodes import Episode
from symtune.data.prompts import PromptFormat
from symtune.data.ragged import owners_of, places_of, starts_of

# The words of use `PLACE`, by what they decide.
_ENTRY, _QUERY, _SHOTS, _FORMAT, _LOOKUP = range(5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
  """Prompts whose task and query are known.

  Attributes:
    positions: of the prompts in their stream, ascending.
    entries: of the prompts, by number in the tables.
    queries: of the prompts, by number in the tables.
  """

  positions: Int64[np.ndarray, "prompts"]
  entries: Int64[np.ndarray, "prompts"]
  queries: Int64[np.ndarray, "prompts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
  """What stands in some prompts; a *turn* is an exemplar or, the last one, the query.

  Attributes:
    positions: of the prompts in their stream.
    entries: of the prompts.
    formats: of the prompts, among those of their entry.
    turns: how many each prompt has.
    examples: number of each turn's example in the tables.
    classes: class id of each turn; the query's is the answer.
    choices: how many classes each prompt has.
    label_words: number of the word of each class of each prompt.
    nearest_last: whether a prompt's exemplars were looked up, those most like the
      query last.
  """

  positions: Int64[np.ndarray, "prompts"]
  entries: Int64[np.ndarray, "prompts"]
  formats: Int64[np.ndarray, "prompts"]
  turns: Int64[np.ndarray, "prompts"]
  examples: Int64[np.ndarray, "turns"]
  classes: Int64[np.ndarray, "turns"]
  choices: Int64[np.ndarray, "prompts"]
  label_words: Int64[np.ndarray, "_words"]
  nearest_last: Bool[np.ndarray, "prompts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
  """What a prompt is rendered from.

  Attributes:
    episode: exemplars and query, with the task's own label words.
    label_words: the words that were drawn for its classes.
    prompt_format: the format that was drawn.
  """

  episode: Episode
  label_words: tuple[str, ...]
  prompt_format: PromptFormat


def pick_entries(
  cumulative: np.ndarray, stream: int, positions: Int64[np.ndarray, "prompts"]
) -> Int64[np.ndarray, "prompts"]:
  """Which entry of a mixture stands at each position.

  Args:
    cumulative: running sums of the entries' shares, up to 1.
    stream: of the mixture.
    positions: ascending.
  """
  uniform = draw_words(stream, Use.PLACE, positions)[:, _ENTRY] * 2.0**-32
  drawn = np.searchsorted(cumulative, uniform, side="right")
  return np.minimum(drawn, len(cumulative) - 1)


def pick_queries(
  tables: DrawTables,
  stream: int,
  positions: Int64[np.ndarray, "prompts"],
  entries: Int64[np.ndarray, "prompts"],
) -> Asked:
  """Draws the query of each prompt, uniformly from those of its task."""
  examples, tasks = tables.examples, tables.task_of[entries]
  words = draw_words(stream, Use.PLACE, positions)[:, _QUERY]
  queries = examples.first_query[tasks] + below(words, examples.num_queries[tasks])
  return Asked(positions=positions, entries=entries, queries=examples.queries[queries])


def draw(tables: DrawTables, stream: int, asked: Asked) -> Draws:
  """Draws prompts; each depends on the stream, its position and its query alone.

  Exemplars, their order, the format and the symbols have words of their own, so two
  settings of the same query at the same position share all that they both draw.

  Args:
    tables: what is drawn from.
    stream: whose words are used; from `stream_key`.
    asked: the prompts.

  Returns:
    The prompts, in order.

  Raises:
    SymtuneError: a pool has too few symbols for a task.
  """
  positions, entries, examples = asked.positions, asked.entries, tables.examples
  tasks = tables.task_of[entries]
  classes = examples.classes[tasks]
  place = draw_words(stream, Use.PLACE, positions)
  fewest, most = tables.shots[entries].T
  shots = fewest + below(place[:, _SHOTS], most - fewest + 1)
  shown = classes * shots

  def words(use: Use, extra: int = 0) -> UInt32[np.ndarray, "prompts _most"]:
    return draw_many_words(stream, use, positions, int(shown.max(initial=0)) + extra)

  exemplars = draw_exemplars(
    examples, tasks, asked.queries, shots, words(Use.EXEMPLARS)
  )
  exemplars = exemplars[shuffle_within(shown, words(Use.ORDER))]
  is_looked_up = place[:, _LOOKUP] * 2.0**-32 < tables.lookup_shares[entries]
  for prompt in np.flatnonzero(is_looked_up).tolist():
    start = int(shown[:prompt].sum())
    found = _look_up(tables, stream, asked, prompt, int(shots[prompt]))
    exemplars[start : start + len(found)] = found
  turns = shown + 1
  drawn = np.empty(int(turns.sum()), np.int64)
  is_query = np.zeros(len(drawn), bool)
  is_query[np.cumsum(turns) - 1] = True
  drawn[~is_query], drawn[is_query] = exemplars, asked.queries
  labels = examples.labels[drawn]
  if tables.scrambles[entries].any():
    new = words(Use.CLASSES, extra=1)[owners_of(turns), places_of(turns)]
    scrambled = below(new, np.repeat(classes, turns))
    labels = np.where(np.repeat(tables.scrambles[entries], turns), scrambled, labels)
  return Draws(
    positions=positions,
    entries=entries,
    formats=below(place[:, _FORMAT], tables.formats[entries]),
    turns=turns,
    examples=drawn,
    classes=labels,
    choices=classes,
    label_words=tables.label_words.draw(
      entries, classes, _symbol_blocks(stream, positions)
    ),
    nearest_last=is_looked_up & tables.finds_similar[entries],
  )


def read_draw(tables: DrawTables, draws: Draws, number: int, task: Task) -> Drawn:
  """What one of the draws says, as text.

  Args:
    tables: what was drawn from.
    draws: of any number of prompts.
    number: which of them, 0-based.
    task: of that prompt.
  """
  entry = int(draws.entries[number])
  first = int(tables.examples.first_example[tables.task_of[entry]])
  start = int(starts_of(draws.turns)[number])
  turns = slice(start, start + int(draws.turns[number]))
  *exemplars, query = (
    _with_label(task.examples[example - first], label)
    for example, label in zip(
      draws.examples[turns].tolist(), draws.classes[turns].tolist(), strict=True
    )
  )
  start = int(starts_of(draws.choices)[number])
  words = draws.label_words[start : start + int(draws.choices[number])]
  return Drawn(
    episode=Episode(
      card=task.card,
      label_words=task.card.labels,
      exemplars=tuple(exemplars),
      query=query,
      nearest_last=bool(draws.nearest_last[number]),
    ),
    label_words=tuple(tables.label_words.text(word) for word in words.tolist()),
    prompt_format=tables.entries[entry].formats[int(draws.formats[number])],
  )


def _look_up(
  tables: DrawTables, stream: int, asked: Asked, prompt: int, k: int
) -> Int64[np.ndarray, "_exemplars"]:
  """The exemplars of one prompt that are most like its query, or least."""
  number = int(asked.entries[prompt])
  entry, task = tables.entries[number], tables.task_of[number]
  assert entry.lookup is not None, "no share of its prompts is looked up"
  first = int(tables.examples.first_example[task])
  return first + entry.lookup.choose(
    int(asked.queries[prompt]) - first,
    k,
    int(tables.examples.classes[task]),
    entry.settings.lookup,
    position_generator(stream, int(asked.positions[prompt])),
  )


def _symbol_blocks(
  stream: int, positions: Int64[np.ndarray, "prompts"]
) -> Callable[[int, np.ndarray], np.ndarray]:
  def blocks(block: int, prompts: np.ndarray) -> np.ndarray:
    return draw_words(stream, Use.SYMBOLS, positions[prompts], block)

  return blocks


def _with_label(example: Example, label: int) -> Example:
  return (
    example if example.label == label else dataclasses.replace(example, label=label)
  )
