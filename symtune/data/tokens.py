"""Stage 5: Prompt -> TokenizedPrompt, TokenPair. Ids; too long loses exemplars.

Every text part is tokenized once and then reused: an epoch of prompts costs array
concatenations, not SentencePiece calls.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from symtune.data.prompts import Prompt
from symtune.data.vocab import Vocab
from symtune.errors import SymtuneError

# Parts whose ids are remembered; about 1 GB of text and ids at most.
_MAX_PARTS = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenPair:
  """Input and target ids of one prompt, each ending with EOS."""

  inputs: Int[np.ndarray, "inputs"]
  targets: Int[np.ndarray, "targets"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizedPrompt:
  """A prompt as ids, with every choice as a whole target.

  Attributes:
    inputs: ids of the prompt, ending with EOS.
    choices: ids of each label word, ending with EOS.
    answer: class id of the query.
    demos_kept: exemplars in `inputs`.
    demos_dropped: exemplars left out because the prompt was too long.
  """

  inputs: Int[np.ndarray, "inputs"]
  choices: tuple[Int[np.ndarray, "_targets"], ...]
  answer: int
  demos_kept: int
  demos_dropped: int

  @property
  def pair(self) -> TokenPair:
    """The prompt with its right answer as the target."""
    return TokenPair(inputs=self.inputs, targets=self.choices[self.answer])


class PromptTooLongError(SymtuneError):
  """A prompt does not fit even without the exemplars it may lose."""


class PromptTokenizer:
  """Turns prompts into ids, one vocabulary call per distinct part."""

  def __init__(
    self,
    vocab: Vocab,
    *,
    max_inputs: int,
    max_targets: int,
    min_demos_per_class: int,
  ):
    """Sets the limits.

    Args:
      vocab: the model's vocabulary.
      max_inputs: longest input in tokens, EOS included.
      max_targets: longest target in tokens, EOS included.
      min_demos_per_class: exemplars of each class that a prompt must keep (those that
        had fewer to begin with keep all).
    """
    self.vocab = vocab
    self.max_inputs = max_inputs
    self.max_targets = max_targets
    self.min_demos_per_class = min_demos_per_class
    self.eos = np.asarray([vocab.eos_id], np.int32)
    self._ids_by_part: dict[str, np.ndarray] = {}
    self._targets: dict[str, np.ndarray] = {}

  def tokenize(self, prompt: Prompt) -> TokenizedPrompt:
    """Ids of a prompt; whole exemplars are dropped evenly until it fits.

    Args:
      prompt: from stage 4.

    Returns:
      Ids of the input and of every choice.

    Raises:
      PromptTooLongError: the prompt does not fit without dropping below
        `min_demos_per_class`.
      SymtuneError: a choice is longer than `max_targets`.
    """
    turns = [[self.encode(part) for part in turn] for turn in prompt.turns]
    lengths = [sum(map(len, turn)) for turn in turns]
    dropped = self.choose_dropped(
      prompt.demo_labels, lengths, lambda: prompt.inputs[:60]
    )
    parts = [ids for i, turn in enumerate(turns) if i not in dropped for ids in turn]
    choices = self._choices(prompt)
    return TokenizedPrompt(
      inputs=np.concatenate([*parts, self.eos]),
      choices=choices,
      answer=prompt.answer,
      demos_kept=len(prompt.demo_labels) - len(dropped),
      demos_dropped=len(dropped),
    )

  def _choices(self, prompt: Prompt) -> tuple[np.ndarray, ...]:
    """Every choice as a target; one alone is free text, and may be too long."""
    try:
      return tuple(self.target(choice) for choice in prompt.choices)
    except SymtuneError as error:
      if len(prompt.choices) == 1:
        raise PromptTooLongError(str(error)) from error
      raise

  def target(self, choice: str) -> Int[np.ndarray, "_targets"]:
    """Ids of a choice, ending with EOS; raises SymtuneError if it is too long."""
    found = self._targets.get(choice)
    if found is not None:
      return found
    ids = np.concatenate([self.encode(choice), self.eos])
    if len(ids) > self.max_targets:
      raise SymtuneError(
        f"label {choice!r}: got {len(ids)} tokens with EOS, expected at most "
        f"{self.max_targets}. Raise the target length."
      )
    if len(self._targets) >= _MAX_PARTS:
      self._targets.clear()
    self._targets[choice] = ids
    return ids

  def choose_dropped(
    self,
    demo_labels: Sequence[int],
    lengths: Sequence[int],
    name: Callable[[], str],
  ) -> set[int]:
    """Which exemplars go so that a prompt fits: of the largest class, the last one.

    Args:
      demo_labels: class id of each exemplar.
      lengths: tokens of each exemplar, then of the query.
      name: what an error calls the prompt, such as how it starts.

    Returns:
      Numbers of the exemplars to leave out; empty if all fit.

    Raises:
      PromptTooLongError: too few exemplars would be left.
    """
    excess = sum(lengths) + 1 - self.max_inputs
    dropped: set[int] = set()
    if excess <= 0:
      return dropped
    kept: list[list[int]] = [[] for _ in range(max(demo_labels, default=0) + 1)]
    for turn, label in enumerate(demo_labels):
      kept[label].append(turn)
    while excess > 0:
      largest = max(kept, key=lambda turns: (len(turns), turns))
      if len(largest) <= self.min_demos_per_class:
        raise PromptTooLongError(
          f"prompt starting {name()!r}: got {self.max_inputs + excess} "
          f"tokens with {self.min_demos_per_class} exemplars per class, expected at "
          f"most {self.max_inputs}. Raise the input length."
        )
      turn = largest.pop()
      dropped.add(turn)
      excess -= lengths[turn]
    return dropped

  def encode(self, part: str) -> Int[np.ndarray, "_tokens"]:
    """Ids of a text part, without EOS; a part that was seen is not tokenized again."""
    ids = self._ids_by_part.get(part)
    if ids is None:
      if len(self._ids_by_part) >= _MAX_PARTS:
        self._ids_by_part.clear()
      ids = self._ids_by_part[part] = self.vocab.encode(part)
    return ids
