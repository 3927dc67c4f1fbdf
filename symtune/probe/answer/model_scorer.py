"""A model answers a probe: complete targets with EOS, one encoder pass per prompt.

Equal questions are asked only once. Prompts of similar length are batched and padded to
one of four lengths per doubling and one of two numbers of rows, so that few shapes are
compiled. The batches depend only on the questions, never on the cache: a batch is
skipped only if all its answers are in the cache. So a resumed run gives the same
numbers as an uninterrupted one.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from symtune.data.tokens.tokenizer import PromptTokenizer, TokenizedPrompt
from symtune.errors import SymtuneError
from symtune.model.token_tree import (
  TokenTree,
  TreeBatch,
  batch_trees,
  make_tree,
  padded_nodes,
)
from symtune.probe.answer.cache import MemoryCache, ScoreCache, question_key
from symtune.probe.probe import AnswerKind, ProbeItem, Score

_SHORTEST_ROW = 64
_STEPS_PER_OCTAVE = 4


@runtime_checkable
class ArrayModel(Protocol):
  """What the scorer needs from a model: functions of arrays, with padding 0.

  Attributes:
    identity: hash of weights, settings and precision; part of the cache's keys.
  """

  identity: str

  def score(
    self, inputs: Int[np.ndarray, "prompts length"], trees: TreeBatch
  ) -> Float[np.ndarray, "prompts edges"]:
    """Log p(token) of each edge, in nats (`model.score.score_trees`)."""
    ...

  def generate(
    self, inputs: Int[np.ndarray, "prompts length"], max_length: int
  ) -> Int[np.ndarray, "prompts max_length"]:
    """Greedily generated tokens, with EOS (`model.generate.generate_greedy`)."""
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Question:
  """A question that is asked once, for all items that share it."""

  key: bytes
  kind: AnswerKind
  prompt: TokenizedPrompt


class ModelScorer:
  """Answers items through an `ArrayModel`."""

  def __init__(
    self,
    model: ArrayModel,
    tokenizer: PromptTokenizer,
    *,
    tokens_per_batch: int,
    cache: ScoreCache | None = None,
    runtime: str = "",
  ):
    """Wraps a model.

    Args:
      model: the model, as functions of arrays.
      tokenizer: has the model's vocabulary and its longest input.
      tokens_per_batch: number of input positions in a batch; limits the memory.
      cache: cache of answers; None keeps them in memory.
      runtime: what else the last digits of an answer depend on, such as versions; part
        of the cache's keys.
    """
    self._model = model
    self._tokenizer = tokenizer
    self._tokens_per_batch = tokens_per_batch
    self._cache = cache or MemoryCache()
    self._runtime = runtime
    self._trees: dict[tuple[bytes, ...], TokenTree] = {}

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
    prompts = [tokenize_item(self._tokenizer, item) for item in items]
    questions = [
      self._question(item, prompt) for item, prompt in zip(items, prompts, strict=True)
    ]
    distinct = {q.key: q for q in questions}
    answers: dict[bytes, np.ndarray] = {}
    for batch in self._batches(list(distinct.values())):
      answers.update(self._answer(*batch))
    return [
      self._to_score(item, q, answers[q.key])
      for item, q in zip(items, questions, strict=True)
    ]

  def _question(self, item: ProbeItem, prompt: TokenizedPrompt) -> _Question:
    if item.kind is AnswerKind.RANK:
      asked = prompt.choices
    else:
      asked = (np.asarray([self._tokenizer.max_targets], np.int32),)
    identity = f"{item.kind} {self._model.identity} {self._runtime}"
    key = question_key(identity, prompt.inputs, asked)
    return _Question(key=key, kind=item.kind, prompt=prompt)

  def _batches(
    self, questions: list[_Question]
  ) -> list[tuple[list[_Question], tuple[int, int], int]]:
    """Yields (questions, shape of inputs, nodes of trees), shortest prompts first."""
    groups: dict[tuple[str, int], list[tuple[int, _Question]]] = {}
    for question in questions:
      is_ranked = question.kind is AnswerKind.RANK
      nodes = padded_nodes([self._tree(question)]) if is_ranked else 0
      length = self._row_length(len(question.prompt.inputs))
      groups.setdefault((question.kind, length), []).append((nodes, question))
    batches = []
    for (_, length), group in sorted(groups.items()):
      group.sort(key=lambda sized: (sized[0], sized[1].key))
      size = max(1, self._tokens_per_batch // length)
      for start in range(0, len(group), size):
        part = group[start : start + size]
        # Two row counts for each length: few shapes to compile, little padding.
        height = size if len(part) > size // 4 else max(1, size // 4)
        nodes = part[-1][0]
        batches.append(([q for _, q in part], (height, length), nodes))
    return batches

  def _row_length(self, tokens: int) -> int:
    """The next of 64, 80, 96, 112, 128, 160, ..., 2048, 2560, ..."""
    length = _SHORTEST_ROW
    while length < tokens:
      octave = 1 << (length.bit_length() - 1)
      length += octave // _STEPS_PER_OCTAVE
    return min(length, self._tokenizer.max_inputs)

  def _answer(
    self, questions: list[_Question], shape: tuple[int, int], nodes: int
  ) -> dict[bytes, np.ndarray]:
    keys = [q.key for q in questions]
    known = self._cache.get(keys)
    if len(known) == len(keys):
      return known
    inputs = np.zeros(shape, np.int32)
    for row, question in enumerate(questions):
      inputs[row, : len(question.prompt.inputs)] = question.prompt.inputs
    if questions[0].kind is AnswerKind.RANK:
      values = self._rank(questions, inputs, nodes)
    else:
      values = self._generate(questions, inputs)
    fresh = dict(zip(keys, values, strict=True))
    self._cache.put(fresh)
    return {**fresh, **known}

  def _rank(
    self, questions: list[_Question], inputs: np.ndarray, nodes: int
  ) -> list[np.ndarray]:
    trees = [self._tree(question) for question in questions]
    batch = batch_trees(trees, len(inputs), nodes)
    edges = np.asarray(self._model.score(inputs, batch), np.float64)
    return [
      # Not a matrix product: 0 times NaN or infinity would spread to other candidates.
      np.array([row[: len(m)][m].sum() for m in tree.members])
      for tree, row in zip(trees, edges, strict=False)
    ]

  def _generate(
    self, questions: list[_Question], inputs: np.ndarray
  ) -> list[np.ndarray]:
    ids = np.asarray(self._model.generate(inputs, self._tokenizer.max_targets))
    return [row.astype(np.float64) for row in ids[: len(questions)]]

  def _tree(self, question: _Question) -> TokenTree:
    """The tree of a question's choices, cached because label words repeat."""
    choices = question.prompt.choices
    key = tuple(ids.tobytes() for ids in choices)
    tree = self._trees.get(key)
    if tree is None:
      tree = self._trees[key] = make_tree([ids.tolist() for ids in choices])
    return tree

  def _to_score(
    self, item: ProbeItem, question: _Question, values: np.ndarray
  ) -> Score:
    exemplars = question.prompt.exemplars_kept
    if item.kind is AnswerKind.GENERATE:
      vocab = self._tokenizer.vocab
      ids = values.astype(np.int64).tolist()
      end = ids.index(vocab.eos_id) if vocab.eos_id in ids else len(ids)
      return Score(text=vocab.decode(ids[:end]), exemplars=exemplars)
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


def tokenize_item(tokenizer: PromptTokenizer, item: ProbeItem) -> TokenizedPrompt:
  """An item's prompt as ids.

  Raises:
    SymtuneError: the query does not fit even without exemplars, or a choice does not
      fit; names probe, task and query.
  """
  try:
    return tokenizer.tokenize(item.prompt)
  except SymtuneError as error:
    raise SymtuneError(f"{item.where}: {error}") from error
