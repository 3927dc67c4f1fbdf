"""Batches for a decoder-only model: what prompts have in common is read once.

Questions whose prompts have the same exemplars form a group: the exemplars are read
once, and the queries are read after them in rows of similar length. A prompt that
shares its exemplars with no other is read whole.

Rows have few lengths, and batches have one number of rows and two numbers of prompts
per doubling, so that few shapes are compiled.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from symtune.data.prompts import TURN_SEPARATOR
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.tokens.causal import CausalPrompt, CausalTokenizer
from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.generate import NO_TOKEN, Ends
from symtune.model.decoder.score import TreeRows, row_length, tree_rows
from symtune.model.token_tree import TokenTree, padded_nodes
from symtune.probe.answer.batches import Batch, Question, Trees, choice_scores
from symtune.probe.probe import AnswerKind

# Every new shape takes seconds to compile, so a few questions get coarse lengths, and
# many get fine ones: lengths are multiples of this many tokens.
_FEW, _FINE, _COARSE = 32, 16, 64
# Lengths per doubling: of rows that are ranked, of prompts that are continued, whose
# programs take four times as long to compile, and of what rows have in common.
_ROW_STEPS, _WRITTEN_STEPS, _SLOT_STEPS = 16, 4, 2
_PROMPT_STEPS = 2  # numbers of prompts of a batch, per doubling, too
_SHARED_ROW = 256  # most tokens of a row that is longer than its longest prompt
# At least this share of a batch's rows is filled, but for a few tokens.
_FILLED, _NEARLY = 0.75, 64
_WORD = "a"  # what stands around a blank line


@runtime_checkable
class ArrayDecoder(Protocol):
  """What the scorer needs from a decoder-only model: functions of arrays.

  Attributes:
    identity: hash of weights, settings and precision; part of the cache's keys.
    attention: what a prompt's tokens attend to.
  """

  identity: str
  attention: PromptAttention

  def read_prefix(
    self, tokens: Int[np.ndarray, "1 length"], count: int, slots: int
  ) -> Any:
    """Reads `count` tokens that several prompts begin with; 0 slots: none."""
    ...

  def score(self, prefix: Any, rows: TreeRows) -> Float[np.ndarray, "prompts edges"]:
    """Log p(token) of each edge, in nats (`model.decoder.score.score_rows`)."""
    ...

  def generate(
    self,
    inputs: Int[np.ndarray, "prompts length"],
    lengths: Int[np.ndarray, " prompts"],
    ends: Ends,
    max_length: int,
  ) -> Int[np.ndarray, "prompts max_length"]:
    """Greedily generated tokens (`model.decoder.generate.generate_greedy`)."""
    ...


class DecoderBatches:
  """Batches of prompts behind their prefix, which depend on the questions alone.

  Attributes:
    stops: tokens that end a generated answer, EOS first; an answer depends on them.
  """

  def __init__(
    self, model: ArrayDecoder, tokenizer: CausalTokenizer, *, tokens_per_batch: int
  ):
    """Wraps a model.

    Args:
      model: the model, as functions of arrays.
      tokenizer: has the model's vocabulary, and says where queries start.
      tokens_per_batch: number of tokens in a batch; limits the memory.
    """
    self._model = model
    self._tokenizer = tokenizer
    self._tokens_per_batch = tokens_per_batch
    self._trees = Trees()
    self._ends = answer_ends(tokenizer.vocab)
    self.stops = ((self._ends.eos_id,), *self._ends.stops)

  def __call__(self, questions: Sequence[Question]) -> list[Batch]:
    """Batches, prefix by prefix; what has none in common with others comes first."""
    ranked = [q for q in questions if q.kind is AnswerKind.RANK]
    batches = []
    groups, cached = _by_prefix(ranked), _LastPrefix(self._read)
    if self._model.attention is PromptAttention.PREFIX:
      groups = [(np.zeros(0, np.int32), ranked)]  # exemplars see the query, too
    for prefix, group in groups:
      batches += self._pack(cached, prefix, group)
    others = [q for q in questions if q.kind is AnswerKind.GENERATE]
    return [*batches, *self._pad(others)]

  def text(self, ids: Sequence[int]) -> str:
    """The text before the first blank line, or a token that ends an answer."""
    vocab = self._tokenizer.vocab
    ids = list(itertools.takewhile(lambda i: i not in vocab.end_ids, ids))
    return vocab.decode(ids).split(TURN_SEPARATOR)[0].strip()

  def _pack(
    self,
    cached: "_LastPrefix",
    prefix: Int[np.ndarray, " start"],
    questions: Sequence[Question],
  ) -> list[Batch]:
    """Ranked questions in batches, longest first, in rows that short ones share."""
    if not questions:
      return []
    start, finest = len(prefix), _finest(questions)
    lengths = {
      q.key: row_length(q.prompt.inputs[start:], self._trees.of(q)) for q in questions
    }
    order = sorted(questions, key=lambda q: (-lengths[q.key], q.key))
    sizes = [lengths[q.key] for q in order]
    # The widest tree says how many nodes each prompt gets, and all nodes have logits.
    prompts = self._within_batch(_count_nodes([self._trees.of(q) for q in order]))
    batches = []
    while order:
      shared = _row_tokens(sizes, min(_SHARED_ROW, self._tokens_per_batch))
      length = padded_length(shared, _ROW_STEPS, finest)
      row_of, rows = fill_rows(sizes[:prompts], length, self._within_batch(length))
      taken = len(row_of)
      part, order, sizes = order[:taken], order[taken:], sizes[taken:]
      answer = functools.partial(
        self._rank, cached, prefix, part, row_of, (rows, length)
      )
      batches.append(Batch(questions=part, answer=answer))
    return batches

  def _pad(self, questions: Sequence[Question]) -> list[Batch]:
    """Written questions in batches, longest first, one in each row."""
    finest = _finest(questions)
    order = sorted(questions, key=lambda q: (-len(q.prompt.inputs), q.key))
    batches = []
    while order:
      length = padded_length(len(order[0].prompt.inputs), _WRITTEN_STEPS, finest)
      most = self._within_batch(length)
      rows = _count_rows([len(q.prompt.inputs) for q in order[:most]], length, most)
      part, order = order[:rows], order[rows:]
      answer = functools.partial(self._generate, part, (rows, length))
      batches.append(Batch(questions=part, answer=answer))
    return batches

  def _within_batch(self, size: int) -> int:
    """How many rows of this size, or prompts with as many nodes, are a batch."""
    return max(1, self._tokens_per_batch // size)

  def _read(self, prefix: Int[np.ndarray, " start"]) -> Any:
    length = padded_length(len(prefix), _ROW_STEPS, _COARSE) if len(prefix) else 0
    tokens = np.zeros((1, length), np.int32)
    tokens[0, : len(prefix)] = prefix
    slots = padded_length(length, _SLOT_STEPS) if length else 0
    return self._model.read_prefix(tokens, len(prefix), slots)

  def _rank(
    self,
    cached: "_LastPrefix",
    prefix: Int[np.ndarray, " start"],
    questions: list[Question],
    row_of: list[int],
    shape: tuple[int, int],
  ) -> list[np.ndarray]:
    start = len(prefix)
    trees = [self._trees.of(question) for question in questions]
    batch = tree_rows(
      [question.prompt.inputs[start:] for question in questions],
      trees,
      start=start,
      row_of=row_of,
      shape=shape,
      prompts=padded_length(len(questions), _PROMPT_STEPS, finest=2),
      nodes=_count_nodes(trees),
      attention=self._model.attention,
    )
    return choice_scores(trees, self._model.score(cached(prefix), batch))

  def _generate(
    self, questions: list[Question], shape: tuple[int, int]
  ) -> list[np.ndarray]:
    inputs, lengths = np.zeros(shape, np.int32), np.ones(shape[0], np.int32)
    for row, question in enumerate(questions):
      lengths[row] = len(question.prompt.inputs)
      inputs[row, : lengths[row]] = question.prompt.inputs
    # Rows without a question repeat the first: one that never ends would cost time.
    inputs[len(questions) :], lengths[len(questions) :] = inputs[0], lengths[0]
    limit = self._tokenizer.max_targets
    ids = np.asarray(self._model.generate(inputs, lengths, self._ends, limit))
    return [row[row != NO_TOKEN].astype(np.float64) for row in ids[: len(questions)]]


def answer_ends(vocab: CausalVocab) -> Ends:
  """What ends an answer: EOS, other tokens that the model ends with, a blank line."""
  blank_line = vocab.encode_between(_WORD, TURN_SEPARATOR, _WORD)
  others = ((i,) for i in vocab.end_ids if i != vocab.eos_id)
  return Ends(vocab.eos_id, (tuple(blank_line.tolist()), *others))


class _LastPrefix:
  """Reads a prefix when it is asked for, and keeps the last one alone in memory."""

  def __init__(self, read: Callable[[Int[np.ndarray, " start"]], Any]):
    self._read = read
    self._last: tuple[bytes, Any] | None = None

  def __call__(self, prefix: Int[np.ndarray, " start"]) -> Any:
    """What the network knows of a prefix."""
    key = prefix.tobytes()
    if self._last is None or self._last[0] != key:
      self._last = None  # its memory is free before the next one is read
      self._last = key, self._read(prefix)
    return self._last[1]


def _by_prefix(
  questions: Sequence[Question],
) -> list[tuple[Int[np.ndarray, " _start"], list[Question]]]:
  """Groups of at least two questions with the same prefix, and all others without."""
  groups: dict[bytes, list[Question]] = {}
  for question in questions:
    groups.setdefault(_prefix(question).tobytes(), []).append(question)
  alone = groups.pop(b"", [])
  alone += [group[0] for group in groups.values() if len(group) == 1]
  shared = [groups[key] for key in sorted(groups) if len(groups[key]) > 1]
  nothing = np.zeros(0, np.int32)
  return [(nothing, alone), *((_prefix(group[0]), group) for group in shared)]


def _prefix(question: Question) -> Int[np.ndarray, " _start"]:
  prompt = question.prompt
  assert isinstance(prompt, CausalPrompt)
  return prompt.inputs[: prompt.query_start]


def padded_length(tokens: int, steps: int, finest: int = 8) -> int:
  """The next length with few significant digits.

  Args:
    tokens: at least 1.
    steps: most lengths per doubling. With 8 steps, lengths are 8, 16, ..., 64, 72, ...,
      128, 144, ...
    finest: lengths are multiples of this number.
  """
  step = finest
  while step * steps * 2 <= tokens:
    step *= 2
  return -(-tokens // step) * step


def _finest(questions: Sequence[Question]) -> int:
  return _COARSE if len(questions) < _FEW else _FINE


def _count_nodes(trees: Sequence[TokenTree]) -> int:
  """Nodes for each of these trees: a power of two."""
  return 1 << (padded_nodes(trees) - 1).bit_length()


def _row_tokens(sizes: Sequence[int], most: int) -> int:
  """Tokens of the first prompt, and of those behind it that fit within `most`."""
  total = sizes[0]
  for size in sizes[1:]:
    if total + size > most:
      break
    total += size
  return total


def fill_rows(sizes: Sequence[int], length: int, most: int) -> tuple[list[int], int]:
  """Puts prompts into the rows of one batch, in their order.

  Args:
    sizes: tokens of each prompt; none has more than `length`.
    length: tokens of a row.
    most: most rows of the batch.

  Returns:
    The row of each prompt, of as many of the first ones as the batch takes; and the
    number of rows, of which some may be empty.
  """
  row_of, filled = [], []
  for size in sizes:
    if not filled or filled[-1] + size > length:
      if len(filled) == most:
        break
      filled.append(0)
    filled[-1] += size
    row_of.append(len(filled) - 1)
  rows = _count_rows(filled, length, most)
  return [row for row in row_of if row < rows], rows


def _count_rows(sizes: Sequence[int], length: int, most: int) -> int:
  """The largest power of two that leaves few of the rows empty; see `_FILLED`."""
  rows = 1
  while 2 * rows <= most:
    filled = sum(min(size + _NEARLY, length) for size in sizes[: 2 * rows])
    if filled < _FILLED * 2 * rows * length:
      break
    rows *= 2
  return rows
