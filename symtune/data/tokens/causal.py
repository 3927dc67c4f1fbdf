r"""Stage 5 for decoder-only models: Prompt -> CausalPrompt, TokenPair. Joined ids.

A sequence is BOS, where the tokenizer puts one, then exemplars, the query and its
label. Every label has a space before it and a blank line after it:

    Input: it was fun\nOutput: 4921\n\nInput: a dull film\nOutput: 360\n\n

Turns (up to the cue) and labels (" 4921\n\n") are tokenized once each, with what stands
around them, so that a prompt's ids are those of its whole text. White space at both
ends of a turn or a label is left out, as T5's vocabulary does.
"""

import dataclasses
import enum
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from symtune.data.mixture import Mixture
from symtune.data.prompts import TURN_SEPARATOR, Prompt, PromptFormat, turn_cues
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.tokens.label_ids import check_drawn_words, check_label_ids
from symtune.data.tokens.tokenizer import (
  NO_LIMIT,
  PromptBlock,
  PromptTooLongError,
  TokenizedPrompt,
  TokenPair,
  dropping_order,
)
from symtune.errors import SymtuneError

# Parts whose ids are remembered; about 1 GB of text and ids at most.
_MAX_PARTS = 1_000_000
# What stands around parts while they are tokenized: any word, and any cue.
_WORD = "a"
_CUE = "a:"
_SHOWN = 60  # characters of a prompt in messages


class LossOn(enum.StrEnum):
  """Which labels of a prompt the tuning loss scores."""

  LAST = "last"  # the query's, as Wei et al. 2023 do
  EVERY = "every"  # the exemplars' too


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalPrompt(TokenizedPrompt):
  """A prompt of a decoder-only model as ids, with every choice as a whole target.

  Attributes:
    inputs: BOS, where there is one, and the prompt up to the cue before the label.
    choices: ids of each label word, with its space and the blank line after it.
    query_start: where the query's turn begins in `inputs`; BOS and the exemplars stand
      before it.
    exemplar_targets: places in `inputs` of the exemplars' labels, each with its space
      and blank line.
  """

  query_start: int
  exemplar_targets: Int[np.ndarray, "_places"]

  @property
  def pair(self) -> TokenPair:
    """The sequence with the right label, whose places are the targets."""
    ids = np.concatenate([self.inputs, self.choices[self.answer]])
    places = np.arange(len(self.inputs), len(ids), dtype=np.int32)
    return TokenPair(inputs=ids, targets=places)


