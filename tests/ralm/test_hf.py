"""Log-probabilities of tokens from Transformers models."""

import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.experiment.answerers import open_answerers
from symtune.experiment.tokens import Reader
from symtune.probe.answer.hf.spans import score_encoder_decoder
from symtune.ralm.models import token_model
from symtune.ralm.spans import Span

pytestmark = pytest.mark.hf
torch = pytest.importorskip("torch", reason="needs the extra [hf]")
transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")


def random_spans(count, size):
  rng = np.random.default_rng(0)
  return [
    Span(
      *(rng.integers(5, 300, rng.integers(1, size)).astype(np.int32) for _ in range(2))
    )
    for _ in range(count)
  ]


def test_transformers_scores_equal_the_native_ones(model_folder, model):
  name = f"transformers:{model_folder}"
  theirs = token_model(open_answerers([name], Reader(), None)[0].read())
  text = "A short text,\nwith two lines and 12 numbers."
  assert theirs.ids(text).tolist() == model.ids(text).tolist()
  assert theirs.text(theirs.ids(text).tolist()) == model.text(model.ids(text).tolist())
  assert (theirs.start, theirs.is_causal) == (model.start, True)
  spans = random_spans(9, 90)
  for a, b in zip(theirs.score(spans), model.score(spans), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)
  none = Span(np.asarray([5], np.int32), np.asarray([100_000], np.int32))  # no token
  with pytest.raises(SymtuneError, match="LlamaForCausalLM fails on 1"):
    theirs.score([none])


def test_encoder_decoder_equals_its_own_loss():
  torch.manual_seed(0)
  config = transformers.T5Config(
    vocab_size=100,
    d_model=16,
    d_kv=8,
    d_ff=32,
    num_layers=1,
    num_heads=2,
    decoder_start_token_id=0,
  )
  network = transformers.T5ForConditionalGeneration(config).eval()
  network.generation_config.decoder_start_token_id = 0
  spans = [Span(*(part % 100 for part in span)) for span in random_spans(5, 20)]
  contexts, targets = zip(*spans, strict=True)
  found = score_encoder_decoder(network, contexts, targets)
  for span, values in zip(spans, found, strict=True):
    ids, labels = (torch.tensor(part[None].astype(np.int64)) for part in span)
    with torch.no_grad():
      loss = float(network(input_ids=ids, labels=labels).loss)
    assert -values.mean() == pytest.approx(loss, abs=1e-4)
