"""(generated text, encoding) -> the answer that is scored.

After "Let's think step by step." (Kojima et al. 2022, arXiv 2205.11916) a model writes
down how it gets to its answer, and only what the text ends with is the answer.
"""

import re

from symtune.data.text.instructions import Encoding

_CONCLUSION = re.compile(r"\banswer(?: is|:)[ :]*", re.IGNORECASE)


def extract_answer(text: str, encoding: Encoding) -> str:
  """The answer in a generated text: all of it, or what a chain of thought ends with.

  After "step by step", the answer is what follows the last "answer is" or "answer:" in
  its line; without one, the last line.

  Args:
    text: what a model generated.
    encoding: how it was asked.
  """
  if encoding is not Encoding.STEP_BY_STEP:
    return text.strip()
  found = [*_CONCLUSION.finditer(text)]
  rest = text[found[-1].end() :].strip() if found else ""
  lines = rest.splitlines()[:1] or text.strip().splitlines()[-1:]
  return lines[0].strip().removesuffix(".") if lines else ""