class CausalTokenizer:
  """Turns prompts into ids, one vocabulary call for each new part; makes them fit."""

  def __init__(
    self,
    vocab: CausalVocab,
    *,
    max_inputs: int = NO_LIMIT,
    max_targets: int = NO_LIMIT,
    max_positions: int = NO_LIMIT,
    min_exemplars_per_class: int = 0,
    loss_on: LossOn = LossOn.LAST,
  ):
    """Sets the limits.

    Args:
      vocab: the model's vocabulary.
      max_inputs: longest sequence in tokens: BOS, prompt, longest choice, blank line.
      max_targets: most tokens of a sequence that the loss scores, or that are written.
      max_positions: tokens that the network has positions for. The last token of an
        answer is never read, so it needs none.
      min_exemplars_per_class: exemplars of each class that a prompt must keep (those
        that had fewer to begin with keep all).
      loss_on: the labels that the loss scores.
    """
    self.vocab = vocab
    self.max_inputs = max_inputs
    self.max_targets = max_targets
    self.max_positions = max_positions
    self.min_exemplars_per_class = min_exemplars_per_class
    self.loss_on = loss_on
    bos = [] if vocab.bos_id is None else [vocab.bos_id]
    self._bos = np.asarray(bos, np.int32)
    self._ids_by_part: dict[tuple[str, str, str], np.ndarray] = {}
    self._checked_choices: set[tuple[str, ...]] = set()

  def tokenize(self, prompt: Prompt, *, writes: bool = False) -> CausalPrompt:
    """Ids of a prompt; whole exemplars are dropped evenly until it fits.

    Args:
      prompt: from stage 4.
      writes: whether an answer of up to `max_targets` tokens is written after it,
        rather than one of the choices.

    Returns:
      Ids of the input and of every choice.

    Raises:
      PromptTooLongError: the prompt does not fit without dropping below
        `min_exemplars_per_class`, or its only choice, which is free text, is too long.
      SymtuneError: a label word is longer than `max_targets`, two choices have the same
        ids, the prompt is empty, or one token covers two parts.
    """
    if len(prompt.choices) > 1:
      self._check_choices(prompt.choices)
    choices = tuple(self._label(word, _WORD) for word in prompt.choices)
    for ids in choices:
      self._check_target(ids, is_free=len(choices) == 1)
    longest = max(len(ids) for ids in choices)
    room = (self.max_targets if writes else longest) - 1
    order = dropping_order(
      prompt.exemplar_labels,
      self.min_exemplars_per_class,
      nearest_last=prompt.nearest_last,
    )
    kept = list(range(len(prompt.exemplar_labels)))
    while True:
      joined = self._join(prompt, kept, choices)
      length = len(joined.inputs) + longest
      scored = longest
      if self.loss_on is LossOn.EVERY:
        scored += len(joined.exemplar_targets)
      has_positions = len(joined.inputs) + room <= self.max_positions
      fits = length <= self.max_inputs and scored <= self.max_targets
      if fits and has_positions:
        return joined
      dropped = next(order, None)
      if dropped is None and fits:
        raise self._no_positions(prompt, len(joined.inputs), room)
      if dropped is None:
        raise self._too_long(prompt, length, scored)
      kept.remove(dropped)

  def pair(self, prompt: CausalPrompt) -> TokenPair:
    """What tuning reads of a prompt.

    Args:
      prompt: from `tokenize`.

    Returns:
      As inputs, the ids of the whole sequence: prompt, right label and blank line. As
      targets, the places in it, rising, of the tokens that the loss scores.
    """
    pair = prompt.pair
    if self.loss_on is LossOn.LAST:
      return pair
    places = np.concatenate([prompt.exemplar_targets, pair.targets])
    return dataclasses.replace(pair, targets=places)

  def _join(
    self,
    prompt: Prompt,
    kept: Sequence[int],
    choices: tuple[Int[np.ndarray, "_targets"], ...],
  ) -> CausalPrompt:
    """The ids of a prompt with some of its exemplars."""
    *exemplars, query = prompt.turns
    shown = [exemplars[number] for number in kept]
    texts = [*("".join(turn[:-1]).strip() for turn in shown), "".join(query).strip()]
    parts, places = [self._bos], [np.zeros(0, np.int32)]
    length = len(self._bos)
    for turn, text, following in zip(shown, texts[:-1], texts[1:], strict=True):
      before = self._turn(text, is_first=len(parts) == 1)
      label = self._label(turn[-1], following[:1])
      parts += [before, label]
      start = length + len(before)
      length = start + len(label)
      places.append(np.arange(start, length, dtype=np.int32))
    parts.append(self._turn(texts[-1], is_first=len(parts) == 1))
    inputs = np.concatenate(parts)
    if not len(inputs):
      raise SymtuneError(
        "prompt: got no text, expected some: without any token before it a label has "
        "no probability. Leave rows with an empty input out."
      )
    return CausalPrompt(
      inputs=inputs,
      choices=choices,
      answer=prompt.answer,
      exemplars_kept=len(kept),
      exemplars_dropped=len(exemplars) - len(kept),
      query_start=length,
      exemplar_targets=np.concatenate(places),
    )

  def _turn(self, text: str, *, is_first: bool) -> Int[np.ndarray, "_tokens"]:
    """Ids of a turn up to its cue, as they stand before a label."""
    before = "" if is_first else _WORD + TURN_SEPARATOR
    return self._ids(before, text, f" {_WORD}")

  def _label(self, word: str, following: str) -> Int[np.ndarray, "_tokens"]:
    """Ids of a label with its space and blank line, as they stand before a turn.

    Args:
      word: the label word.
      following: first character of the turn; tokenizers that cut digits off treat the
        white space before them differently.
    """
    text = f" {word.strip()}{TURN_SEPARATOR}"
    return self._ids(_CUE, text, following or _WORD)

  def _word(self, word: str) -> Int[np.ndarray, "_tokens"]:
    """The same ids as the vocabulary's `encode_label`, from memory."""
    return self._ids(_CUE, f" {word.strip()}", "")

  def _ids(self, *part: str) -> Int[np.ndarray, "_tokens"]:
    """Ids of a text between two others, from memory if it was seen."""
    key = (part[0], part[1], part[2])
    ids = self._ids_by_part.get(key)
    if ids is None:
      if len(self._ids_by_part) >= _MAX_PARTS:
        self._ids_by_part.clear()
      ids = self._ids_by_part[key] = self.vocab.encode_between(*key)
    return ids

  def _check_choices(self, choices: tuple[str, ...]) -> None:
    """Refuses choices with the same ids; those of a task are checked once."""
    if choices not in self._checked_choices:
      check_label_ids("the choices of a prompt", choices, self.vocab, self._word)
      if len(self._checked_choices) >= _MAX_PARTS:
        self._checked_choices.clear()
      self._checked_choices.add(choices)

  def _check_target(self, ids: Int[np.ndarray, "targets"], *, is_free: bool) -> None:
    if len(ids) > self.max_targets:
      kind = PromptTooLongError if is_free else SymtuneError
      raise kind(
        f"label {self.vocab.decode(ids).strip()!r}: got {len(ids)} tokens with the "
        f"blank line, expected at most {self.max_targets}. Raise the target length."
      )

  def _no_positions(self, prompt: Prompt, length: int, room: int) -> PromptTooLongError:
    return PromptTooLongError(
      f"prompt starting {''.join(prompt.turns[0])[:_SHOWN]!r}: got {length} tokens "
      f"with {self.min_exemplars_per_class} exemplars per class and up to {room} of an "
      f"answer, but the model has {self.max_positions} positions. Leave this task out, "
      "lower the target length, or use a model with more positions."
    )

  def _too_long(self, prompt: Prompt, length: int, scored: int) -> PromptTooLongError:
    got, limit, name = length, self.max_inputs, "input"
    if length <= self.max_inputs:
      got, limit, name = scored, self.max_targets, "target"
    return PromptTooLongError(
      f"prompt starting {''.join(prompt.turns[0])[:_SHOWN]!r}: got {got} {name} tokens "
      f"with {self.min_exemplars_per_class} exemplars per class, expected at most "
      f"{limit}. Raise the {name} length."
    )


