"""Pools of arbitrary symbols for labels; tuning and evaluation pools are disjoint.

Three categories and their sizes are those of Wei et al. 2023 (section 3.1 and appendix
E.1): integers, character combinations and words, 10,000 of each for tuning and about
90,000 of each held out for evaluation. Nonce words ("bakole") are a fourth category of
the same sizes, off by default; its symbols are equally long in both pools. The
requirements on every pool are in data/text/symbol_contract.py.
"""

import collections
import dataclasses
import enum
import functools
import hashlib
import itertools
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from symtune.cards.resources import resource_dir
from symtune.cards.strict_yaml import read_yaml
from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError

TUNING_SIZE = 10_000
EVALUATION_SIZE = 90_000

# The paper took its words from two lists that are no longer served. Ours are the most
# frequent lower-case ASCII words of wordfreq 3.1.1, three letters or more, frozen here.
_WORDS_SHA256 = "0b27741007bbef6a3b0903191f48612d7bfccb434e86831f7c88500f7ef5b929"
SYLLABLES = tuple(c + v for c in "bcdfghjklmnprstvwxyz" for v in "aeiou")
# Coprime to the number of three-syllable words, 100 ** 3, so it visits all of them.
_NONCE_STRIDE = 611_953
_NONCE_SHA256 = "d3234b596a66b2cd655dbb9f33a3478f4046a2c7381167fbb572315291295e33"


class SymbolCategory(enum.StrEnum):
  """What a symbol looks like."""

  INTEGERS = "integers"
  COMBINATIONS = "combinations"
  WORDS = "words"
  NONCE = "nonce"


# The paper's categories; nonce words are our addition, off by default.
ALL_CATEGORIES = (
  SymbolCategory.INTEGERS,
  SymbolCategory.COMBINATIONS,
  SymbolCategory.WORDS,
)


class PoolSplit(enum.StrEnum):
  """Which side of the held-out split a pool is on."""

  TUNING = "tuning"
  EVALUATION = "evaluation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymbolRules:
  """What the symbols of one prompt must satisfy together; nothing by default.

  Attributes:
    prefix_free: no symbol's tokens start with all of another's, as "123" and "12" do.
    same_length: all have the same number of tokens, so that sums of log-probabilities
      compare symbols of equal length.
  """

  prefix_free: bool = False
  same_length: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymbolPool:
  """Symbols by category, in a fixed order.

  Attributes:
    split: tuning or evaluation.
    symbols: by category.
    synonyms: words that may not stand for a class, by words of its label.
    rules: what the symbols of one prompt must satisfy together, if anything.
    vocab: the tokenizer; needed by rules only.
  """

  split: PoolSplit
  symbols: Mapping[SymbolCategory, tuple[str, ...]]
  synonyms: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  rules: SymbolRules | None = None
  vocab: Vocab | None = None

  def all_symbols(self) -> tuple[str, ...]:
    """Every symbol, category by category."""
    return tuple(symbol for group in self.symbols.values() for symbol in group)

  def relevant_words(self, labels: tuple[str, ...]) -> frozenset[str]:
    """Words that may not stand for a class of a task with these labels; see below."""
    found = self._relevant.get(labels)
    if found is None:
      found = frozenset(relevant_words(labels, self.synonyms))
      self._relevant[labels] = found
    return found

  def only(self, category: SymbolCategory) -> "SymbolPool":
    """The pool reduced to one category; raises KeyError if it has no such category."""
    found = self._parts.get(category)
    if found is None:
      part = {category: self.symbols[category]}
      found = self._parts[category] = dataclasses.replace(self, symbols=part)
    return found

  @functools.cached_property
  def folds(self) -> dict[str, int]:
    """A number for every symbol; symbols that differ only in case share it."""
    numbers: dict[str, int] = {}
    for symbol in self.all_symbols():
      numbers.setdefault(symbol.casefold(), len(numbers))
    return numbers

  @functools.cached_property
  def folded(self) -> Int64[np.ndarray, "symbols"]:
    """The number in `folds` of every symbol, in the order of `all_symbols`."""
    folds = self.folds
    return np.asarray([folds[s.casefold()] for s in self.all_symbols()], np.int64)

  # Caches: tasks and probes ask for the same values again and again.
  @functools.cached_property
  def _relevant(self) -> dict[tuple[str, ...], frozenset[str]]:
    return {}

  @functools.cached_property
  def _parts(self) -> "dict[SymbolCategory, SymbolPool]":
    return {}


