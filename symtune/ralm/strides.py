"""Tokens of a document -> strides: what is scored, and how much stands before it.

With strides of s = 3 tokens, a window of 8 and no BOS, a document of 10 tokens:

  tokens    0 1 2 3 4 5 6 7 8 9
  stride 0  . t t t                 token 0 has nothing before it: it is not scored
  stride 1  . . . . t t t
  stride 2      . . . . . t t t     the window of the last token: 0 and 1 are left out

With a passage of two tokens that overwrites the window, the same tokens are scored:

  stride 1  p p . . . t t t         of tokens 1 to 6
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from symtune.ralm.settings import Fit
from symtune.ralm.spans import Ids, Span, TokenModel


class Stride(NamedTuple):
  """Tokens of a document that are scored behind the same passages.

  Attributes:
    start: place of the first one.
    end: place behind the last one.
  """

  start: int
  end: int


def cut_strides(length: int, stride: int, first: int) -> list[Stride]:
  """The strides of a document, in their order.

  Args:
    length: tokens of the document.
    stride: tokens of a stride; the last one may be shorter.
    first: place of the first token that is scored: 0, or 1 if nothing stands before a
      document, since a causal model gives a first token no probability.
  """
  starts = range(first, length, stride)
  return [Stride(start, min(start + stride, length)) for start in starts]


def first_scored(model: TokenModel) -> int:
  """The place of the first token of a document that a model can score."""
  return 1 if model.is_causal and not model.start else 0


def window_start(
  model: TokenModel, stride: Stride, passage: int, window: int, fit: Fit
) -> int:
  """The place of the first token of the document that stands before a stride.

  Args:
    model: an encoder-decoder's window holds the context alone.
    stride: what is scored.
    passage: tokens of the passages.
    window: most tokens that the model sees.
    fit: whether the passages count among them.
  """
  taken = len(model.start) + len(model.end)
  taken += passage if fit is Fit.OVERWRITE else 0
  end = stride.end if model.is_causal else stride.start
  return max(0, end - (window - taken))


class Placed(NamedTuple):
  """A stride with what stands before it.

  Attributes:
    stride: what is scored.
    passage: token ids of the passages.
    start: place of the first token of the document in its context.
  """

  stride: Stride
  passage: Ids
  start: int


def make_spans(
  model: TokenModel, tokens: Ids, placed: Sequence[Placed]
) -> Iterator[tuple[Span, int]]:
  """What a model reads to score strides one after another.

  A causal model reads strides with the same passages and window start at once, since a
  token's score does not depend on later ones.

  Args:
    model: the model.
    tokens: of the document.
    placed: successive strides.

  Yields:
    A span, and the number of strides whose tokens are its target.
  """
  first = 0
  while first < len(placed):
    here, end = placed[first], first + 1
    while model.is_causal and end < len(placed) and _is_same(here, placed[end]):
      end += 1
    yield _make_span(model, tokens, here, placed[end - 1].stride.end), end - first
    first = end


def _is_same(a: Placed, b: Placed) -> bool:
  return a.start == b.start and np.array_equal(a.passage, b.passage)


def _make_span(model: TokenModel, tokens: Ids, placed: Placed, end: int) -> Span:
  start = placed.stride.start
  parts = (model.start, placed.passage, tokens[placed.start : start], model.end)
  context = np.concatenate([np.asarray(part, np.int32) for part in parts])
  return Span(context, tokens[start:end])