class CausalStream:
  """The tokenized prompts of a mixture, by position; can be sent to other processes."""

  def __init__(self, mixture: Mixture, tokenizer: CausalTokenizer):
    """Takes what says what stands at each position, and vocabulary and limits.

    Raises:
      SymtuneError: prompts may offer label words that have the same ids.
    """
    check_drawn_words(mixture.draws.tables, tokenizer.vocab)
    self._mixture, self._tokenizer = mixture, tokenizer

  def __call__(self, positions: range) -> PromptBlock:
    """The tokenized prompts at some positions (0-based, one after another).

    Raises:
      SymtuneError: a label is longer than a target may be.
    """
    pairs: list[TokenPair | None] = []
    dropped, error = np.zeros(len(positions), np.int64), None
    for number, prompt in enumerate(self._mixture.prompts(positions)):
      try:
        found = self._tokenizer.tokenize(prompt)
      except PromptTooLongError as caught:
        pairs.append(None)
        error = caught
      else:
        pairs.append(self._tokenizer.pair(found))
        dropped[number] = found.exemplars_dropped
    return PromptBlock(pairs=pairs, dropped=dropped, error=error)


def check_joins(vocab: CausalVocab, where: str) -> None:
  """Refuses a tokenizer whose ids of a whole prompt are not those of its parts.

  Args:
    vocab: the vocabulary.
    where: its path, for messages.

  Raises:
    SymtuneError: shows a prompt whose ids differ.
  """
  tokenizer = CausalTokenizer(vocab)
  for form, (texts, words) in itertools.product(PromptFormat, _SAMPLES):
    prompt = _sample(form, texts, words)
    whole = vocab.encode(f"{prompt.inputs} {words[-1]}{TURN_SEPARATOR}{_WORD}")
    try:
      ids = tokenizer.tokenize(prompt).pair.inputs
    except SymtuneError:
      ids = None  # one token covers two parts, or two words have the same ids
    own = None if ids is None else ids[0 if vocab.bos_id is None else 1 :]
    if own is None or not np.array_equal(whole[: len(own)], own):
      raise SymtuneError(
        f"{where}: the prompt {prompt.inputs!r} has other ids than its parts, expected "
        "the same: such a tokenizer is not supported. The model can be asked with "
        "--checkpoint transformers:FOLDER."
      )


# Texts and label words that families' rules cut in different ways.
_SAMPLES = (
  (("It was fun.", "a dull film", "Why? (2nd try)"), ("positive", "negative")),
  (('"Don\'t," he said', "12 of 34...", "naïve 数学 🙂 end"), ("4921", "No.")),
  (("two  spaces \t here", "one\n\ntwo\nthree", "x = y;"), ("not_same", "é A")),
)


def _sample(form: PromptFormat, texts: Sequence[str], words: tuple[str, ...]) -> Prompt:
  head, cue = turn_cues(form, None)
  *shown, query = texts
  turns = [
    (*head, text, cue + " ", word) for text, word in zip(shown, words, strict=True)
  ]
  return Prompt(
    turns=(*turns, (*head, query, cue)),
    exemplar_labels=(0, 1),
    choices=words,
    answer=1,
  )
