"""Who answers a probe: a model, and three that need none.

The oracle knows the right answer, the prior-only scorer knows what the words mean and
ignores the exemplars, the random one knows nothing. They show what a probe's numbers
mean: the oracle scores 1 everywhere, the prior-only one 1 with relevant labels and 0
with flipped ones, the random one stays within its interval of chance.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from symtune.data.mixture import LabelStyle
from symtune.data.rng import keyed_generator
from symtune.data.tokens import PromptTokenizer, TokenizedPrompt
from symtune.errors import SymtuneError
from symtune.probe.probe import ProbeItem, Score, ScoreFn

# Row lengths that scoring compiles for: each prompt is padded to the next one.
_SHORTEST_ROW = 64
_TARGET_MULTIPLE = 8

ScoreArrays = Callable[[np.ndarray, np.ndarray], np.ndarray]


class ModelScorer:
  """Scores whole targets with EOS, one encoder pass per prompt."""

  def __init__(
    self,
    score_arrays: ScoreArrays,
    tokenizer: PromptTokenizer,
    *,
    tokens_per_batch: int,
  ):
    """Wraps a scoring function of arrays.

    Args:
      score_arrays: (inputs [prompts, length], targets [prompts, choices, length]) ->
        log-likelihoods [prompts, choices] in nats; padding is 0.
      tokenizer: with the model's vocabulary and the longest input it may see.
      tokens_per_batch: input slots of a batch; bounds the memory.
    """
    self._score_arrays = score_arrays
    self._tokenizer = tokenizer
    self._tokens_per_batch = tokens_per_batch

  def __call__(self, items: Sequence[ProbeItem]) -> list[Score]:
    """Scores items in batches of equal row length.

    Args:
      items: any number; order does not matter to the result.

    Returns:
      One score per item, in the order of `items`.

    Raises:
      SymtuneError: a query does not fit even without exemplars, or a score is not
        finite.
    """
    prompts = [tokenize_item(self._tokenizer, item) for item in items]
    rows_by_length: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
      length = self._row_length(len(prompt.inputs))
      rows_by_length.setdefault(length, []).append(i)
    num_choices = max(len(p.choices) for p in prompts)
    longest = max(len(c) for p in prompts for c in p.choices)
    target_length = -(-longest // _TARGET_MULTIPLE) * _TARGET_MULTIPLE
    scores: dict[int, np.ndarray] = {}
    for length, rows in sorted(rows_by_length.items()):
      size = max(1, self._tokens_per_batch // length)
      for start in range(0, len(rows), size):
        part = rows[start : start + size]
        # Two row counts for each length: few shapes to compile, little padding.
        height = size if len(part) > size // 4 else max(1, size // 4)
        inputs, targets = _pad(
          [prompts[i] for i in part], (height, length), (num_choices, target_length)
        )
        values = np.asarray(self._score_arrays(inputs, targets))
        scores.update(zip(part, values, strict=False))
    return [_to_score(items[i], p, scores[i]) for i, p in enumerate(prompts)]

  def _row_length(self, tokens: int) -> int:
    length = _SHORTEST_ROW
    while length < tokens:
      length *= 2
    return min(length, self._tokenizer.max_inputs)


def tokenize_item(tokenizer: PromptTokenizer, item: ProbeItem) -> TokenizedPrompt:
  """An item's prompt as ids.

  Raises:
    SymtuneError: the query does not fit even without exemplars, or a choice does not;
      names probe, task and query.
  """
  try:
    return tokenizer.tokenize(item.prompt)
  except SymtuneError as error:
    raise SymtuneError(
      f"probe {item.probe}, task {item.task}, query row {item.query}: {error}"
    ) from error


def _pad(
  prompts: Sequence[TokenizedPrompt],
  input_shape: tuple[int, int],
  choice_shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
  """Arrays of a fixed shape; rows beyond `prompts` stay padding."""
  inputs = np.zeros(input_shape, np.int32)
  targets = np.zeros((input_shape[0], *choice_shape), np.int32)
  for row, prompt in enumerate(prompts):
    inputs[row, : len(prompt.inputs)] = prompt.inputs
    for choice, ids in enumerate(prompt.choices):
      targets[row, choice, : len(ids)] = ids
  return inputs, targets


def _to_score(item: ProbeItem, prompt: TokenizedPrompt, values: np.ndarray) -> Score:
  values = values[: len(prompt.choices)]
  if not np.isfinite(values).all():
    raise SymtuneError(
      f"probe {item.probe}, task {item.task}, query row {item.query}: got scores "
      f"{values.tolist()}, expected finite ones. The checkpoint is broken, or its "
      f"numbers overflow: T5 needs float32 or bfloat16, not float16."
    )
  return Score(log_likelihoods=tuple(float(v) for v in values), demos=prompt.demos_kept)


def score_by_oracle(items: Sequence[ProbeItem]) -> list[Score]:
  """Prefers the answer that the exemplars demand."""
  return [_prefer(item, item.prompt.answer) for item in items]


def score_by_prior(items: Sequence[ProbeItem]) -> list[Score]:
  """Prefers what the label words mean, whatever the exemplars say.

  Symbols mean nothing: it then takes the first choice.
  """
  return [_prefer(item, _prior_answer(item)) for item in items]


def make_random_scorer(seed: int) -> ScoreFn:
  """A guesser: each item's scores come from a generator keyed by the item."""

  def score(items: Sequence[ProbeItem]) -> list[Score]:
    return [_guess(seed, item) for item in items]

  return score


def _prior_answer(item: ProbeItem) -> int:
  if item.labels is LabelStyle.SYMBOLS:
    return 0
  answer = item.prompt.answer
  return 1 - answer if item.labels is LabelStyle.FLIPPED else answer


def _prefer(item: ProbeItem, choice: int) -> Score:
  values = tuple(
    math.log(0.9) if i == choice else math.log(0.1)
    for i in range(len(item.prompt.choices))
  )
  return Score(log_likelihoods=values, demos=len(item.prompt.demo_labels))


def _guess(seed: int, item: ProbeItem) -> Score:
  key = (item.probe, item.setting, item.task, item.seed, item.query)
  values = keyed_generator(seed, *key).normal(size=len(item.prompt.choices))
  return Score(log_likelihoods=tuple(values), demos=len(item.prompt.demo_labels))
