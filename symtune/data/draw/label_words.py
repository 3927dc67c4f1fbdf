"""Label words of many prompts at once: the task's own, or symbols drawn from a pool.

A symbol is the first admissible one of a row of candidates: category uniform, then
uniform inside it (Wei et al. 2023, appendix E.1). A candidate is not admissible if,
whatever its case, it equals a label of the task, one word of it, a synonym of such a
word, or a symbol that the prompt already has: neither "positive" nor "good" must stand
for "Positive Sentiment". Nor is one that breaks a rule of the pool.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt32

from symtune.data.draw.words import BLOCK, below
from symtune.data.ragged import (
  join_runs,
  owners_of,
  places_of,
  sizes_of,
  starts_of,
)
from symtune.data.text.symbols import SymbolPool
from symtune.errors import SymtuneError

_CANDIDATES = BLOCK // 2  # of a block; each takes a word for category and for symbol
_ROUNDS = 25  # blocks of candidates for one symbol
# By the rules of a pool, hardly any symbol may go with the first one that was drawn:
# after so many candidates all symbols of a prompt are drawn again.
_ATTEMPTS = 10
_ATTEMPT_BLOCKS = 2**20  # more than the blocks of one attempt

# (number of the block, prompts) -> one block of random words for each of the prompts.
Blocks = Callable[[int, Int64[np.ndarray, "open"]], UInt32[np.ndarray, "open 8"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordSource:
  """Where the label words of a prompt come from.

  Attributes:
    labels: the task's own label words, one per class id.
    pool: symbols are drawn from it; None keeps the labels.
  """

  labels: tuple[str, ...]
  pool: SymbolPool | None = None

  def __post_init__(self):
    symbols = () if self.pool is None else self.pool.symbols.values()
    if self.pool is not None and not (symbols and all(symbols)):
      raise SymtuneError(
        f"{self.pool.split} symbol pool: got categories "
        f"{ {str(c): len(s) for c, s in self.pool.symbols.items()} } by size, expected "
        f"at least one, each with symbols."
      )


class LabelWords:
  """The label words that the prompts of some sources may hold, by number.

  Words of a category of a pool, or of a task, have numbers side by side; `first_...`
  says where the numbers of each start.
  """

  def __init__(self, sources: Sequence[WordSource]):
    """Numbers the words of the sources."""
    self._sources = tuple(sources)
    pools = tuple({id(s.pool): s.pool for s in sources if s.pool is not None}.values())
    groups = [words for pool in pools for words in pool.symbols.values()]
    self._groups = [*groups, *(source.labels for source in sources)]
    self._sizes = sizes_of(self._groups)
    self._firsts = starts_of(self._sizes)
    self._first_labels = self._firsts[len(groups) :]
    firsts = starts_of(sizes_of([pool.symbols for pool in pools])).tolist()
    first_by_pool = {id(p): first for p, first in zip(pools, firsts, strict=True)}
    drawn = [(first_by_pool.get(id(s.pool), 0), _num_categories(s)) for s in sources]
    drawn = np.asarray(drawn, np.int64).reshape(-1, 2)
    self._first_group, self._num_categories = drawn.T
    self._folded = join_runs([pool.folded for pool in pools])
    refused = [
      number * len(self._folded) + source.pool.folds[word]
      for number, source in enumerate(sources)
      if source.pool is not None
      for word in source.pool.relevant_words(source.labels)
      if word in source.pool.folds
    ]
    self._refused = np.asarray(refused, np.int64)
    self._rules = _RuleTable(sources, pools)

  def __len__(self) -> int:
    return int(self._sizes.sum())

  def text(self, number: int) -> str:
    """The word of a number."""
    group = int(np.searchsorted(self._firsts, number, side="right")) - 1
    return self._groups[group][number - int(self._firsts[group])]

  def texts(self) -> list[str]:
    """Every word, in order of their numbers."""
    return [word for group in self._groups for word in group]

  def draw(
    self,
    sources: Int64[np.ndarray, "prompts"],
    counts: Int64[np.ndarray, "prompts"],
    blocks: Blocks,
  ) -> Int64[np.ndarray, "_words"]:
    """One word for each class of each prompt.

    Args:
      sources: of the prompts.
      counts: classes of the prompts.
      blocks: random words for the candidates.

    Returns:
      Numbers of the words, prompt by prompt, in order of class id.

    Raises:
      SymtuneError: a pool has too few admissible symbols.
    """
    found = self._first_labels[sources][owners_of(counts)] + places_of(counts)
    draws = self._num_categories[sources] > 0
    drawing = np.flatnonzero(draws)
    most = int(counts[drawing].max(initial=0))
    chosen = np.full((len(drawing), most), -1)
    own, wanted = sources[drawing], counts[drawing]
    left = np.arange(len(drawing))
    for attempt in range(_ATTEMPTS):
      if not len(left):
        break
      chosen[left] = self._attempt(
        own[left],
        wanted[left],
        most,
        lambda block, open_, left=left, start=attempt * _ATTEMPT_BLOCKS: blocks(
          start + block, drawing[left[open_]]
        ),
      )
      missing = (chosen[left] < 0) & (np.arange(most) < wanted[left, None])
      left = left[missing.any(axis=1)]
    if len(left):
      raise self._too_few(int(own[left[0]]), int(wanted[left[0]]))
    is_drawn = np.repeat(draws, counts)
    found[is_drawn] = chosen[np.arange(most) < wanted[:, None]]
    return found

  def _attempt(
    self,
    sources: Int64[np.ndarray, "prompts"],
    counts: Int64[np.ndarray, "prompts"],
    most: int,
    blocks: Blocks,
  ) -> Int64[np.ndarray, "prompts {most}"]:
    """Symbols one after another; -1 from where no candidate is admissible on."""
    chosen = np.full((len(sources), most), -1)
    for slot in range(most):
      open_ = np.flatnonzero((counts > slot) & (chosen[:, :slot] >= 0).all(axis=1))
      for round_ in range(_ROUNDS):
        if not len(open_):
          break
        words = blocks(slot * _ROUNDS + round_, open_).reshape(-1, _CANDIDATES, 2)
        candidates = self._candidates(sources[open_], words)
        fits = self._are_admissible(sources[open_], candidates, chosen[open_, :slot])
        first, any_ = fits.argmax(axis=1), fits.any(axis=1)
        chosen[open_[any_], slot] = candidates[any_, first[any_]]
        open_ = open_[~any_]
    return chosen

  def _candidates(
    self,
    sources: Int64[np.ndarray, "open"],
    words: UInt32[np.ndarray, "open candidates 2"],
  ) -> Int64[np.ndarray, "open candidates"]:
    group = self._first_group[sources][:, None]
    group = group + below(words[:, :, 0], self._num_categories[sources][:, None])
    return self._firsts[group] + below(words[:, :, 1], self._sizes[group])

  def _are_admissible(
    self,
    sources: Int64[np.ndarray, "open"],
    candidates: Int64[np.ndarray, "open candidates"],
    chosen: Int64[np.ndarray, "open _slots"],
  ) -> Bool[np.ndarray, "open candidates"]:
    folded = self._folded[candidates]
    refused = np.isin(sources[:, None] * len(self._folded) + folded, self._refused)
    repeated = (folded[:, :, None] == self._folded[chosen][:, None, :]).any(axis=2)
    return ~refused & ~repeated & self._rules.allow(sources, candidates, chosen)

  def _too_few(self, number: int, count: int) -> SymtuneError:
    source = self._sources[number]
    pool = source.pool
    assert pool is not None, "only words of a pool can be too few"
    free = len(pool.folds.keys() - pool.relevant_words(source.labels))
    return SymtuneError(
      f"{pool.split} symbol pool: got {free} usable symbols for {count} labels "
      f"{list(source.labels)} with {pool.rules}, expected many more. Raise "
      f"size_per_category, add categories (now {[str(c) for c in pool.symbols]}) or "
      f"drop a rule."
    )


class _RuleTable:
  """What the rules of pools say of two symbols."""

  def __init__(self, sources: Sequence[WordSource], pools: Sequence[SymbolPool]):
    rules = [None if s.pool is None else s.pool.rules for s in sources]
    prefix_free = [rule is not None and rule.prefix_free for rule in rules]
    same_length = [rule is not None and rule.same_length for rule in rules]
    self._prefix_free = np.asarray(prefix_free, bool)
    self._same_length = np.asarray(same_length, bool)
    self._any = bool((self._prefix_free | self._same_length).any())
    if self._any:
      self._ids, self._lengths = _pad([ids for p in pools for ids in _encode_all(p)])

  def allow(
    self,
    sources: Int64[np.ndarray, "open"],
    candidates: Int64[np.ndarray, "open candidates"],
    chosen: Int64[np.ndarray, "open slots"],
  ) -> Bool[np.ndarray, "open candidates"]:
    """Whether candidates go with all the symbols that were chosen before them."""
    allowed = np.ones(candidates.shape, bool)
    for slot in range(chosen.shape[1] if self._any else 0):
      other = chosen[:, slot, None]
      unlike = self._lengths[candidates] != self._lengths[other]
      shared = np.minimum(self._lengths[candidates], self._lengths[other])
      same = self._ids[candidates] == self._ids[other]
      beyond = np.arange(self._ids.shape[1]) >= shared[:, :, None]
      begins = (same | beyond).all(axis=2)
      allowed &= ~(self._same_length[sources][:, None] & unlike)
      allowed &= ~(self._prefix_free[sources][:, None] & begins)
    return allowed


def draw_symbols(
  rng: np.random.Generator, words: LabelWords, count: int
) -> tuple[str, ...]:
  """`count` different symbols of the only source of `words`, for a prompt by itself.

  Args:
    rng: draws the candidates; used up.
    words: of one source, which has a pool.
    count: how many.

  Raises:
    SymtuneError: the pool has too few admissible symbols.
  """

  def blocks(block: int, prompts: np.ndarray) -> np.ndarray:
    del block
    return rng.integers(2**32, size=(len(prompts), BLOCK), dtype=np.uint32)

  drawn = words.draw(np.zeros(1, np.int64), np.asarray([count]), blocks)
  return tuple(words.text(number) for number in drawn.tolist())


def _num_categories(source: WordSource) -> int:
  """How many categories the symbols of a source have; 0 where none are drawn."""
  return 0 if source.pool is None else len(source.pool.symbols)


def _encode_all(pool: SymbolPool) -> list[Int32[np.ndarray, "_tokens"]]:
  """Ids of every symbol of a pool that has rules; empty ones where it has none."""
  if pool.rules is None or pool.vocab is None:
    return [np.zeros(0, np.int32)] * len(pool.folded)
  return [pool.vocab.encode_label(symbol) for symbol in pool.all_symbols()]


def _pad(
  ids: Sequence[Int32[np.ndarray, "_tokens"]],
) -> tuple[Int32[np.ndarray, "words _longest"], Int64[np.ndarray, "words"]]:
  lengths = sizes_of(ids)
  padded = np.full((len(ids), int(lengths.max(initial=0))), -1, np.int32)
  padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(
    [np.zeros(0, np.int32), *ids]
  )
  return padded, lengths
