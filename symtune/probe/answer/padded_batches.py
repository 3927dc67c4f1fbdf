"""Batches for an encoder-decoder: prompts of similar length, padded with 0.

Prompts are padded to one of four lengths per doubling and one of two numbers of rows,
so that few shapes are compiled.
"""

import functools
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.model.token_tree import TreeBatch, batch_trees, padded_nodes
from symtune.probe.answer.batches import Batch, Question, Trees, choice_scores
from symtune.probe.probe import AnswerKind

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


class PaddedBatches:
  """Batches of whole prompts, which depend on the questions alone.

  Attributes:
    stops: tokens that end a generated answer, besides EOS: none.
  """

  stops: tuple[tuple[int, ...], ...] = ()

  def __init__(
    self, model: ArrayModel, tokenizer: PromptTokenizer, *, tokens_per_batch: int
  ):
    """Wraps a model.

    Args:
      model: the model, as functions of arrays.
      tokenizer: has the model's vocabulary and its longest input.
      tokens_per_batch: number of input positions in a batch; limits the memory.
    """
    self._model = model
    self._tokenizer = tokenizer
    self._tokens_per_batch = tokens_per_batch
    self._trees = Trees()

  def __call__(self, questions: Sequence[Question]) -> list[Batch]:
    """Batches, shortest prompts first."""
    groups: dict[tuple[str, int], list[tuple[int, Question]]] = {}
    for question in questions:
      is_ranked = question.kind is AnswerKind.RANK
      nodes = padded_nodes([self._trees.of(question)]) if is_ranked else 0
      length = self.row_length(len(question.prompt.inputs))
      groups.setdefault((question.kind, length), []).append((nodes, question))
    batches = []
    for (_, length), group in sorted(groups.items()):
      group.sort(key=lambda sized: (sized[0], sized[1].key))
      size = max(1, self._tokens_per_batch // length)
      for start in range(0, len(group), size):
        part = group[start : start + size]
        # Two row counts for each length: few shapes to compile, little padding.
        height = size if len(part) > size // 4 else max(1, size // 4)
        asked = [question for _, question in part]
        answer = functools.partial(self._answer, asked, (height, length), part[-1][0])
        batches.append(Batch(questions=asked, answer=answer))
    return batches

  def text(self, ids: Sequence[int]) -> str:
    """The text before EOS."""
    vocab = self._tokenizer.vocab
    end = ids.index(vocab.eos_id) if vocab.eos_id in ids else len(ids)
    return vocab.decode(ids[:end])

  def row_length(self, tokens: int) -> int:
    """The next of 64, 80, 96, 112, 128, 160, ..., 2048, 2560, ..."""
    length = _SHORTEST_ROW
    while length < tokens:
      octave = 1 << (length.bit_length() - 1)
      length += octave // _STEPS_PER_OCTAVE
    return min(length, self._tokenizer.max_inputs)

  def _answer(
    self, questions: list[Question], shape: tuple[int, int], nodes: int
  ) -> list[np.ndarray]:
    inputs = np.zeros(shape, np.int32)
    for row, question in enumerate(questions):
      inputs[row, : len(question.prompt.inputs)] = question.prompt.inputs
    if questions[0].kind is AnswerKind.RANK:
      trees = [self._trees.of(question) for question in questions]
      edges = self._model.score(inputs, batch_trees(trees, len(inputs), nodes))
      return choice_scores(trees, edges)
    ids = np.asarray(self._model.generate(inputs, self._tokenizer.max_targets))
    return [row.astype(np.float64) for row in ids[: len(questions)]]
