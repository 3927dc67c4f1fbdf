"""Which tokens are scored, and what stands before them."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.probe.run import CheckpointLabel
from symtune.ralm.settings import Fit
from symtune.ralm.spans import TokenModel
from symtune.ralm.strides import (
  Placed,
  Stride,
  cut_strides,
  first_scored,
  make_spans,
  window_start,
)


def token_model(is_causal=True, start=(), end=()):
  return TokenModel(
    label=CheckpointLabel(name="none", step=0),
    is_causal=is_causal,
    positions=1000,
    start=start,
    end=end,
    ids=lambda text: np.zeros(0, np.int32),
    text=str,
    score=lambda spans: [],
  )


def place(model, strides, passage, window, fit):
  ids = np.arange(900, 900 + passage, dtype=np.int32)
  return [Placed(s, ids, window_start(model, s, passage, window, fit)) for s in strides]


def test_strides_are_those_of_the_docstring():
  model = token_model()
  strides = cut_strides(10, 3, first_scored(model))
  assert strides == [Stride(1, 4), Stride(4, 7), Stride(7, 10)]
  starts = [window_start(model, s, 0, 8, Fit.OVERWRITE) for s in strides]
  assert starts == [0, 0, 2]
  assert window_start(model, strides[1], 2, 8, Fit.OVERWRITE) == 1
  assert window_start(model, strides[1], 2, 8, Fit.EXTEND) == 0


@hypothesis.given(
  length=st.integers(0, 60),
  stride=st.integers(1, 9),
  passage=st.integers(0, 7),
  window=st.integers(18, 40),
  fit=st.sampled_from(Fit),
  kind=st.sampled_from(["causal", "with BOS", "encoder-decoder"]),
)
def test_the_same_tokens_are_scored_once_inside_the_window(
  length, stride, passage, window, fit, kind
):
  model = {
    "causal": token_model(),
    "with BOS": token_model(start=(999,)),
    "encoder-decoder": token_model(is_causal=False, end=(998,)),
  }[kind]
  tokens = np.arange(length, dtype=np.int32)
  strides = cut_strides(length, stride, first_scored(model))
  placed = place(model, strides, passage, window, fit)
  spans = list(make_spans(model, tokens, placed))
  assert sum(count for _, count in spans) == len(strides)
  scored = [token for span, _ in spans for token in span.target.tolist()]
  assert scored == list(range(first_scored(model), length))
  limit = window + (passage if fit is Fit.EXTEND else 0)
  for span, _ in spans:
    size = len(span.context) + (len(span.target) if model.is_causal else 0)
    assert size <= limit
    # What stands before the target is the document up to it, without a gap.
    own = [t for t in span.context.tolist() if t < 900]
    assert own == list(range(int(span.target[0]) - len(own), int(span.target[0])))


@pytest.mark.parametrize("is_causal", [True, False])
def test_strides_behind_the_same_passage_are_read_at_once_by_causal_models(is_causal):
  model = token_model(is_causal=is_causal)
  tokens = np.arange(12, dtype=np.int32)
  placed = place(model, cut_strides(12, 3, 0), 2, 40, Fit.OVERWRITE)
  other = placed[3]._replace(passage=np.asarray([5], np.int32))
  counts = [count for _, count in make_spans(model, tokens, [*placed[:3], other])]
  assert counts == ([3, 1] if is_causal else [1, 1, 1, 1])
