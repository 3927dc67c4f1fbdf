"""The content of a recipe for In-Context RALM: models, texts, and the grid of cells."""

import dataclasses
import enum
import hashlib
import itertools
import json
from collections.abc import Sequence

from symtune.checks import check_types, parse_choice
from symtune.errors import SymtuneError
from symtune.retrieve.passages import WORDS

_GRID = ("strides", "query_lengths", "passages", "rerank")
# What the hashes of texts and index tell, or rows do.
_IN_HASHES = ("name", "models", "texts", "corpus", "documents", "document_words")


class Rerank(enum.StrEnum):
  """Which of the candidates stand before the text (arXiv 2302.00083, section 6)."""

  NONE = "none"  # no passage: the baseline
  FIRST = "first"  # those that BM25 ranks first
  MODEL = (
    "model"  # those after which the model finds the prefix's last tokens likeliest
  )
  ORACLE = "oracle"  # those after which it finds the tokens likeliest that are scored
  RANDOM = "random"


class Fit(enum.StrEnum):
  """What passages do to the window of tokens that a model sees."""

  OVERWRITE = "overwrite"  # they take the place of its first tokens, as in the paper
  EXTEND = "extend"  # they stand before it, and the model sees more tokens


class Leaks(enum.StrEnum):
  """What is done about test text that the corpus holds."""

  REFUSE = "refuse"
  FORBID = "forbid"  # none of the corpus' documents with such text is retrieved


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
  """One way to score the texts; without passages, only the stride matters.

  Attributes:
    stride: tokens that are scored between two retrievals.
    query_length: tokens before them that make the query.
    passages: how many stand before the text.
    rerank: how they are chosen.
  """

  stride: int
  query_length: int = 0
  passages: int = 0
  rerank: Rerank = Rerank.NONE

  @property
  def title(self) -> str:
    """What tables call it."""
    if self.rerank is Rerank.NONE:
      return f"s={self.stride}, no passage"
    return (
      f"s={self.stride}, l={self.query_length}, {self.passages} x {self.rerank.value}"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RalmRecipe:
  """What is measured; the defaults are the paper's recommendation (section 5).

  Attributes:
    name: of the recipe.
    models: checkpoints, as `symtune probe --checkpoint` takes them.
    texts: text or JSONL files whose documents are scored.
    corpus: text or JSONL files to retrieve from, or one folder of an index.
    strides: tokens that are scored between two retrievals.
    query_lengths: tokens of the query.
    passages: how many stand before the text; the best one last.
    rerank: how they are chosen among the candidates; values of `Rerank`.
    candidates: how many BM25 ranks are looked at.
    rerank_tokens: the last tokens of the prefix that MODEL scores.
    window: most tokens that a model sees, without passages if they extend it.
    passage_words: words of a passage.
    passage_tokens: most tokens of a passage; the rest is cut off.
    fit: `Fit` or its value.
    leaks: `Leaks` or its value.
    forbidden: ids of documents that are never retrieved.
    documents: how many of the texts are scored, the first ones; all unless given.
    document_words: how many words of each text are scored, the first ones; all unless
      given. White space separates words.
    seed: of what RANDOM draws.
  """

  name: str = "ralm"
  models: Sequence[str] = ()
  texts: Sequence[str] = ()
  corpus: Sequence[str] = ()
  strides: Sequence[int] = (4,)
  query_lengths: Sequence[int] = (32,)
  passages: Sequence[int] = (1,)
  rerank: Sequence[str] = ("first",)
  candidates: int = 16
  rerank_tokens: int = 16
  window: int = 1024
  passage_words: int = WORDS
  passage_tokens: int = 256
  fit: str = Fit.OVERWRITE.value
  leaks: str = Leaks.REFUSE.value
  forbidden: Sequence[str] = ()
  documents: int | None = None
  document_words: int | None = None
  seed: int = 0

  def __post_init__(self):
    check_types(self)
    for name in _GRID:
      values = getattr(self, name)
      if not values or len(set(values)) < len(values):
        raise SymtuneError(f"ralm: {name} is {list(values)}, expected different ones.")
    counts = {
      name: getattr(self, name)
      for name in ("candidates", "rerank_tokens", "passage_words", "passage_tokens")
    }
    for name in ("documents", "document_words"):
      value = getattr(self, name)
      counts[name] = 1 if value is None else value
    for name in ("strides", "query_lengths", "passages"):
      counts[name] = min(getattr(self, name))
    for name, value in counts.items():
      if value < 1:
        raise SymtuneError(f"ralm: {name} is {value}, expected 1 or more.")
    self._check_window()
    _ = self.cells, self.leak_policy  # refuses unknown names

  def _check_window(self) -> None:
    taken = max(self.strides)
    if Rerank.MODEL in self.rerank:
      taken = max(taken, self.rerank_tokens)
    if self.fits is Fit.OVERWRITE:
      taken += max(self.passages) * self.passage_tokens
    if taken >= self.window:
      raise SymtuneError(
        f"ralm: window is {self.window}, expected more than {taken}, the tokens of the "
        "passages and of what is scored behind them. Raise it, or lower passage_tokens."
      )
    if max(self.passages) > self.candidates:
      raise SymtuneError(
        f"ralm: got {max(self.passages)} passages of {self.candidates} candidates. "
        "Raise candidates."
      )

  def check_given(self) -> None:
    """Refuses a recipe without models, texts or corpus, which options may add.

    Raises:
      SymtuneError: names the option.
    """
    for name, option in (("models", "model"), ("texts", "text"), ("corpus", "corpus")):
      if not getattr(self, name):
        raise SymtuneError(f"ralm: got no {name}, expected some. Give --{option}.")

  @property
  def cells(self) -> tuple[Cell, ...]:
    """The grid; the cell without passages comes first for each stride."""
    ways = [parse_choice(Rerank, way, "ralm.rerank") for way in self.rerank]
    if Rerank.NONE in ways:
      raise SymtuneError("ralm: the baseline 'none' is always measured; leave it out.")
    grid = itertools.product(self.query_lengths, self.passages, ways)
    cells = [Cell(query_length=q, passages=p, rerank=w, stride=1) for q, p, w in grid]
    return tuple(
      dataclasses.replace(cell, stride=stride)
      for stride in self.strides
      for cell in (Cell(stride=stride), *cells)
    )

  @property
  def fits(self) -> Fit:
    """How passages fit into the window."""
    return parse_choice(Fit, self.fit, "ralm.fit")

  @property
  def leak_policy(self) -> Leaks:
    """What is done about test text in the corpus."""
    return parse_choice(Leaks, self.leaks, "ralm.leaks")


def recipe_to_json(recipe: RalmRecipe) -> str:
  """Canonical JSON of every setting."""
  return json.dumps(dataclasses.asdict(recipe), sort_keys=True, indent=2)


def config_hash(recipe: RalmRecipe, texts: str, corpus: str) -> str:
  """16 hexadecimal digits that identify what the rows of a cell depend on.

  The grid and the models are not part of it: more can be added to the same folder.

  Args:
    recipe: all settings.
    texts: hash of the documents that are scored.
    corpus: hash of the index.
  """
  plain = dataclasses.asdict(recipe)
  for name in (*_GRID, *_IN_HASHES):
    del plain[name]
  text = json.dumps([plain, texts, corpus], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
