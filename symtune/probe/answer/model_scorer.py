"""A model answers a probe: log-likelihoods of complete answers, or generated text.

Equal questions are asked only once. How they are batched depends on the kind of model
(`padded_batches.py`, `decoder_batches.py`), and on the questions alone, never on the
cache: a batch is skipped only if all its answers are in the cache. So a resumed run
gives the same numbers as an uninterrupted one.
"""

import collections
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symtune.data.tokens.causal import CausalTokenizer
from symtune.data.tokens.tokenizer import PromptTokenizer, TokenizedPrompt
from symtune.errors import SymtuneError
from symtune.probe.answer.batches import Batch, Question
from symtune.probe.answer.cache import MemoryCache, ScoreCache, question_key
from symtune.probe.answer.decoder_batches import ArrayDecoder, DecoderBatches
from symtune.probe.answer.padded_batches import ArrayModel, PaddedBatches
from symtune.probe.probe import AnswerKind, ProbeItem, Score, tell_nobody


class ModelScorer:
  """Answers items through an `ArrayModel` or an `ArrayDecoder`.

  Attributes:
    model: the model, as functions of arrays.
    tokenizer: its tokenizer.
    on_answered: called after each batch with the number of items that it answers.
  """

  def __init__(
    self,
    model: ArrayModel | ArrayDecoder,
    tokenizer: PromptTokenizer | CausalTokenizer,
    *,
    tokens_per_batch: int,
    cache: ScoreCache | None = None,
    runtime: str = "",
  ):
    """Wraps a model.

    Args:
      model: the model, as functions of arrays.
      tokenizer: has the model's vocabulary and its longest input.
      tokens_per_batch: number of tokens in a batch; limits the memory.
      cache: cache of answers; None keeps them in memory.
      runtime: what else the last digits of an answer depend on, such as versions; part
        of the cache's keys.
    """
    self.model = model
    self.tokenizer = tokenizer
    self._cache = cache or MemoryCache()
    self._runtime = runtime
    self.on_answered: Callable[[int], Any] = tell_nobody
    self._batches = _batches(model, tokenizer, tokens_per_batch)

  def __call__(self, items: Sequence[ProbeItem]) -> list[Score]:
    """Answers items.

    Args:
      items: any number of items; their order does not change the scores.

    Returns:
      One score per item, in the order of `items`.

    Raises:
      SymtuneError: a query does not fit even without exemplars, or a score is not
        finite.
    """
    prompts = [tokenize_item(self.tokenizer, item) for item in items]
    questions = [
      self._question(item, prompt) for item, prompt in zip(items, prompts, strict=True)
    ]
    distinct = {q.key: q for q in questions}
    counts = collections.Counter(q.key for q in questions)
    answers: dict[bytes, np.ndarray] = {}
    for batch in self._batches(list(distinct.values())):
      answers.update(self._answer(batch))
      self.on_answered(sum(counts[q.key] for q in batch.questions))
    return [
      self._to_score(item, q, answers[q.key])
      for item, q in zip(items, questions, strict=True)
    ]

  def _question(self, item: ProbeItem, prompt: TokenizedPrompt) -> Question:
    if item.kind is AnswerKind.RANK:
      asked = prompt.choices
    else:
      limits = ((self.tokenizer.max_targets,), *self._batches.stops)
      asked = tuple(np.asarray(numbers, np.int32) for numbers in limits)
    identity = f"{item.kind} {self.model.identity} {self._runtime}"
    key = question_key(identity, prompt.inputs, asked)
    return Question(key=key, kind=item.kind, prompt=prompt)

  def _answer(self, batch: Batch) -> dict[bytes, np.ndarray]:
    keys = [q.key for q in batch.questions]
    known = self._cache.get(keys)
    if len(known) == len(keys):
      return known
    fresh = dict(zip(keys, batch.answer(), strict=True))
    self._cache.put(fresh)
    return {**fresh, **known}

  def _to_score(self, item: ProbeItem, question: Question, values: np.ndarray) -> Score:
    exemplars = question.prompt.exemplars_kept
    if item.kind is AnswerKind.GENERATE:
      ids = values.astype(np.int64).tolist()
      return Score(text=self._batches.text(ids), exemplars=exemplars)
    if not np.isfinite(values).all():
      raise SymtuneError(
        f"{item.where}: got scores {values.tolist()}, expected finite ones. The "
        f"checkpoint is broken, or its activations overflow: use float32 or bfloat16, "
        f"not float16."
      )
    return Score(
      log_likelihoods=tuple(values.tolist()),
      tokens=tuple(len(ids) for ids in question.prompt.choices),
      exemplars=exemplars,
    )


def _batches(
  model: ArrayModel | ArrayDecoder,
  tokenizer: PromptTokenizer | CausalTokenizer,
  tokens_per_batch: int,
) -> PaddedBatches | DecoderBatches:
  if isinstance(model, ArrayDecoder):
    assert isinstance(tokenizer, CausalTokenizer)
    return DecoderBatches(model, tokenizer, tokens_per_batch=tokens_per_batch)
  assert isinstance(tokenizer, PromptTokenizer)
  return PaddedBatches(model, tokenizer, tokens_per_batch=tokens_per_batch)


def tokenize_item(
  tokenizer: PromptTokenizer | CausalTokenizer, item: ProbeItem
) -> TokenizedPrompt:
  """An item's prompt as ids.

  Raises:
    SymtuneError: the query does not fit even without exemplars, or a choice does not
      fit; names probe, task and query.
  """
  try:
    if isinstance(tokenizer, CausalTokenizer):
      writes = item.kind is AnswerKind.GENERATE
      return tokenizer.tokenize(item.prompt, writes=writes)
    return tokenizer.tokenize(item.prompt)
  except SymtuneError as error:
    raise SymtuneError(f"{item.where}: {error}") from error
