"""Log-probabilities of tokens, against whole passes of the network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer, open_answerers
from symtune.experiment.tokens import Reader
from symtune.model.config import T5Config
from symtune.model.networks import init_params, make_network
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_model import NativeModel
from symtune.probe.run import CheckpointLabel
from symtune.ralm.models import token_model
from symtune.ralm.spans import Span


def random_spans(count, size):
  rng = np.random.default_rng(0)
  return [
    Span(
      *(rng.integers(5, 300, rng.integers(1, size)).astype(np.int32) for _ in range(2))
    )
    for _ in range(count)
  ]


def test_decoder_scores_equal_one_whole_pass(answerer, model):
  spans = random_spans(3, 90)
  found = model.score(spans)
  scorer = answerer.score.model
  apply = jax.jit(scorer.network.apply)
  for span, values in zip(spans, found, strict=True):
    row = np.concatenate([span.context, span.target])
    logits = apply({"params": scorer.params}, jnp.asarray(row)[None])
    log_p = jax.nn.log_softmax(logits[0])[np.arange(len(row) - 1), row[1:]]
    expected = log_p[len(span.context) - 1 :]
    np.testing.assert_allclose(values, expected, atol=2e-5)


def test_batches_do_not_change_scores(answerer):
  spans = random_spans(7, 40)
  large, small = (token_model(answerer, size) for size in (4096, 64))
  for a, b in zip(large.score(spans), small.score(spans), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5)


def test_encoder_decoder_scores_equal_its_decoder_alone(toy_vocab):
  config = T5Config(
    vocab_size=toy_vocab.size,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=32,
    num_encoder_layers=1,
    num_decoder_layers=1,
  )
  network = make_network(config)
  native = NativeModel(network, init_params(network, jax.random.key(0)))
  reader = Reader(vocab=toy_vocab)
  scorer = ModelScorer(native, reader.tokenizer, tokens_per_batch=512)
  label = CheckpointLabel(name="t5", step=0)
  model = token_model(Answerer(label=label, score=scorer))
  assert not model.is_causal
  assert model.end == (toy_vocab.eos_id,)
  rng = np.random.default_rng(0)
  spans = [
    Span(*(rng.integers(3, toy_vocab.num_ids, n).astype(np.int32) for n in sizes))
    for sizes in ((1, 4), (30, 9), (70, 1))
  ]
  apply = jax.jit(network.apply, static_argnames="enable_dropout")
  for span, values in zip(spans, model.score(spans), strict=True):
    shifted = np.concatenate([[0], span.target[:-1]]).astype(np.int32)
    logits = apply(
      {"params": native.params},
      *(jax.numpy.asarray(ids)[None] for ids in (span.context, shifted, span.target)),
      enable_dropout=False,
    )
    log_p = jax.nn.log_softmax(logits[0])
    expected = log_p[np.arange(len(shifted)), span.target]
    np.testing.assert_allclose(values, expected, atol=2e-5)


def test_baselines_are_refused():
  (opened,) = open_answerers(["baseline:oracle"], Reader(), None)
  with pytest.raises(SymtuneError, match="a baseline gives texts no probability"):
    token_model(opened.read())
