"""Stages 2 to 5 at once: positions in the tuning stream -> PromptBlock, from ids.

A prompt's ids are those of its parts, one after another (data/prompts.py), so prompts
can be put together from arrays without any text. The result is the same, id for id, as
`tokenizer.tokenize(mixture.prompt(position))` of each position; only faster.
"""

import functools
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from symtune.data.draw.blocks import BlockDrawer
from symtune.data.draw.prompt_draws import Draws, PromptDrawer, join_draws
from symtune.data.draw.tables import DrawTables, TokenEntry
from symtune.data.instruction_prompts import InstructionMaker
from symtune.data.mixture import Mixture, TaskEntry, entry_at
from symtune.data.prompts import Prompt
from symtune.data.rng import KeyedGenerator
from symtune.data.skills import SkillMaker
from symtune.data.tokens.cache import TokenTask, tokenize_task
from symtune.data.tokens.join import BlockTokenizer
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
    """
    self._seed, self._cumulative = mixture.seed, mixture.cumulative
    self._tokenizer = tokenizer
    tasks: dict[int, TokenTask] = {}  # several ingredients may share a task
    self._entries: list[TokenEntry | SkillMaker | InstructionMaker] = []
    for entry in mixture.entries:
      if isinstance(entry, TaskEntry):
        task = entry.maker.source.task
        if id(task) not in tasks:
          tasks[id(task)] = tokenize_task(task, tokenizer.vocab, cache_dir)
        self._entries.append(_without_text(entry, tasks[id(task)]))
      else:
        self._entries.append(entry)

  def __call__(self, positions: range) -> PromptBlock:
    """The tokenized prompts at some positions (0-based, one after another).

    Raises:
      SymtuneError: a label is longer than a target may be.
    """
    return self._maker.make(positions)

  def __getstate__(self):
    """Without the tables, which another process makes for itself."""
    return {name: value for name, value in vars(self).items() if name != "_maker"}

  @functools.cached_property
  def _maker(self) -> "_BlockMaker":
    return _BlockMaker(self._entries, self._cumulative, self._seed, self._tokenizer)


class _BlockMaker:
  """Makes blocks of prompts: most from arrays, the others one by one."""

  def __init__(
    self,
    entries: Sequence[TokenEntry | SkillMaker | InstructionMaker],
    cumulative: Float64[np.ndarray, "entries"],
    seed: int,
    tokenizer: PromptTokenizer,
  ):
    self._cumulative, self._seed, self._tokenizer = cumulative, seed, tokenizer
    self._keyed = KeyedGenerator()
    tables = DrawTables([e for e in entries if isinstance(e, TokenEntry)])
    is_task = np.asarray([isinstance(entry, TokenEntry) for entry in entries])
    self._entries, self._numbers = (
      entries,
      np.where(is_task, np.cumsum(is_task) - 1, -1),
    )
    self._block_drawer = BlockDrawer(tables, self._numbers, cumulative, seed)
    self._drawer = PromptDrawer(tables, seed)
    self._block_tokenizer = BlockTokenizer(tables, tokenizer)

  def make(self, positions: range) -> PromptBlock:
    """The prompts at some positions."""
    draws = [self._block_drawer.draw(np.asarray(positions, np.int64))]
    drawn = set(draws[0].positions.tolist())
    prompts: dict[int, Prompt] = {}
    for position in positions:
      if position not in drawn:
        one = self._draw_one(position)
        if isinstance(one, Draws):
          draws.append(one)
        else:
          prompts[position] = one
    joined = join_draws(draws)
    block = self._block_tokenizer.tokenize(joined)
    pairs = dict(zip(joined.positions.tolist(), block.pairs, strict=True))
    dropped, error = np.zeros(len(positions), np.int64), block.error
    dropped[joined.positions - positions.start] = block.dropped
    for position, prompt in prompts.items():
      try:
        pairs[position] = self._tokenizer.tokenize(prompt).pair  # has no exemplars
      except PromptTooLongError as caught:
        pairs[position], error = None, caught
    return PromptBlock(
      pairs=[pairs[p] for p in positions], dropped=dropped, error=error
    )

  def _draw_one(self, position: int) -> Draws | Prompt:
    """What stands at a position, drawn by generators; text unless it is of a task."""
    rng = self._keyed.at(self._seed, "mixture", position)
    at = int(entry_at(self._cumulative, rng.random()))
    entry = self._entries[at]
    if isinstance(entry, TokenEntry):
      number = int(self._numbers[at])
      return self._drawer.draw(rng, entry=number, position=position)
    return entry.prompt(rng, seed=self._seed, position=position)


def _without_text(entry: TaskEntry, task: TokenTask) -> TokenEntry:
  ingredient = entry.ingredient
  return TokenEntry(
    task=task,
    labels=ingredient.labels,
    instruction=ingredient.instruction,
    shots=ingredient.shots,
    pool=entry.pool,
    formats=entry.formats,
  )
