"""Stages 2 to 5 at once: positions in the tuning stream -> PromptBlock, from ids.

A prompt's ids are those of its parts, one after another (data/prompts.py), so prompts
can be put together from arrays without any text. The result is the same, id for id, as
`tokenizer.tokenize(mixture.prompt(position))` of each position; only faster.
"""

import functools
import os

import numpy as np

from symtune.data.mixture import Mixture
from symtune.data.tokens.cache import TokenTask, tokenize_task
from symtune.data.tokens.join import PromptJoiner
from symtune.data.tokens.label_ids import check_drawn_words
from symtune.data.tokens.tokenizer import (
  PromptBlock,
  PromptTokenizer,
  PromptTooLongError,
)


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
    tasks: dict[int, TokenTask] = {}  # several ingredients may share a task
    for task in mixture.tasks:
      if id(task) not in tasks:
        tasks[id(task)] = tokenize_task(task, tokenizer.vocab, cache_dir)
    self._tasks = tuple(tasks.values())

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
