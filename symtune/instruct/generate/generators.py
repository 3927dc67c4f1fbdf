"""What continues prompts, whoever it is: prompts and settings in, completions out.

`models/` holds those that there are: native decoders and T5, Transformers, and servers.
"""

import dataclasses
import enum
from collections.abc import Sequence
from typing import Protocol

from symtune.checks import check_types
from symtune.errors import SymtuneError


class Ended(enum.StrEnum):
  """Why a completion is over."""

  STOP = "stop"  # at a stop string
  END = "end"  # with the model's own end of text
  LENGTH = "length"  # after the largest number of tokens: the text may be cut off


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """How prompts are continued.

  Attributes:
    max_tokens: most tokens of a completion.
    temperature: divides the logits; 0 takes the likeliest token.
    top_p: draw only among the fewest tokens that are this likely together.
    presence_penalty: taken from the logits of tokens that a completion already holds.
    stops: a completion ends before the first of these texts; generators may stop later,
      and cut.
  """

  max_tokens: int
  temperature: float = 0.0
  top_p: float = 1.0
  presence_penalty: float = 0.0
  stops: Sequence[str] = ()

  def __post_init__(self):
    check_types(self)
    for name, is_right, expected in (
      ("max_tokens", self.max_tokens >= 1, "at least 1"),
      ("temperature", self.temperature >= 0.0, "0 or more"),
      ("top_p", 0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
      ("stops", all(self.stops), "texts that are not empty"),
    ):
      if not is_right:
        value = getattr(self, name)
        raise SymtuneError(f"Sampling.{name} is {value}, expected {expected}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion:
  """What a generator wrote after a prompt.

  Attributes:
    text: the text before a stop string, with the white space that it begins with.
    ended: why it is over.
    prompt_tokens: number of tokens that the generator read.
    tokens: number of tokens that it wrote, with those that were cut off.
  """

  text: str
  ended: Ended
  prompt_tokens: int
  tokens: int


class Generator(Protocol):
  """Continues prompts.

  Attributes:
    name: its name in reports.
    identity: what it is: a hash of its weights, or a server's address and model.
    writes_lines: whether it can write line breaks, and so a list or a form.
  """

  name: str
  identity: str
  writes_lines: bool

  def complete(
    self, prompts: Sequence[str], sampling: Sampling, seed: int
  ) -> list[Completion]:
    """Continues prompts.

    Args:
      prompts: texts; each should end without white space.
      sampling: how they are continued.
      seed: of what is drawn, 0 to 2**31 - 1. Native models give the same completions
        for the same prompts, in the same order, with the same seed.

    Returns:
      One completion per prompt.

    Raises:
      SymtuneError: a prompt is too long for the model, or a server does not answer.
    """
    ...


def make_completion(
  text: str, stops: Sequence[str], *, is_ended: bool, prompt_tokens: int, tokens: int
) -> Completion:
  """A completion of a text, cut before the first stop string.

  Args:
    text: all that was written.
    stops: the stop strings.
    is_ended: whether the model ended the text.
    prompt_tokens: number of tokens that were read.
    tokens: number of tokens that were written.
  """
  places = [place for stop in stops if (place := text.find(stop)) >= 0]
  if places:
    text, ended = text[: min(places)], Ended.STOP
  else:
    ended = Ended.END if is_ended else Ended.LENGTH
  return Completion(text=text, ended=ended, prompt_tokens=prompt_tokens, tokens=tokens)
