"""What is scored at once, and what a model has to do for it: arrays in, arrays out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from symtune.probe.run import CheckpointLabel

Ids = Int32[np.ndarray, "_ids"]
Nats = Float64[np.ndarray, "_nats"]


class Span(NamedTuple):
  """What is scored at once.

  Attributes:
    context: what the model reads before it.
    target: the tokens to score, at least one.
  """

  context: Ids
  target: Ids


class TokenModel(NamedTuple):
  """A model and its tokenizer, as functions of token ids.

  Attributes:
    label: its name, size and identity.
    is_causal: whether the score of a token depends on nothing after it, so that the
      tokens of several spans can be scored as those of one.
    positions: most tokens of a context with its target, or of a context of an encoder.
    start: ids that stand before every context.
    end: ids that stand after every context, in an encoder.
    ids: text -> token ids, without control tokens.
    text: token ids -> text.
    score: log p of every token of every target, in nats.
  """

  label: CheckpointLabel
  is_causal: bool
  positions: int
  start: tuple[int, ...]
  end: tuple[int, ...]
  ids: Callable[[str], Ids]
  text: Callable[[Sequence[int]], str]
  score: Callable[[Sequence[Span]], list[Nats]]
