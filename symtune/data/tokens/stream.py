"""Stages 2 to 5 at once: positions in the tuning stream -> PromptBlock, from ids.

A prompt's ids are those of its parts, one after another (data/prompts.py), so prompts
can be put together from arrays without any text. The result is the same, id for id, as
`tokenizer.tokenize(mixture.prompt(position))` of each position; only faster.
"""

import functools
import os
import time
from collections.abc import Callable, Sequence

import numpy as np

from symtune.cards.card import Task
from symtune.data.mixture import Mixture
from symtune.data.text.vocab import Vocab
from symtune.data.tokens.cache import TokenTask, tokenize_task
from symtune.data.tokens.join import PromptJoiner
from symtune.data.tokens.label_ids import check_drawn_words
from symtune.data.tokens.tokenizer import (
  PromptBlock,
  PromptTokenizer,
  PromptTooLongError,
)
from symtune.progress import Progress


class TokenStream:
  """The tokenized prompts of a mixture, by position; can be sent to other processes."""

  def __init__(
    self,
    mixture: Mixture,
    tokenizer: PromptTokenizer,
    cache_dir: str | os.PathLike[str] | None = None,
  ):
    """Tokenizes every task of the mixture once, or finds it in the cache.

    Args:
      mixture: says what stands at each position.
      tokenizer: vocabulary and limits.
      cache_dir: folder of the token cache; None keeps the ids in memory.

    Raises:
      SymtuneError: prompts may offer label words that have the same ids.
    """
    check_drawn_words(mixture.draws.tables, tokenizer.vocab)
    self._draws, self._tokenizer = mixture.draws, tokenizer
    # Several ingredients may share a task.
    tasks = list({id(task): task for task in mixture.tasks}.values())
    self._tasks = tokenize_tasks(tasks, tokenizer.vocab, cache_dir)

  def __call__(self, positions: range) -> PromptBlock:
    """The tokenized prompts at some positions (0-based, one after another).

    Raises:
      SymtuneError: a label is longer than a target may be.
    """
    asked = np.asarray(positions, np.int64)
    draws = self._draws.draw(asked)
    block = self._joiner.join(draws)
    pairs = dict(zip(draws.positions.tolist(), block.pairs, strict=True))
    dropped, error = np.zeros(len(positions), np.int64), block.error
    dropped[draws.positions - positions.start] = block.dropped
    for position, prompt in self._draws.make_others(asked).items():
      try:  # such a prompt has no exemplars to lose
        pairs[position] = self._tokenizer.tokenize(prompt).pair
      except PromptTooLongError as caught:
        pairs[position], error = None, caught
    return PromptBlock(
      pairs=[pairs[p] for p in positions], dropped=dropped, error=error
    )

  def __getstate__(self):
    """Without the joined parts, which another process makes for itself."""
    return {name: value for name, value in vars(self).items() if name != "_joiner"}

  @functools.cached_property
  def _joiner(self) -> PromptJoiner:
    return PromptJoiner(self._draws.tables, self._tasks, self._tokenizer)


def tokenize_tasks(
  tasks: Sequence[Task],
  vocab: Vocab,
  cache_dir: str | os.PathLike[str] | None = None,
  clock: Callable[[], float] = time.monotonic,
) -> tuple[TokenTask, ...]:
  """The ids of several tasks, from the cache if they are there; shows progress.

  Args:
    tasks: cards and rows.
    vocab: the vocabulary.
    cache_dir: as in `tokenize_task`.
    clock: the time in seconds, for the progress.
  """
  texts = sum(len(task.examples) for task in tasks)
  found = []
  with Progress("tokenizing", texts, unit="texts", clock=clock) as progress:
    for task in tasks:
      progress.describe(f"tokenizing {task.card.name}")
      found.append(tokenize_task(task, vocab, cache_dir))
      progress.advance(len(task.examples))
  return tuple(found)
