"""Stage 5: Prompt -> TokenizedPrompt, TokenPair. Ids; too long loses exemplars.

Every text part is tokenized once and then reused: an epoch of prompts costs array
concatenations, not SentencePiece calls.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int, Int64

from symtune.data.prompts import Prompt
from symtune.data.text.vocab import Vocab
from symtune.data.tokens.label_ids import check_label_ids
from symtune.errors import SymtuneError

# Parts whose ids are remembered; about 1 GB of text and ids at most.
_MAX_PARTS = 1_000_000
NO_LIMIT = 2**31 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenPair:
  """What tuning reads of one prompt.

  Attributes:
    inputs: ids of the prompt, ending with EOS; for a decoder-only model, of the whole
      sequence with its label (`causal.CausalTokenizer.pair`).
    targets: ids of the label, ending with EOS; for a decoder-only model, the places in
      the sequence that the loss scores.
  """

  inputs: Int[np.ndarray, "inputs"]
  targets: Int[np.ndarray, "targets"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizedPrompt:
  """A prompt as ids, with every choice as a whole target.

  Attributes:
    inputs: ids of the prompt, ending with EOS.
    choices: ids of each label word, ending with EOS.
    answer: class id of the query.
    exemplars_kept: exemplars in `inputs`.
    exemplars_dropped: exemplars left out because the prompt was too long.
  """

  inputs: Int[np.ndarray, "inputs"]
  choices: tuple[Int[np.ndarray, "_targets"], ...]
  answer: int
  exemplars_kept: int
  exemplars_dropped: int

  @property
  def pair(self) -> TokenPair:
    """The prompt with its right answer as the target."""
    return TokenPair(inputs=self.inputs, targets=self.choices[self.answer])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptBlock:
  """What became of some prompts.

  Attributes:
    pairs: of each prompt; None if it does not fit.
    dropped: exemplars left out of each because the prompt was too long.
    error: of one that does not fit; None if all do.
  """

  pairs: list[TokenPair | None]
  dropped: Int64[np.ndarray, "prompts"]
  error: "PromptTooLongError | None"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
  """A whole prompt as ids, before it is made to fit.

  Attributes:
    turns: ids of each exemplar, then of the query; no EOS.
    exemplar_labels: class id of each exemplar.
    choices: ids of each label word, ending with EOS.
    answer: class id of the query.
    start: first characters of its text, for messages.
    nearest_last: see `Prompt`.
  """

  turns: tuple[Int[np.ndarray, "_turn"], ...]
  exemplar_labels: tuple[int, ...]
  choices: tuple[Int[np.ndarray, "_targets"], ...]
  answer: int
  start: str
  nearest_last: bool = False


class PromptTooLongError(SymtuneError):
  """A prompt does not fit even without the exemplars it may lose."""


class PromptTokenizer:
  """Turns prompts into ids, one vocabulary call for each part, and makes them fit."""

  def __init__(
    self,
    vocab: Vocab,
    *,
    max_inputs: int = NO_LIMIT,
    max_targets: int = NO_LIMIT,
    min_exemplars_per_class: int = 0,
  ):
    """Sets the limits.

    Args:
      vocab: the model's vocabulary.
      max_inputs: longest input in tokens, EOS included.
      max_targets: longest target in tokens, EOS included.
      min_exemplars_per_class: exemplars of each class that a prompt must keep (those
        that had fewer to begin with keep all).
    """
    self.vocab = vocab
    self.max_inputs = max_inputs
    self.max_targets = max_targets
    self.min_exemplars_per_class = min_exemplars_per_class
    self.eos = np.asarray([vocab.eos_id], np.int32)
    self._ids_by_part: dict[tuple[str, bool], np.ndarray] = {}
    self._checked_choices: set[tuple[str, ...]] = set()

  def tokenize(self, prompt: Prompt) -> TokenizedPrompt:
    """Ids of a prompt; whole exemplars are dropped evenly until it fits.

    Args:
      prompt: from stage 4.

    Returns:
      Ids of the input and of every choice.

    Raises:
      PromptTooLongError: the prompt does not fit without dropping below
        `min_exemplars_per_class`, or its only choice, which is free text, is too long.
      SymtuneError: a label word is longer than `max_targets`, or two choices have the
        same ids.
    """
    return self.fit(self.encode(prompt))

  def encode(self, prompt: Prompt) -> EncodedPrompt:
    """Ids of all turns and choices of a prompt, however long.

    Raises:
      SymtuneError: two choices have the same ids (see `check_label_ids`).
    """
    if len(prompt.choices) > 1:
      self._check_choices(prompt.choices)
    ids = functools.partial(self.ids, sentinels=prompt.has_sentinels)
    return EncodedPrompt(
      turns=tuple(
        np.concatenate([ids(part) for part in turn]) for turn in prompt.turns
      ),
      exemplar_labels=prompt.exemplar_labels,
      choices=tuple(
        np.concatenate([ids(choice), self.eos]) for choice in prompt.choices
      ),
      answer=prompt.answer,
      start="".join(prompt.turns[0])[:60],
      nearest_last=prompt.nearest_last,
    )

  def _check_choices(self, choices: tuple[str, ...]) -> None:
    """Refuses choices with the same ids; those of a task are checked once."""
    if choices not in self._checked_choices:
      check_label_ids("the choices of a prompt", choices, self.vocab, self.ids)
      if len(self._checked_choices) >= _MAX_PARTS:
        self._checked_choices.clear()
      self._checked_choices.add(choices)

  def fit(self, encoded: EncodedPrompt) -> TokenizedPrompt:
    """Drops exemplars until a prompt fits, and ends it with EOS; see `tokenize`."""
    for ids in encoded.choices:
      self.check_target(ids, is_free=len(encoded.choices) == 1)
    lengths = [len(turn) for turn in encoded.turns]
    dropped = self.choose_dropped(
      encoded.exemplar_labels,
      lengths,
      lambda: encoded.start,
      nearest_last=encoded.nearest_last,
    )
    kept = [ids for i, ids in enumerate(encoded.turns) if i not in dropped]
    return TokenizedPrompt(
      inputs=np.concatenate([*kept, self.eos]),
      choices=encoded.choices,
      answer=encoded.answer,
      exemplars_kept=len(encoded.exemplar_labels) - len(dropped),
      exemplars_dropped=len(dropped),
    )

  def ids(self, part: str, *, sentinels: bool = False) -> Int[np.ndarray, "_tokens"]:
    """Ids of a text part, without EOS; a part that was seen is not tokenized again.

    Args:
      part: the text.
      sentinels: whether `<extra_id_0>` in it is T5's sentinel, not text.
    """
    ids = self._ids_by_part.get((part, sentinels))
    if ids is None:
      if len(self._ids_by_part) >= _MAX_PARTS:
        self._ids_by_part.clear()
      ids = self.vocab.encode(part, sentinels=sentinels)
      self._ids_by_part[part, sentinels] = ids
    return ids

  def check_target(
    self, ids: Int[np.ndarray, "targets"], *, is_free: bool = False
  ) -> None:
    """Refuses a choice that is longer than a target may be.

    Args:
      ids: of the choice, with EOS.
      is_free: whether it is free text, whose prompt can be left out.

    Raises:
      PromptTooLongError: the free text is too long.
      SymtuneError: the label word is too long.
    """
    if len(ids) > self.max_targets:
      kind = PromptTooLongError if is_free else SymtuneError
      raise kind(
        f"label {self.vocab.decode(ids)!r}: got {len(ids)} tokens with EOS, expected "
        f"at most {self.max_targets}. Raise the target length."
      )

  def choose_dropped(
    self,
    exemplar_labels: Sequence[int],
    lengths: Sequence[int],
    name: Callable[[], str],
    *,
    nearest_last: bool,
  ) -> set[int]:
    """Which exemplars go so that a prompt fits; see `dropping_order`.

    Args:
      exemplar_labels: class id of each exemplar.
      lengths: tokens of each exemplar, then of the query.
      name: what an error calls the prompt, such as how it starts.
      nearest_last: whether the last exemplars stay longest.

    Returns:
      Numbers of the exemplars to leave out; empty if all fit.

    Raises:
      PromptTooLongError: too few exemplars would be left.
    """
    excess = sum(lengths) + 1 - self.max_inputs
    dropped: set[int] = set()
    if excess <= 0:
      return dropped
    for turn in dropping_order(
      exemplar_labels, self.min_exemplars_per_class, nearest_last=nearest_last
    ):
      dropped.add(turn)
      excess -= lengths[turn]
      if excess <= 0:
        return dropped
    raise PromptTooLongError(
      f"prompt starting {name()!r}: got {self.max_inputs + excess} tokens with "
      f"{self.min_exemplars_per_class} exemplars per class, expected at most "
      f"{self.max_inputs}. Raise the input length."
    )


def dropping_order(
  exemplar_labels: Sequence[int], minimum: int = 0, *, nearest_last: bool = False
) -> Iterator[int]:
  """In which order exemplars go until a prompt fits, whoever reads the prompt.

  Of the largest class the last one goes; of several largest classes, that whose first
  exemplar stands last. Where the last exemplars are most like the query, the order is
  that of the prompt read backwards, so that the least similar ones go.

  Args:
    exemplar_labels: class id of each exemplar.
    minimum: exemplars of each class that stay.
    nearest_last: whether exemplars were looked up, those most like the query last.

  Yields:
    Numbers of the exemplars, until `minimum` of each class are left.
  """
  if nearest_last:
    backwards = dropping_order(exemplar_labels[::-1], minimum)
    yield from (len(exemplar_labels) - 1 - turn for turn in backwards)
    return
  kept: list[list[int]] = [[] for _ in range(max(exemplar_labels, default=0) + 1)]
  for turn, label in enumerate(exemplar_labels):
    kept[label].append(turn)
  while True:
    largest = max(kept, key=lambda turns: (len(turns), turns))
    if len(largest) <= minimum:
      return
    yield largest.pop()
