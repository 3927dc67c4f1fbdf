r"""What a generator wrote -> instructions, labels and instances.

The layouts are those of Self-Instruct. Two things that its code does are not done here:
`capitalize()` makes "Translate to French" "Translate to french", so only the first
letter is changed; and "Example" splits a text only at the beginning of a line, not
inside a sentence.
"""

import re

from symtune.instruct.generate.filters import Instance

_NUMBER = re.compile(r"\n\d+\s?\. ")
_SPACE = re.compile(r"\s+")
_EXAMPLE = re.compile(r"^[ \t]*Example\s?\d*[.:]?", re.MULTILINE)
_OUTPUT = re.compile(r"Output\s*\d*\s*:")
_LABEL = "Class label:"
_NOTHING = ("", "none", "no input", "<noinput>", "n/a")


def parse_instructions(text: str) -> list[str]:
  """The instructions of a numbered list, whose first number stands in the prompt.

  Each is one line, and begins with a capital letter.
  """
  parts = [_SPACE.sub(" ", part).strip() for part in _NUMBER.split(f"\n{text}")]
  return [part[:1].upper() + part[1:] for part in parts]


def parse_is_classification(text: str) -> bool | None:
  """Whether the answer is Yes; None if it is neither Yes nor No."""
  word = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)
  return None if word is None else word[1].lower() == "yes"


def parse_input_first(text: str) -> list[Instance]:
  """The instances of a text with examples, each an input and "Output: ...".

  A text without examples and without "Output:" has none, as in the published code.
  """
  parts = [part for part in _EXAMPLE.split(text) if part.strip()]
  if _EXAMPLE.search(text) is None and _OUTPUT.search(text) is None:
    return []
  return [_split_output(part) for part in parts]


def parse_output_first(text: str) -> list[Instance]:
  """The instances of a text with "Class label: ..." and an input, again and again."""
  instances = []
  for part in text.split(_LABEL)[1:]:
    label, _, given = part.strip().partition("\n")
    instances.append(Instance(input=given.strip(), output=label.strip()))
  return instances


def parse_field(text: str) -> str:
  """A field that was asked for alone; words such as "none" mean that it is empty."""
  field = text.strip()
  return "" if field.lower().rstrip(".") in _NOTHING else field


def _split_output(text: str) -> Instance:
  """The text before the first "Output:", and what follows up to the next."""
  given, *outputs = _OUTPUT.split(text)
  if not outputs:
    return Instance(input="", output=given.strip())
  return Instance(input=given.strip(), output=outputs[0].strip())