def make_pool(
  split: PoolSplit,
  categories: Sequence[SymbolCategory] = ALL_CATEGORIES,
  size_per_category: int | None = None,
  *,
  synonyms: Mapping[str, tuple[str, ...]] | None = None,
  rules: SymbolRules | None = None,
  vocab: Vocab | None = None,
) -> SymbolPool:
  """The first `size_per_category` symbols of each category on one side of the split.

  Args:
    split: tuning or evaluation; the two never share a symbol.
    categories: which kinds of symbols; ablation B.6 of the paper varies this.
    size_per_category: at most 10,000 (tuning) or 90,000 (evaluation), the default;
      ablation B.5 of the paper varies this.
    synonyms: from `read_synonyms`; the shipped list by default.
    rules: what the symbols of one prompt must satisfy together.
    vocab: the model's vocabulary; needed by rules only.

  Returns:
    The pool.

  Raises:
    SymtuneError: no category, a repeated category, a size out of range, or rules
      without a vocabulary.
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
      f"at least one of {[str(c) for c in SymbolCategory]}, each at most once."
    )
  rules = None if rules == SymbolRules() else rules
  if rules is not None and vocab is None:
    raise SymtuneError(f"{split} symbol pool: its rules need a vocabulary: give one.")
  start = 0 if split is PoolSplit.TUNING else TUNING_SIZE
  return SymbolPool(
    split=split,
    symbols={c: _make_symbols(c, start, start + size) for c in categories},
    synonyms=read_synonyms() if synonyms is None else synonyms,
    rules=rules,
    vocab=vocab,
  )


def match_lengths(pool: SymbolPool, like: SymbolPool, vocab: Vocab) -> SymbolPool:
  """The pool reduced to symbols that are as long in tokens as those of another.

  Rare words have more tokens than frequent ones: with T5's vocabulary the words of the
  tuning pool have 1.5 on average, those of the evaluation pool 3.0. Of every category
  the first symbols of each length are kept, in the shares of the other pool. Lengths
  that the pool does not have are left out.

  Args:
    pool: such as the evaluation pool.
    like: such as the tuning pool; has the same categories.
    vocab: the model's vocabulary.

  Raises:
    SymtuneError: no symbol of a category is as long as any of the other pool.
  """
  symbols: dict[SymbolCategory, tuple[str, ...]] = {}
  for category, group in pool.symbols.items():
    wanted = collections.Counter(
      len(vocab.encode_label(s)) for s in like.symbols[category]
    )
    lengths = [len(vocab.encode_label(s)) for s in group]
    there = collections.Counter(lengths)
    shares = [there[n] / count for n, count in wanted.items() if there[n]]
    if not shares:
      raise SymtuneError(
        f"{pool.split} symbol pool: got {category} of {sorted(there)} tokens, expected "
        f"some of {sorted(wanted)}, as in the {like.split} pool. Leave the category "
        f"out (symbols.categories), or set symbols.match_lengths = False."
      )
    left = {n: round(count * min(shares)) for n, count in wanted.items()}
    kept: list[str] = []
    for symbol, length in zip(group, lengths, strict=True):
      if left.get(length, 0) > 0:
        left[length] -= 1
        kept.append(symbol)
    symbols[category] = tuple(kept)
  return dataclasses.replace(pool, symbols=symbols)


@functools.cache
def read_synonyms(path: pathlib.Path | None = None) -> Mapping[str, tuple[str, ...]]:
  """Words with a meaning close to a label word, by that word; all case-folded.

  Args:
    path: a file like `tasks/symbols/synonyms.yaml`, whose words are added to it.

  Raises:
    SymtuneError: the file is missing or malformed.
  """
  shipped = resource_dir("tasks") / "symbols" / "synonyms.yaml"
  found: dict[str, tuple[str, ...]] = {}
  for file in (shipped,) if path is None else (shipped, path):
    keys = read_yaml(file)
    for word in keys.values:
      folded = str(word).casefold()
      more = tuple(text.casefold() for text in keys.texts(word))
      found[folded] = (*found.get(folded, ()), *more)
  return found


def relevant_words(
  labels: Iterable[str], synonyms: Mapping[str, tuple[str, ...]]
) -> set[str]:
  """Case-folded labels, the words that make them up, and synonyms of both."""
  words: set[str] = set()
  for label in labels:
    words |= {label.casefold(), *_split_words(label)}
  return words.union(*(synonyms.get(word, ()) for word in words))


@functools.cache
def _split_words(label: str) -> tuple[str, ...]:
  return tuple(word for word in re.split(r"\W+", label.casefold()) if word)


def check_disjoint(tuning: SymbolPool, evaluation: SymbolPool, vocab: Vocab) -> None:
  """Refuses pools that share a symbol, as strings or as token sequences.

  Args:
    tuning: symbols that the model is tuned on.
    evaluation: symbols that it is probed with.
    vocab: the model's vocabulary; two strings may tokenize alike.

  Raises:
    SymtuneError: the pools share symbols, or a symbol has unknown pieces.
  """
  seen = dict(_encode_all(tuning, vocab))
  shared = [
    f"{symbol!r} and {seen[ids]!r}"
    for ids, symbol in _encode_all(evaluation, vocab)
    if ids in seen
  ]
  if shared:
    raise SymtuneError(
      f"evaluation symbols are in the tuning pool: {len(shared)} tokenize alike, for "
      f"example {', '.join(shared[:3])}. Use disjoint pools."
    )


def _encode_all(pool: SymbolPool, vocab: Vocab) -> Iterable[tuple[bytes, str]]:
  for symbol in pool.all_symbols():
    ids = vocab.encode_label(symbol)
    if not len(ids) or (ids == vocab.unk_id).any():
      raise SymtuneError(
        f"{pool.split} symbol {symbol!r} has a piece that is not in the vocabulary. "
        f"Leave its category out, or use a vocabulary that covers it."
      )
    yield ids.tobytes(), symbol


@functools.cache
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
def _frequent_words() -> tuple[str, ...]:
  """The 100,000 most frequent words, most frequent first, checked by hash."""
  is_plain = re.compile("[a-z]{3,}").fullmatch
  plain = filter(is_plain, _word_list())
  chosen = tuple(itertools.islice(plain, TUNING_SIZE + EVALUATION_SIZE))
  _check_frozen("symbol words", chosen, _WORDS_SHA256)
  return chosen


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
  _check_frozen("nonce words", tuple(words), _NONCE_SHA256)
  return tuple(words)


def draw_nonce_words(rng: np.random.Generator, count: int) -> tuple[str, ...]:
  """`count` distinct nonce words from the evaluation side.

  Args:
    rng: a generator for this draw alone.
    count: number of words, at most 90,000.
  """
  words = _nonce_words()[TUNING_SIZE:]
  chosen = rng.choice(len(words), size=count, replace=False)
  return tuple(words[int(i)] for i in chosen)


def _word_list() -> Iterable[str]:
  """English words, most frequent first."""
  import wordfreq  # reads a 3 MB list, so import it only where needed

  return wordfreq.iter_wordlist("en", wordlist="large")


def _check_frozen(name: str, symbols: tuple[str, ...], sha256: str) -> None:
  digest = hashlib.sha256("\n".join(symbols).encode()).hexdigest()
  if digest != sha256:
    raise SymtuneError(
      f"{name}: got a list with SHA-256 {digest[:12]}..., expected {sha256[:12]}... "
      f"Install the pinned release: wordfreq==3.1.1."
    )
