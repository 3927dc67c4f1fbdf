"""Pools of arbitrary symbols for labels; tuning and evaluation pools are disjoint.

The three categories and their sizes are those of Wei et al. 2023 (section 3.1 and
appendix E.1): integers, character combinations and words, 10,000 of each for tuning and
about 90,000 of each held out for evaluation. Nonce words ("bakole") are a fourth
category of the same sizes, whose symbols are equally long in both pools.
"""

import dataclasses
import enum
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from symtune.data.vocab import Vocab
from symtune.errors import SymtuneError

TUNING_SIZE = 10_000
EVALUATION_SIZE = 90_000

# The paper took its words from two lists that are no longer served. Ours are the most
# frequent lower-case ASCII words of wordfreq 3.1.1, three letters or more, frozen here.
_WORDS_SHA256 = "0b27741007bbef6a3b0903191f48612d7bfccb434e86831f7c88500f7ef5b929"
_MAX_REJECTIONS = 1_000

SYLLABLES = tuple(c + v for c in "bcdfghjklmnprstvwxyz" for v in "aeiou")
# Coprime to the number of three-syllable words, 100 ** 3: walks through all of them.
_NONCE_STRIDE = 611_953


class SymbolCategory(enum.StrEnum):
  """What a symbol looks like."""

  INTEGERS = "integers"
  COMBINATIONS = "combinations"
  WORDS = "words"
  NONCE = "nonce"


# The paper's; nonce words are ours, for those who ask for them.
ALL_CATEGORIES = (
  SymbolCategory.INTEGERS,
  SymbolCategory.COMBINATIONS,
  SymbolCategory.WORDS,
)


class PoolSplit(enum.StrEnum):
  """Which side of the held-out split a pool stands on."""

  TUNING = "tuning"
  EVALUATION = "evaluation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymbolPool:
  """Symbols by category, in a fixed order."""

  split: PoolSplit
  symbols: Mapping[SymbolCategory, tuple[str, ...]]

  def all_symbols(self) -> tuple[str, ...]:
    """Every symbol, category by category."""
    return tuple(symbol for group in self.symbols.values() for symbol in group)


def make_pool(
  split: PoolSplit,
  categories: Sequence[SymbolCategory] = ALL_CATEGORIES,
  size_per_category: int | None = None,
) -> SymbolPool:
  """The first `size_per_category` symbols of each category on one side of the split.

  Args:
    split: tuning or evaluation; the two never share a symbol.
    categories: which kinds of symbols; ablation B.6 of the paper varies this.
    size_per_category: at most 10,000 (tuning) or 90,000 (evaluation), the default;
      ablation B.5 of the paper varies this.

  Returns:
    The pool.

  Raises:
    SymtuneError: no category, a category named twice, or a size out of range.
  """
  limit = TUNING_SIZE if split is PoolSplit.TUNING else EVALUATION_SIZE
  size = limit if size_per_category is None else size_per_category
  if not 1 <= size <= limit:
    raise SymtuneError(
      f"{split} symbol pool: got size_per_category {size}, expected 1 to {limit}."
    )
  if not categories or len(set(categories)) != len(categories):
    raise SymtuneError(
      f"{split} symbol pool: got categories {[str(c) for c in categories]}, expected "
      f"at least one of {[str(c) for c in ALL_CATEGORIES]}, each at most once."
    )
  start = 0 if split is PoolSplit.TUNING else TUNING_SIZE
  return SymbolPool(
    split=split,
    symbols={c: _make_symbols(c, start, start + size) for c in categories},
  )


def draw_symbols(
  rng: np.random.Generator, pool: SymbolPool, count: int, labels: Sequence[str]
) -> tuple[str, ...]:
  """`count` distinct symbols: category uniform, then uniform inside it (appendix E.1).

  A symbol that equals a label of the task, or one word of it, is drawn again, whatever
  its case: "positive" must not stand for "Positive Sentiment".

  Args:
    rng: the generator that this draw uses up.
    pool: where symbols come from.
    count: how many.
    labels: the task's label words.

  Returns:
    The symbols, in drawing order.

  Raises:
    SymtuneError: the pool has too few symbols left.
  """
  taken = set(_relevant_words(tuple(labels)))
  groups = tuple(pool.symbols.values())
  drawn: list[str] = []
  for _ in range(_MAX_REJECTIONS):
    group = groups[int(rng.integers(len(groups)))]
    symbol = group[int(rng.integers(len(group)))]
    if symbol.casefold() not in taken:
      taken.add(symbol.casefold())
      drawn.append(symbol)
      if len(drawn) == count:
        return tuple(drawn)
  free = len({s.casefold() for s in pool.all_symbols()} - relevant_words(labels))
  raise SymtuneError(
    f"{pool.split} symbol pool: got {free} usable symbols for {count} labels "
    f"{list(labels)}, expected many more. Raise size_per_category or add categories "
    f"(now {[str(c) for c in pool.symbols]})."
  )


