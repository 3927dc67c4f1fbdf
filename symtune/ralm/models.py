"""Answerer -> TokenModel: log p of every token of a text after a context.

A decoder-only model reads context and text as one sequence. An encoder-decoder reads
the context in its encoder and the text in its decoder, which is meaningful for models
that were trained to continue texts (In-Context RALM is about decoder-only ones).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from symtune.data.text.causal_vocab import CausalVocab
from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer
from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.network import Decoder
from symtune.model.network import Params, Transformer
from symtune.model.score import shift_right
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_decoder import NativeDecoder
from symtune.probe.answer.native_model import NativeModel
from symtune.probe.run import CheckpointLabel
from symtune.ralm.spans import Nats, Span, TokenModel

TOKENS_PER_BATCH = 4096
_LENGTH_STEP, _TARGET_STEP = 64, 16  # sizes to which rows are padded: few compilations
_LOGITS_AT_ONCE = 64  # targets; with a large vocabulary, logits cost the most memory
_NO_LIMIT = 1 << 30


def token_model(
  answerer: Answerer, tokens_per_batch: int = TOKENS_PER_BATCH
) -> TokenModel:
  """The model behind an answerer.

  Args:
    answerer: a native or Transformers model.
    tokens_per_batch: tokens of the contexts and targets that are read at once.

  Raises:
    SymtuneError: it is a baseline, or a decoder-only model reads prompts in both
      directions.
  """
  scorer: Any = answerer.score
  if isinstance(scorer, ModelScorer):
    make = _native_decoder if isinstance(scorer.model, NativeDecoder) else _native_t5
    return make(answerer.label, scorer, tokens_per_batch)
  if hasattr(scorer, "tokens"):
    return _of_transformers(answerer.label, scorer, tokens_per_batch)
  raise SymtuneError(
    f"{answerer.label.name}: a baseline gives texts no probability. Give a checkpoint "
    "or transformers:PATH."
  )


def _native_decoder(
  label: CheckpointLabel, scorer: ModelScorer, tokens_per_batch: int
) -> TokenModel:
  model, vocab = scorer.model, scorer.tokenizer.vocab
  assert isinstance(model, NativeDecoder)
  assert isinstance(vocab, CausalVocab)
  if model.attention is PromptAttention.PREFIX:
    raise SymtuneError(
      f"{label.name}: this model reads prompts in both directions, so a text has no "
      "next token. Give a causal model."
    )
  score = functools.partial(_score_decoder, model.network, model.params)
  return TokenModel(
    label=label,
    is_causal=True,
    positions=model.network.config.max_positions,
    start=() if vocab.bos_id is None else (vocab.bos_id,),
    end=(),
    ids=lambda text: vocab.encode(text).astype(np.int32),
    text=vocab.decode,
    score=functools.partial(_in_batches, score, tokens_per_batch),
  )


def _native_t5(
  label: CheckpointLabel, scorer: ModelScorer, tokens_per_batch: int
) -> TokenModel:
  model, vocab = scorer.model, scorer.tokenizer.vocab
  assert isinstance(model, NativeModel)
  score = functools.partial(_score_t5, model.network, model.params)
  return TokenModel(
    label=label,
    is_causal=False,
    positions=_NO_LIMIT,  # relative ones have no end
    start=(),
    end=(vocab.eos_id,),
    ids=lambda text: vocab.encode(text).astype(np.int32),
    text=vocab.decode,
    score=functools.partial(_in_batches, score, tokens_per_batch),
  )


def _of_transformers(
  label: CheckpointLabel, scorer: Any, tokens_per_batch: int
) -> TokenModel:
  from symtune.probe.answer.hf import spans
  from symtune.probe.answer.hf.scorer import describe

  way = spans.score_causal if scorer.is_causal else spans.score_encoder_decoder

  def score(some: Sequence[Span]) -> list[Nats]:
    contexts, targets = zip(*some, strict=True)
    try:
      return way(scorer.model, contexts, targets)
    except Exception as error:  # a model's own limits can fail anywhere in its code
      raise SymtuneError(
        f"{label.name}: {type(scorer.model).__name__} fails on {len(some)} text(s) of "
        f"at most {max(map(_length, some))} tokens ({describe(error)}). If they are "
        "too long for the model or for the memory, lower --window."
      ) from error

  return TokenModel(
    label=label,
    is_causal=scorer.is_causal,
    positions=scorer.positions or _NO_LIMIT,
    start=tuple(scorer.tokens.prefix),
    end=() if scorer.is_causal else tuple(scorer.tokens.suffix),
    ids=lambda text: np.asarray(scorer.tokens.ids(text), np.int32),
    text=scorer.tokens.text,
    score=functools.partial(_in_batches, score, tokens_per_batch),
  )


def _in_batches(
  score: Callable[[Sequence[Span]], list[Nats]],
  tokens_per_batch: int,
  spans: Sequence[Span],
) -> list[Nats]:
  """Scores spans of similar length together; equal ones once."""
  keys = [(span.context.tobytes(), span.target.tobytes()) for span in spans]
  distinct = dict(zip(keys, spans, strict=True))
  order = sorted(distinct, key=lambda key: -_length(distinct[key]))
  found: dict[tuple[bytes, bytes], Nats] = {}
  while order:
    rows = max(1, tokens_per_batch // _padded(_length(distinct[order[0]])))
    batch, order = order[:rows], order[rows:]
    found.update(zip(batch, score([distinct[key] for key in batch]), strict=True))
  return [found[key] for key in keys]


def _length(span: Span) -> int:
  return len(span.context) + len(span.target)


def _padded(length: int, step: int = _LENGTH_STEP) -> int:
  return -(-length // step) * step


def _score_decoder(
  network: Decoder, params: Params, spans: Sequence[Span]
) -> list[Nats]:
  count = 1 << (len(spans) - 1).bit_length()
  length = _padded(max(map(_length, spans)))
  width = _padded(max(len(span.target) for span in spans), _TARGET_STEP)
  tokens = np.zeros((count, length), np.int32)
  places, targets = (np.zeros((count, width), np.int32) for _ in range(2))
  for row, (context, target) in enumerate(spans):
    tokens[row, : len(context)] = context
    tokens[row, len(context) : len(context) + len(target)] = target
    targets[row, : len(target)] = target
    last = len(context) + len(target) - 1
    places[row] = np.minimum(len(context) - 1 + np.arange(width), last)
  found = np.asarray(_jit_decoder(network, params, tokens, places, targets))
  return [
    row[: len(span.target)].astype(np.float64)
    for row, span in zip(found, spans, strict=False)
  ]


def decoder_log_p(
  network: Decoder,
  params: Params,
  tokens: Int[Array, "rows length"],
  places: Int[Array, "rows targets"],
  targets: Int[Array, "rows targets"],
) -> Float[Array, "rows targets"]:
  """Log p of targets, each after the token at its place, in nats. Pure.

  Args:
    network: a decoder-only network.
    params: its parameters.
    tokens: rows, padded on the right.
    places: of the tokens before the targets.
    targets: token ids.
  """
  vectors = network.apply({"params": params}, tokens, method="read")
  assert isinstance(vectors, jax.Array)
  at_places = jnp.take_along_axis(vectors, places[:, :, None], axis=1)
  size = min(_LOGITS_AT_ONCE, places.size)
  pad = -places.size % size
  flat = jnp.pad(at_places.reshape(-1, at_places.shape[-1]), ((0, pad), (0, 0)))
  wanted = jnp.pad(targets.reshape(-1), (0, pad))

  def score(part: tuple[Array, Array]) -> Float[Array, " _some"]:
    logits = network.apply({"params": params}, part[0][None], method="logits")
    assert isinstance(logits, jax.Array)
    return _log_p(logits[0], part[1])

  parts = (flat.reshape(-1, size, flat.shape[1]), wanted.reshape(-1, size))
  return jax.lax.map(score, parts).reshape(-1)[: places.size].reshape(places.shape)


_jit_decoder = jax.jit(decoder_log_p, static_argnums=0)


def _score_t5(
  network: Transformer, params: Params, spans: Sequence[Span]
) -> list[Nats]:
  count = 1 << (len(spans) - 1).bit_length()
  length = _padded(max(len(span.context) for span in spans))
  width = _padded(max(len(span.target) for span in spans), _TARGET_STEP)
  inputs = np.zeros((count, length), np.int32)
  targets = np.zeros((count, width), np.int32)
  for row, (context, target) in enumerate(spans):
    inputs[row, : len(context)] = context
    targets[row, : len(target)] = target
  found = np.asarray(_jit_t5(network, params, inputs, targets))
  return [
    row[: len(span.target)].astype(np.float64)
    for row, span in zip(found, spans, strict=False)
  ]


def t5_log_p(
  network: Transformer,
  params: Params,
  inputs: Int[Array, "rows length"],
  targets: Int[Array, "rows targets"],
) -> Float[Array, "rows targets"]:
  """Log p of the decoder's targets after the encoder's inputs, in nats. Pure.

  Args:
    network: an encoder-decoder.
    params: its parameters.
    inputs: contexts, 0 for padding.
    targets: token ids, 0 for padding.
  """
  logits = network.apply(
    {"params": params}, inputs, shift_right(targets), targets, enable_dropout=False
  )
  assert isinstance(logits, jax.Array)
  return _log_p(logits, targets)


_jit_t5 = jax.jit(t5_log_p, static_argnums=0)


def _log_p(
  logits: Float[Array, "*n vocab"], targets: Int[Array, "*n"]
) -> Float[Array, "*n"]:
  chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
  return chosen - jax.scipy.special.logsumexp(logits, axis=-1)
