"""Prompts with the answers that a gold reward asks for; gold rewards of answers."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from symtune.align.answers import Answers, describe
from symtune.align.settings import Gold
from symtune.data.draw.tables import Entry
from symtune.data.mixture import Mixture
from symtune.data.prompts import Prompt
from symtune.errors import SymtuneError
from symtune.experiment.tokens import Tokenizer
from symtune.model.decoder.generate import NO_TOKEN, Ends

Batch = dict[str, np.ndarray]


class Positioned:
  """A stream whose position is one number, that of what comes next."""

  def __init__(self, first: int) -> None:
    """Starts at a position."""
    self._next = first

  def advance(self, count: int) -> range:
    """The next positions, which are then behind."""
    positions = range(self._next, self._next + count)
    self._next = positions.stop
    return positions

  def get_state(self) -> dict[str, int]:
    """The position."""
    return {"next": self._next}

  def set_state(self, state: dict[str, Any]) -> None:
    """Moves to a position.

    Raises:
      SymtuneError: the state is not that of such a stream.
    """
    if type(state.get("next")) is not int:
      raise SymtuneError(
        f"data position: got {state!r:.60}, expected {{'next': NUMBER}}. The "
        "checkpoint is damaged: remove it to resume from an older one."
      )
    self._next = state["next"]


class PromptStream(Positioned):
  """An endless stream of batches of prompts."""

  def __init__(
    self,
    mixture: Mixture,
    tokenizer: Tokenizer,
    gold: Gold,
    *,
    batch_size: int,
    first: int,
  ) -> None:
    """Starts at a position of the mixture.

    Args:
      mixture: the prompts.
      tokenizer: vocabulary and lengths.
      gold: what the batch says of the right answer.
      batch_size: prompts of a batch.
      first: position of the first one.
    """
    super().__init__(first)
    self._mixture = mixture
    self._tokenizer = tokenizer
    self._gold = gold
    self._size = batch_size

  def __next__(self) -> Batch:
    """The next batch; see `make_batch`.

    Raises:
      SymtuneError: a prompt does not fit, or the gold reward is undefined for one.
    """
    return self.next_with_prompts()[0]

  def next_with_prompts(self) -> tuple[Batch, list[Prompt]]:
    """The next batch, and its prompts as text."""
    positions = self.advance(self._size)
    prompts = self._mixture.prompts(positions)
    wanted = wanted_choices(self._mixture, self._gold, positions, prompts)
    return make_batch(prompts, wanted, self._tokenizer), prompts


def make_batch(
  prompts: Sequence[Prompt], wanted: Sequence[int | None], tokenizer: Tokenizer
) -> Batch:
  """Prompts as ids; those that are too long lose exemplars.

  Args:
    prompts: the prompts.
    wanted: which of its choices each asks for; None: none.
    tokenizer: vocabulary and lengths.

  Returns:
    prompts, int32 [batch, prompt_length], padded on the right with 0; lengths, int32
    [batch]; expected, int32 [batch, answer_length]: ids of the answer that is asked
    for, and then `NO_TOKEN`; nothing else where there is none.

  Raises:
    SymtuneError: a prompt does not fit.
  """
  read = [tokenizer.tokenize(prompt) for prompt in prompts]
  answers = [
    [] if choice is None else r.choices[choice]
    for r, choice in zip(read, wanted, strict=True)
  ]
  return {
    **lay_out_prompts([r.inputs for r in read], tokenizer.max_inputs),
    "expected": pad(answers, tokenizer.max_targets, NO_TOKEN),
  }


def wanted_choices(
  mixture: Mixture, gold: Gold, positions: range, prompts: Sequence[Prompt]
) -> list[int | None]:
  """Which choice of each prompt the gold reward asks for; None if it asks for none.

  Raises:
    SymtuneError: the label words of a prompt have no meaning, and meaning is rewarded.
  """
  if gold is Gold.BRIEF:
    return [None] * len(prompts)
  if gold is Gold.FOLLOW:
    return [prompt.answer for prompt in prompts]
  entries = mixture.draws.entries_at(np.asarray(positions, np.int64))
  return [
    _prior_choice(entry, prompt, position)
    for entry, prompt, position in zip(entries, prompts, positions, strict=True)
  ]


def _prior_choice(entry: object, prompt: Prompt, position: int) -> int:
  word = entry.card.labels[prompt.answer] if isinstance(entry, Entry) else None
  if word not in prompt.choices:
    raise SymtuneError(
      f"gold reward 'prior', prompt {position}: got label words "
      f"{list(prompt.choices)}, expected the task's own, which have a meaning. Give "
      "the ingredients of the mixture labels 'natural' or 'flipped'."
    )
  return prompt.choices.index(word)


def lay_out_prompts(prompts: Sequence[np.ndarray], width: int) -> Batch:
  """Ids of prompts in one array, and their lengths."""
  return {
    "prompts": pad(prompts, width, 0),
    "lengths": np.asarray([len(ids) for ids in prompts], np.int32),
  }


def pad(
  rows: Sequence[Sequence[int] | np.ndarray], width: int, filler: int
) -> Int[np.ndarray, "rows width"]:
  """Rows of different lengths in one int32 array, padded on the right."""
  padded = np.full((len(rows), width), filler, np.int32)
  for row, ids in zip(padded, rows, strict=True):
    row[: len(ids)] = ids
  return padded


def gold_rewards(
  gold: Gold,
  answers: Answers,
  expected: Int[Array, "answers length"],
  ends: Ends,
) -> Float[Array, " answers"]:
  """The gold reward of each answer, 0 to 1; 0 if it is empty or does not end.

  An answer that is compared has to consist of the same ids, whichever way it ends. A
  brief one earns 1 with one token and 0 with as many as fit, in equal steps.

  Args:
    gold: what is rewarded.
    answers: the answers.
    expected: for each, what was asked for.
    ends: what ends an answer.
  """
  if gold is Gold.BRIEF:
    most = answers.tokens.shape[1] - 1
    saved = (most - answers.contents).astype(jnp.float32) / max(most - 1, 1)
    return jnp.where(is_whole(answers), saved, 0.0)
  asked = describe(expected, ends)
  is_content = jnp.arange(expected.shape[1])[None, :] < asked.contents[:, None]
  is_same = jnp.all((answers.tokens == expected) | ~is_content, axis=1)
  is_same &= answers.contents == asked.contents
  return (is_whole(answers) & is_same).astype(jnp.float32)


def is_whole(answers: Answers) -> jax.Array:
  """Whether each answer ends and is not empty."""
  return answers.is_ended & (answers.contents > 0)
