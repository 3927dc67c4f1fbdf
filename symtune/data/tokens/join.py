"""Stage 5 of many prompts at once: Draws -> PromptBlock, ids joined by number.

Rows, label words and cues are *parts*, each tokenized once. A turn is four of them:
head, text, cue and label word; a query's are its head, its text, its cue with EOS, and
nothing.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer

from symtune.data.draw.draw import Draws
from symtune.data.draw.tables import DrawTables
from symtune.data.prompts import PromptFormat, turn_cues
from symtune.data.ragged import owners_of, starts_of, take_runs
from symtune.data.tokens.cache import TokenTask, token_dtype
from symtune.data.tokens.tokenizer import (
  PromptBlock,
  PromptTokenizer,
  PromptTooLongError,
  TokenPair,
)


class TokenParts:
  """Parts of prompts by number.

  Attributes:
    lengths: ids of each part.
  """

  def __init__(
    self,
    tokens: Sequence[Integer[np.ndarray, "_tokens"]],
    lengths: Int64[np.ndarray, "parts"],
  ):
    """Joins what the parts are made of.

    Args:
      tokens: ids of all parts, one after another; all of one type.
      lengths: ids of each part.
    """
    self.lengths = lengths
    self._starts = starts_of(lengths)
    self._tokens = np.concatenate(tokens)

  def join(
    self,
    parts: Int64[np.ndarray, "rows parts"],
    counts: Int64[np.ndarray, "texts"],
  ) -> list[Int32[np.ndarray, "_ids"]]:
    """The ids of texts that are made of parts, one after another.

    Args:
      parts: of all texts, in rows of as many.
      counts: rows of each text.

    Returns:
      Views of one array: whoever keeps one of them for long should copy it.
    """
    lengths = self.lengths[parts]
    ids = take_runs(self._tokens, self._starts[parts].ravel(), lengths.ravel())
    ids, zero = ids.astype(np.int32), np.zeros(1, np.int64)
    ends = np.concatenate([zero, np.cumsum(lengths.sum(axis=1))])
    bounds = ends[np.concatenate([zero, np.cumsum(counts)])].tolist()
    return [ids[start:stop] for start, stop in itertools.pairwise(bounds)]


class PromptJoiner:
  """Puts prompts together from ids."""

  def __init__(
    self,
    tables: DrawTables,
    tasks: Sequence[TokenTask],
    tokenizer: PromptTokenizer,
  ):
    """Numbers the parts: rows, label words, EOS, nothing, cues.

    Args:
      tables: examples and label words.
      tasks: the ids of the different tasks of the tables, in their order.
      tokenizer: vocabulary and limits.
    """
    self._tokenizer, self._words = tokenizer, tables.label_words.texts()
    keys = [
      (form, entry.card.instruction if entry.settings.instruction else None)
      for entry in tables.entries
      for form in entry.formats
    ]
    cues = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    others = [tokenizer.vocab.encode(word) for word in self._words]
    others += [tokenizer.eos, tokenizer.eos[:0]]
    others += [ids for key in cues for ids in _cue_ids(tokenizer, *key)]
    dtype = token_dtype(tokenizer.vocab)
    rows = [np.diff(task.ends, prepend=0) for task in tasks]
    self._parts = TokenParts(
      [*(task.tokens for task in tasks), np.concatenate(others).astype(dtype)],
      np.concatenate([*rows, np.asarray([len(ids) for ids in others], np.int64)]),
    )
    self._first_word = len(tables.examples.labels)
    self._eos = self._first_word + len(self._words)
    self._nothing, first_cue = self._eos + 1, self._eos + 2
    # Head, cue of an exemplar and end of a query, of each format of each entry.
    numbers = np.asarray([cues[key] for key in keys], np.int64)
    self._cues = first_cue + 3 * numbers[:, None] + np.arange(3)
    counts = [len(entry.formats) for entry in tables.entries]
    self._first_cue = starts_of(np.asarray(counts, np.int64))

  def join(self, draws: Draws) -> PromptBlock:
    """Ids of prompts; whole exemplars are dropped evenly from those that are too long.

    Args:
      draws: of any number of prompts.

    Returns:
      The prompts in their order.

    Raises:
      SymtuneError: a label is longer than a target may be.
    """
    self._check_words(draws.label_words)
    prompts, last = owners_of(draws.turns), np.cumsum(draws.turns) - 1
    words = self._first_word + draws.label_words
    words = words[starts_of(draws.choices)[prompts] + draws.classes]
    turns = self._turns(draws, words, prompts, last)
    kept, error = self._choose_kept(draws, turns)
    counts = np.bincount(prompts[kept], minlength=len(draws.turns))
    answers = words[last]
    ended = np.stack((answers, np.full_like(answers, self._eos)), axis=1)
    inputs = self._parts.join(turns[kept], counts)
    targets = self._parts.join(ended, np.ones_like(answers))
    pairs = [
      TokenPair(inputs=ids, targets=target) if len(ids) else None
      for ids, target in zip(inputs, targets, strict=True)
    ]
    dropped = np.where(counts > 0, draws.turns - counts, 0)
    return PromptBlock(pairs=pairs, dropped=dropped, error=error)

  def _check_words(self, words: Int64[np.ndarray, "_words"]) -> None:
    """Refuses words that are too long for a target, shown or not."""
    lengths = self._parts.lengths[self._first_word + words]
    for word in words[lengths >= self._tokenizer.max_targets].tolist():  # EOS joins it
      ids = [self._tokenizer.ids(self._words[word]), self._tokenizer.eos]
      self._tokenizer.check_target(np.concatenate(ids))  # says what is wrong

  def _turns(
    self,
    draws: Draws,
    words: Int64[np.ndarray, "turns"],
    prompts: Int64[np.ndarray, "turns"],
    last: Int64[np.ndarray, "prompts"],
  ) -> Int64[np.ndarray, "turns 4"]:
    """The parts of each turn, given its label word, its prompt and which are last."""
    cues = self._cues[self._first_cue[draws.entries] + draws.formats]
    parts = np.stack(
      (cues[prompts, 0], draws.examples, cues[prompts, 1], words), axis=1
    )
    parts[last, 2] = cues[:, 2]
    parts[last, 3] = self._nothing
    return parts

  def _choose_kept(
    self, draws: Draws, turns: Int64[np.ndarray, "turns 4"]
  ) -> tuple[Bool[np.ndarray, "turns"], PromptTooLongError | None]:
    """Which turns fit, none of a prompt that cannot be made to; one such error."""
    kept, error = np.ones(len(turns), bool), None
    lengths, starts = self._parts.lengths[turns].sum(axis=1), starts_of(draws.turns)
    too_long = np.add.reduceat(lengths, starts) > self._tokenizer.max_inputs
    for prompt in np.flatnonzero(too_long).tolist():
      own = slice(starts[prompt], starts[prompt] + draws.turns[prompt])
      try:
        kept[own] = self._choose_turns(
          turns[own], draws.classes[own], bool(draws.nearest_last[prompt])
        )
      except PromptTooLongError as caught:
        kept[own], error = False, caught
    return kept, error

  def _choose_turns(
    self,
    turns: Int64[np.ndarray, "turns 4"],
    classes: Int64[np.ndarray, "turns"],
    nearest_last: bool,
  ) -> Bool[np.ndarray, "turns"]:
    """Which turns of a prompt stay; raises PromptTooLongError."""
    *lengths, query = self._parts.lengths[turns].sum(axis=1).tolist()
    whole = np.full(1, len(turns))
    dropped = self._tokenizer.choose_dropped(
      classes[:-1].tolist(),
      [*lengths, query - 1],  # EOS does not count
      lambda: self._tokenizer.vocab.decode(self._parts.join(turns, whole)[0])[:60],
      nearest_last=nearest_last,
    )
    return ~np.isin(np.arange(len(turns)), list(dropped))


def _cue_ids(
  tokenizer: PromptTokenizer, form: PromptFormat, instruction: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Ids before each text, between an exemplar's text and label, and after the query."""
  head, label_cue = turn_cues(form, instruction)
  before = np.concatenate([tokenizer.eos[:0], *map(tokenizer.ids, head)])
  query_end = np.concatenate([tokenizer.ids(label_cue), tokenizer.eos])
  return before, tokenizer.ids(label_cue + " "), query_end
