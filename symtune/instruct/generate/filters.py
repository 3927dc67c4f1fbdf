"""What is no good as an instruction or as an instance: one pure function per rule.

The rules are those of Self-Instruct (Wang et al. 2022, arXiv 2212.10560, section 3.2,
and `bootstrap_instructions.py` and `prepare_for_finetuning.py` of its code). How alike
an instruction is to others is measured in `overlap.py`.
"""

import dataclasses
import enum
import re
import string
from collections.abc import Sequence

# Models without eyes cannot do these (section 3.2 and the code).
KEYWORDS = (
  "image",
  "images",
  "graph",
  "graphs",
  "picture",
  "pictures",
  "file",
  "files",
  "map",
  "maps",
  "draw",
  "plot",
  "go to",
)
# Those that Stanford Alpaca adds (its `generate_instruction.py`).
ALPACA_KEYWORDS = ("video", "audio", "music", "flowchart", "diagram")
FEWEST_WORDS, MOST_WORDS = 4, 150
MOST_INSTANCES = 5


class Reason(enum.StrEnum):
  """Why a candidate is rejected."""

  # Instructions
  TRUNCATED = "truncated"  # its response was cut off by the largest number of tokens
  EMPTY = "empty"
  TOO_SHORT = "too short"
  TOO_LONG = "too long"
  KEYWORD = "keyword"
  PROGRAM = "program"
  PUNCTUATION = "punctuation"
  NOT_ASCII = "not ascii"
  SIMILAR = "similar"
  ENOUGH = "enough"  # as many as were asked for had been found before it
  # Instances; TRUNCATED, too
  NO_OUTPUT = "no output"
  REPEATS_INPUT = "repeats input"
  COLON = "colon"
  CONTRADICTION = "contradiction"
  DUPLICATE = "duplicate"
  TOO_MANY = "too many"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instance:
  """An input, which may be empty, and an output."""

  input: str
  output: str


def is_too_short(instruction: str) -> bool:
  """Whether it has three words or fewer."""
  return len(instruction.split()) < FEWEST_WORDS


def is_too_long(instruction: str) -> bool:
  """Whether it has more than 150 words."""
  return len(instruction.split()) > MOST_WORDS


def has_keyword(instruction: str, keywords: Sequence[str] = KEYWORDS) -> bool:
  """Whether a keyword stands in it, as a word or words, in any case."""
  return any(
    re.search(rf"\b{re.escape(keyword)}\b", instruction, re.IGNORECASE)
    for keyword in keywords
  )


def asks_for_program(instruction: str) -> bool:
  """Whether it begins with "Write a program", of which there were too many."""
  return instruction.startswith("Write a program")


def starts_with_punctuation(instruction: str) -> bool:
  """Whether its first character is ASCII punctuation."""
  return instruction.startswith(tuple(string.punctuation))


def starts_outside_ascii(instruction: str) -> bool:
  """Whether its first character is not in ASCII."""
  return not instruction[:1].isascii()


def judge_instruction(
  instruction: str, keywords: Sequence[str] = KEYWORDS
) -> Reason | None:
  """The first rule that an instruction breaks by itself; None if it breaks none.

  Args:
    instruction: a candidate without white space around it.
    keywords: words that it may not have.
  """
  checks = (
    (Reason.EMPTY, not instruction),
    (Reason.TOO_SHORT, is_too_short(instruction)),
    (Reason.TOO_LONG, is_too_long(instruction)),
    (Reason.KEYWORD, has_keyword(instruction, keywords)),
    (Reason.PROGRAM, asks_for_program(instruction)),
    (Reason.PUNCTUATION, starts_with_punctuation(instruction)),
    (Reason.NOT_ASCII, starts_outside_ascii(instruction)),
  )
  return next((reason for reason, is_broken in checks if is_broken), None)


def has_no_output(instance: Instance) -> bool:
  """Whether there is nothing to learn."""
  return not instance.output.strip()


def repeats_input(instance: Instance) -> bool:
  """Whether the output is the input."""
  return instance.input.strip() == instance.output.strip()


def ends_with_colon(instance: Instance) -> bool:
  """Whether a field ends with a colon: something that should follow is missing."""
  return any(text.strip().endswith(":") for text in (instance.input, instance.output))


def find_contradiction(instances: Sequence[Instance]) -> bool:
  """Whether two instances have the same input, which is not empty, and other outputs.

  An empty input may have several outputs: "Name a colour" has many right answers.
  """
  outputs: dict[str, str] = {}
  return any(
    outputs.setdefault(one.input.strip(), one.output.strip()) != one.output.strip()
    for one in instances
    if one.input.strip()
  )


def judge_instances(
  instances: Sequence[Instance], *, is_truncated: bool, most: int = MOST_INSTANCES
) -> tuple[Reason | None, ...]:
  """The first rule that each instance of an instruction breaks; None for kept ones.

  The published code removes duplicates through a set, whose order differs from run to
  run; here the first of equal instances is kept, in order.

  Args:
    instances: those of one instruction, in the order in which they were written.
    is_truncated: whether the text that they are from was cut off; then the last one is
      not whole.
    most: how many may be kept.

  Returns:
    A reason or None per instance.
  """
  reasons = [_judge_alone(instance) for instance in instances]
  if is_truncated and reasons:
    reasons[-1] = Reason.TRUNCATED
  whole = [one for one, reason in zip(instances, reasons, strict=True) if not reason]
  if find_contradiction(whole):
    return tuple(reason or Reason.CONTRADICTION for reason in reasons)
  kept: list[tuple[str, str]] = []
  for place, one in enumerate(instances):
    key = (one.input.strip(), one.output.strip())
    if reasons[place]:
      continue
    if key in kept:
      reasons[place] = Reason.DUPLICATE
    elif len(kept) == most:
      reasons[place] = Reason.TOO_MANY
    else:
      kept.append(key)
  return tuple(reasons)


def _judge_alone(instance: Instance) -> Reason | None:
  checks = (
    (Reason.NO_OUTPUT, has_no_output(instance)),
    (Reason.REPEATS_INPUT, repeats_input(instance)),
    (Reason.COLON, ends_with_colon(instance)),
  )
  return next((reason for reason, is_broken in checks if is_broken), None)