def relevant_words(labels: Iterable[str]) -> set[str]:
  """Case-folded labels and the words they are made of."""
  return set(_relevant_words(tuple(labels)))


@functools.cache
def _relevant_words(labels: tuple[str, ...]) -> frozenset[str]:
  folded = [label.casefold() for label in labels]
  words = {word for label in folded for word in re.split(r"\W+", label)}
  return frozenset({*folded, *words})


def check_disjoint(tuning: SymbolPool, evaluation: SymbolPool, vocab: Vocab) -> None:
  """Refuse pools that share a symbol, as strings or as token sequences.

  Args:
    tuning: symbols that the model is tuned on.
    evaluation: symbols that it is probed with.
    vocab: the model's vocabulary; two strings may tokenize alike.

  Raises:
    SymtuneError: names examples of what is shared, or of symbols with unknown pieces.
  """
  seen = dict(_encode_all(tuning, vocab))
  shared = [
    f"{symbol!r} and {seen[ids]!r}"
    for ids, symbol in _encode_all(evaluation, vocab)
    if ids in seen
  ]
  if shared:
    raise SymtuneError(
      f"evaluation symbols were seen in tuning: {len(shared)} tokenize alike, for "
      f"example {', '.join(shared[:3])}. Use disjoint pools."
    )


def _encode_all(pool: SymbolPool, vocab: Vocab) -> Iterable[tuple[bytes, str]]:
  for symbol in pool.all_symbols():
    ids = vocab.encode(symbol)
    if not len(ids) or (ids == vocab.unk_id).any():
      raise SymtuneError(
        f"{pool.split} symbol {symbol!r} holds a piece that the vocabulary does not "
        f"know. Leave its category out, or use a vocabulary that covers it."
      )
    yield ids.tobytes(), symbol


def _make_symbols(category: SymbolCategory, start: int, stop: int) -> tuple[str, ...]:
  if category is SymbolCategory.INTEGERS:
    return tuple(str(n) for n in range(start, stop))
  if category is SymbolCategory.COMBINATIONS:
    return tuple(_combination(n) for n in range(start, stop))
  if category is SymbolCategory.NONCE:
    return _nonce_words()[start:stop]
  return _frequent_words()[start:stop]


def _combination(n: int) -> str:
  """Bijective base 26 of n + 1: 0 -> A, 25 -> Z, 26 -> AA, 9999 -> NTP."""
  letters = []
  n += 1
  while n:
    n, digit = divmod(n - 1, 26)
    letters.append(chr(ord("A") + digit))
  return "".join(reversed(letters))


@functools.cache
def _nonce_words() -> tuple[str, ...]:
  """100,000 words of three consonant-vowel syllables, not words nor made of one."""
  base = len(SYLLABLES)
  used = set(_frequent_words())
  common = set(_frequent_words()[:TUNING_SIZE])
  words = []
  for i in range(base**3):
    first, rest = divmod(i * _NONCE_STRIDE % base**3, base**2)
    word = SYLLABLES[first] + SYLLABLES[rest // base] + SYLLABLES[rest % base]
    parts = (word, word[:4], word[2:])
    if used.isdisjoint(parts) and word[:3] not in common:
      words.append(word)
      if len(words) == TUNING_SIZE + EVALUATION_SIZE:
        break
  return tuple(words)


@functools.cache
def _frequent_words() -> tuple[str, ...]:
  """The 100,000 most frequent words, most frequent first, checked by hash."""
  import wordfreq  # reads a 3 MB list; only the word category pays for it

  words = wordfreq.top_n_list("en", 10**6, wordlist="large")
  plain = (word for word in words if re.fullmatch("[a-z]{3,}", word))
  chosen = tuple(plain)[: TUNING_SIZE + EVALUATION_SIZE]
  digest = hashlib.sha256("\n".join(chosen).encode()).hexdigest()
  if digest != _WORDS_SHA256:
    raise SymtuneError(
      f"symbol words: got a list with SHA-256 {digest[:12]}..., expected "
      f"{_WORDS_SHA256[:12]}... Install the pinned release: wordfreq==3.1.1."
    )
  return chosen
