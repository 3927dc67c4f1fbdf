"""Label words must differ as token ids, or a model cannot tell the classes apart.

Words that differ as texts may be the same to a model: "№ 1" and "No 1" after the
normaliser, two emoji that are both unknown pieces, words that differ only in characters
that the vocabulary drops. Every choice then has the same probability, and the first
class wins each time.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Integer

from symtune.data.draw.tables import DrawTables
from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError

Encode = Callable[[str], Integer[np.ndarray, "_tokens"]]

_MARKER = "▁"  # SentencePiece's white space before a word


def label_problem(
  words: Sequence[str],
  ids: Sequence[Integer[np.ndarray, "_tokens"]],
  blank_ids: Sequence[int] = (),
) -> str | None:
  """What makes label words unfit to be told apart, or None.

  Args:
    words: the label words that one prompt may offer.
    ids: token ids of each word, with or without EOS.
    blank_ids: ids that carry no text: unknown pieces, white space, EOS.

  Returns:
    The problem, as the end of a sentence that names the owner of the words.
  """
  number_by_ids: dict[tuple[int, ...], int] = {}
  blank = frozenset(blank_ids)
  for number, (word, tokens) in enumerate(zip(words, ids, strict=True)):
    key = tuple(np.asarray(tokens).tolist())
    other = words[number_by_ids.setdefault(key, number)]
    if number_by_ids[key] != number:
      return f"label words {other!r} and {word!r} have the same token ids, {list(key)}"
    if blank.issuperset(key):
      return f"nothing of label word {word!r} is known: its token ids are {list(key)}"
  return None


def vocab_label_problem(
  words: Sequence[str], vocab: Vocab, encode: Encode | None = None
) -> str | None:
  """What makes label words unfit to be told apart with a vocabulary, or None.

  Args:
    words: the label words that one prompt may offer.
    vocab: the model's vocabulary.
    encode: gives the same ids as `vocab.encode_label`, from memory.
  """
  ids = [(encode or vocab.encode_label)(word) for word in words]
  known = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]))
  pieces = zip(known.tolist(), vocab.pieces(known), strict=True)
  blank = [i for i, piece in pieces if piece == _MARKER]
  return label_problem(words, ids, (*blank, vocab.unk_id, vocab.eos_id))


def check_label_ids(
  owner: str, words: Sequence[str], vocab: Vocab, encode: Encode | None = None
) -> None:
  """Refuses label words that a model cannot tell apart.

  Args:
    owner: whose words they are, such as "task rte".
    words: the label words that one prompt may offer.
    vocab: the model's vocabulary.
    encode: gives the same ids as `vocab.encode_label`, from memory.

  Raises:
    SymtuneError: two words have the same ids, or nothing of a word is in the
      vocabulary. The message names owner, words and vocabulary.
  """
  problem = vocab_label_problem(words, vocab, encode)
  if problem:
    raise label_error(owner, problem, f"SHA-256 {vocab.fingerprint[:12]}")


def label_error(owner: str, problem: str, vocabulary: str) -> SymtuneError:
  """The error about a problem that `label_problem` found.

  Args:
    owner: whose words they are, such as "task rte".
    problem: from `label_problem`.
    vocabulary: says which vocabulary or tokenizer, such as its path.
  """
  return SymtuneError(
    f"{owner}: {problem} in the vocabulary ({vocabulary}), expected label words that a "
    f"model can tell apart. Change 'labels' in the card, or the symbols, or use a "
    f"vocabulary that knows the words."
  )


def check_drawn_words(tables: DrawTables, vocab: Vocab) -> None:
  """Refuses entries of a mixture whose prompts may offer words of the same ids.

  Args:
    tables: the entries: tasks with their own words, or with a pool of symbols.
    vocab: the model's vocabulary.

  Raises:
    SymtuneError: see `check_label_ids`.
  """
  pools = {}
  for entry in tables.entries:
    source = entry.word_source
    if source.pool is None:
      check_label_ids(f"task {entry.card.name}", source.labels, vocab)
    else:
      pools[id(source.pool)] = source.pool
  for pool in pools.values():
    owner = f"{pool.split} symbol pool, {', '.join(pool.symbols)}"
    check_label_ids(owner, pool.all_symbols(), vocab)
