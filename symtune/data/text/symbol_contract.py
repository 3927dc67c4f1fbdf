"""What a vocabulary requires of symbols: known, distinct as tokens, in one pool only.

Symbol pools make promises to a model: two classes never have the same tokens,
evaluation symbols were never seen in tuning, and the vocabulary knows every piece of a
symbol. Whether these hold depends on the vocabulary, so each vocabulary is checked.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from symtune.cards.card import TaskCard
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  relevant_words,
)
from symtune.data.text.vocab import Vocab


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupReport:
  """One category of one pool, tokenized with a vocabulary.

  Attributes:
    split: tuning or evaluation.
    category: kind of symbol.
    count: number of symbols.
    unknown: symbols with a piece that the vocabulary does not know.
    lengths: number of symbols by their number of tokens.
    sha256: SHA-256 of the list, one symbol per line.
  """

  split: PoolSplit
  category: SymbolCategory
  count: int
  unknown: tuple[str, ...]
  lengths: Mapping[int, int]
  sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContractReport:
  """All pools, tokenized with a vocabulary.

  Attributes:
    groups: a report on each category of each pool.
    same_tokens: pairs of symbols, from any pools, that have the same tokens.
    shared: symbols that are in two pools.
    relevant: symbols that are too close to a label of a card, by card. They do not
      break the contract: another symbol is drawn in their place.
  """

  groups: tuple[GroupReport, ...]
  same_tokens: tuple[tuple[str, str], ...]
  shared: tuple[str, ...]
  relevant: Mapping[str, tuple[str, ...]]

  @property
  def holds(self) -> bool:
    """Whether the pools can be used with the vocabulary."""
    unknown = any(group.unknown for group in self.groups)
    return not (unknown or self.same_tokens or self.shared)


def check_contract(
  pools: Sequence[SymbolPool], cards: Iterable[TaskCard], vocab: Vocab
) -> ContractReport:
  """Tokenizes every symbol of every pool.

  Args:
    pools: the pools, such as the tuning and the evaluation pool.
    cards: tasks whose labels symbols must not be close to.
    vocab: the model's vocabulary.

  Returns:
    The report.
  """
  groups: list[GroupReport] = []
  owner_by_ids: dict[bytes, str] = {}
  pools_by_symbol: dict[str, set[PoolSplit]] = collections.defaultdict(set)
  same: list[tuple[str, str]] = []
  for pool in pools:
    for category, symbols in pool.symbols.items():
      unknown: list[str] = []
      lengths: collections.Counter[int] = collections.Counter()
      for symbol in symbols:
        ids = vocab.encode_label(symbol)
        lengths[len(ids)] += 1
        if not len(ids) or (ids == vocab.unk_id).any():
          unknown.append(symbol)
        other = owner_by_ids.setdefault(ids.tobytes(), symbol)
        if other != symbol:
          same.append((other, symbol))
        pools_by_symbol[symbol].add(pool.split)
      groups.append(
        GroupReport(
          split=pool.split,
          category=category,
          count=len(symbols),
          unknown=tuple(unknown),
          lengths=dict(sorted(lengths.items())),
          sha256=hashlib.sha256("\n".join(symbols).encode()).hexdigest(),
        )
      )
  return ContractReport(
    groups=tuple(groups),
    same_tokens=tuple(same),
    shared=tuple(s for s, splits in pools_by_symbol.items() if len(splits) > 1),
    relevant=_relevant(pools, cards, pools_by_symbol),
  )


def _relevant(
  pools: Sequence[SymbolPool],
  cards: Iterable[TaskCard],
  known: Mapping[str, set[PoolSplit]],
) -> dict[str, tuple[str, ...]]:
  synonyms = pools[0].synonyms if pools else {}
  by_folded: dict[str, list[str]] = collections.defaultdict(list)
  for symbol in known:
    by_folded[symbol.casefold()].append(symbol)
  near = {c.name: relevant_words(c.labels, synonyms) for c in cards}
  return {
    name: tuple(sorted(s for word in words for s in by_folded.get(word, ())))
    for name, words in near.items()
  }
