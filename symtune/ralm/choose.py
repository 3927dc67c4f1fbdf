"""Strides of a document -> the passages before each: retrieved, and reranked."""

import dataclasses
from collections.abc import Callable, Collection, Sequence

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.ralm.settings import Cell, RalmRecipe, Rerank
from symtune.ralm.spans import Ids, Span, TokenModel
from symtune.ralm.strides import (
  Placed,
  Stride,
  first_scored,
  make_spans,
  window_start,
)
from symtune.retrieve.index import Found, PassageIndex


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
  """The passages before a stride.

  Attributes:
    found: the passages, the best one last; none if nothing was found.
    read: tokens that the model read to choose them.
  """

  found: tuple[Found, ...] = ()
  read: int = 0


class Chooser:
  """Chooses the passages of the strides of one model and recipe."""

  def __init__(
    self,
    model: TokenModel,
    index: PassageIndex,
    recipe: RalmRecipe,
    forbidden: Collection[str],
  ):
    """Takes what the choice depends on, and the documents that are never retrieved."""
    self._model, self._index, self._recipe = model, index, recipe
    self._forbidden = forbidden
    self._ids: dict[int, Ids] = {}

  def choose(
    self, document: str, tokens: Ids, strides: Sequence[Stride], cell: Cell
  ) -> list[Chosen]:
    """The passages before each stride of a document.

    Args:
      document: its id.
      tokens: its tokens.
      strides: its strides.
      cell: how many passages, by which queries, and how they are chosen.
    """
    if cell.rerank is Rerank.NONE:
      return [Chosen() for _ in strides]
    queries = [query_of(self._model, tokens, stride, cell) for stride in strides]
    found = self._index.search_all(queries, self._recipe.candidates, self._forbidden)
    if cell.rerank is Rerank.FIRST:
      return [Chosen(found=tuple(some[: cell.passages][::-1])) for some in found]
    if cell.rerank is Rerank.RANDOM:
      return [
        Chosen(found=self._draw(document, stride, some, cell.passages))
        for stride, some in zip(strides, found, strict=True)
      ]
    way = self._last_tokens if cell.rerank is Rerank.MODEL else lambda stride: stride
    return self._rerank(tokens, strides, found, cell.passages, way)

  def passage_ids(self, found: Sequence[Found]) -> Ids:
    """Token ids of passages as they stand before a text: each with a line break."""
    parts = [np.zeros(0, np.int32), *(self._ids_of(one.number) for one in found)]
    return np.concatenate(parts)

  def _ids_of(self, number: int) -> Ids:
    if number not in self._ids:
      text = self._index.passage(number).shown + "\n"
      self._ids[number] = self._model.ids(text)[: self._recipe.passage_tokens]
    return self._ids[number]

  def _draw(
    self, document: str, stride: Stride, found: Sequence[Found], count: int
  ) -> tuple[Found, ...]:
    rng = keyed_generator(self._recipe.seed, "passages", document, stride.start)
    return tuple(found[i] for i in rng.permutation(len(found))[:count])

  def _last_tokens(self, stride: Stride) -> Stride:
    """The last tokens before a stride; none if there are none that can be scored."""
    first = first_scored(self._model)
    start = max(first, stride.start - self._recipe.rerank_tokens)
    return Stride(start, max(start, stride.start))

  def _rerank(
    self,
    tokens: Ids,
    strides: Sequence[Stride],
    found: Sequence[Sequence[Found]],
    count: int,
    way: Callable[[Stride], Stride],
  ) -> list[Chosen]:
    """Orders the candidates by the probability that they give some tokens.

    Args:
      tokens: of the document.
      strides: what is scored later.
      found: the candidates of each stride, in BM25's order.
      count: how many are taken.
      way: the tokens by which the candidates of a stride are ordered.
    """
    spans: list[list[Span]] = []
    for stride, some in zip(strides, found, strict=True):
      scored = way(stride)
      some = some if scored.end > scored.start else ()
      spans.append([self._span(tokens, scored, one) for one in some])
    scores = iter(self._model.score([span for some in spans for span in some]))
    chosen = []
    for some, mine in zip(found, spans, strict=True):
      sums = [float(next(scores).sum()) for _ in mine]
      order = np.argsort(-np.asarray(sums or [0.0] * len(some)), kind="stable")
      best = tuple(some[i] for i in order[:count][::-1])
      read = sum(len(span.context) + len(span.target) for span in mine)
      chosen.append(Chosen(found=best, read=read))
    return chosen

  def _span(self, tokens: Ids, stride: Stride, one: Found) -> Span:
    placed = self.place(stride, self.passage_ids([one]))
    return next(make_spans(self._model, tokens, [placed]))[0]

  def place(self, stride: Stride, passage: Ids) -> Placed:
    """A stride behind passages, with as much of its document as the window holds."""
    window, fit = self._recipe.window, self._recipe.fits
    start = window_start(self._model, stride, len(passage), window, fit)
    return Placed(stride, passage, start)


def query_of(model: TokenModel, tokens: Ids, stride: Stride, cell: Cell) -> str:
  """The text of the last tokens before a stride; "" if there are none."""
  start = max(0, stride.start - cell.query_length)
  return model.text(tokens[start : stride.start].tolist())
