"""Questions with answers: prompts of In-Context RALM, exact match and F1.

The prompts are those of arXiv 2302.00083 (section 7 and its code). Answers are compared
after SQuAD's normalisation (Rajpurkar et al. 2016): no case, punctuation, articles and
extra white space.
"""

import collections
import dataclasses
import pathlib
import re
import string
from collections.abc import Sequence

from symtune.bounded import parse_json, read_bytes, split_lines
from symtune.errors import SymtuneError
from symtune.retrieve.passages import Passage

MAX_NEW_TOKENS = 10
_MAX_BYTES = 1_000_000_000
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenQuestion:
  """A question and the texts that answer it.

  Attributes:
    question: the question.
    answers: any of these is right.
  """

  question: str
  answers: tuple[str, ...]


def read_questions(path: pathlib.Path) -> list[OpenQuestion]:
  """The questions of a JSONL file: `question` and a list of `answers` in each line.

  Raises:
    SymtuneError: a line has other content, or there is none; names file and line.
    OSError: the file is missing.
  """
  found = []
  for number, line in enumerate(split_lines(read_bytes(path, _MAX_BYTES)), 1):
    if line.strip():
      found.append(_parse(line, f"{path}, line {number}"))
  if not found:
    raise SymtuneError(f"{path}: got no questions, expected at least one line.")
  return found


def _parse(line: bytes, where: str) -> OpenQuestion:
  row = parse_json(line, where)
  question = row.get("question") if isinstance(row, dict) else None
  answers = row.get("answers") if isinstance(row, dict) else None
  if not isinstance(question, str) or not question.strip():
    raise SymtuneError(f"{where}: expected a 'question' that is a text.")
  texts = answers if isinstance(answers, list) else []
  if not texts or not all(isinstance(a, str) and a.strip() for a in texts):
    raise SymtuneError(f"{where}: expected 'answers', a list of at least one text.")
  return OpenQuestion(question=question, answers=tuple(texts))


def make_prompt(question: str, passages: Sequence[Passage]) -> str:
  """The paper's prompt, behind passages or closed-book.

  Args:
    question: its first letter becomes a small one, and it ends with a question mark.
    passages: in their order; none for the closed-book prompt.
  """
  asked = question.strip()
  asked = f"{asked[0].lower()}{asked[1:]}"
  asked = asked if asked.endswith("?") else f"{asked}?"
  if not passages:
    return f"Answer these questions:\nQ: {asked}\nA:"
  texts = "".join(f"{p.title}\n\n{p.text}\n\n".lstrip("\n") for p in passages)
  these = "this text" if len(passages) == 1 else "these texts"
  return f"{texts}Based on {these}, answer these questions:\nQ: {asked}\nA:"


def normalize(answer: str) -> str:
  """An answer without what does not count."""
  plain = answer.lower().translate(_NO_PUNCTUATION)
  return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(given: str, answers: Sequence[str]) -> float:
  """1 if the answer equals one of the right ones, else 0."""
  return float(normalize(given) in {normalize(answer) for answer in answers})


def f1(given: str, answers: Sequence[str]) -> float:
  """The largest harmonic mean of precision and recall of words, 0 to 1."""
  return max(_f1(normalize(given).split(), normalize(a).split()) for a in answers)


def _f1(given: list[str], right: list[str]) -> float:
  if not given or not right:
    return float(given == right)
  common = (collections.Counter(given) & collections.Counter(right)).total()
  return 2 * common / (len(given) + len(right))
