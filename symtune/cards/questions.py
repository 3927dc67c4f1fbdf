"""Questions with a right answer: BIG-Bench Hard, as choices where a question has some.

A classification task has the same labels in every row; a question has its own choices:

  input     Which is right? Options:      target   (B)     choices   (A), (B)
            (A) big red car
            (B) red big car
  input     Sort: oak elm ash             target   ash elm oak      none: free text

The choices are the options that a question lists; if it lists none, they are the closed
set of its task's answers. A question whose answer is not among them is free text.
"""

import dataclasses
import hashlib
import os
import re

from etils import epath

from symtune.bounded import parse_json, read_bytes
from symtune.cards.resources import resource_dir
from symtune.cards.strict_yaml import read_yaml
from symtune.errors import SymtuneError

_MAX_BYTES = 100_000_000
_LETTER = re.compile(r"^(\([A-Z]\)) ", re.MULTILINE)
_DASH = re.compile(r"^- (.+)$", re.MULTILINE)
# Tasks whose questions list no options but have one of two answers.
_CLOSED = (
  frozenset({"True", "False"}),
  frozenset({"yes", "no"}),
  frozenset({"Yes", "No"}),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
  """One question.

  Attributes:
    row: 0-based place in the file.
    input: the question.
    target: the right answer.
    choices: the answers offered, including the right one; empty for free text.
  """

  row: int
  input: str
  target: str
  choices: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionTask:
  """One file of questions.

  Attributes:
    name: name of the task.
    instruction: one sentence that tells a person what to do.
    questions: the questions, in file order.
    fingerprint: SHA-256 of the instruction and the file.
    canary: string that marks text not to be trained on; keep it with the results.
  """

  name: str
  instruction: str
  questions: tuple[Question, ...]
  fingerprint: str
  canary: str


def load_questions(
  data_dir: str | os.PathLike[str], name: str = "bbh"
) -> tuple[QuestionTask, ...]:
  """Reads every task that `tasks/questions/<name>.yaml` lists.

  Args:
    data_dir: the folder that holds `<name>/<task>.json`; local or `gs://...`.
    name: name of the list.

  Returns:
    The tasks, in the order of the list.

  Raises:
    SymtuneError: the list or a file is missing, or a file has the wrong form.
  """
  keys = read_yaml(resource_dir("tasks") / "questions" / f"{name}.yaml")
  keys.check_keys(["name", "version", "reference", "licence", "tasks"])
  tasks = keys.section("tasks")
  folder = epath.Path(data_dir) / name
  return tuple(
    _read_task(folder / f"{task}.json", task, tasks.text(task)) for task in tasks.values
  )


def _read_task(path: epath.Path, name: str, instruction: str) -> QuestionTask:
  try:
    content = read_bytes(path, _MAX_BYTES)
    values = parse_json(content)
    examples = values["examples"]
    pairs = [(example["input"], example["target"]) for example in examples]
  except FileNotFoundError as error:
    raise SymtuneError(f"{path}: no such file; put the data set's file there") from (
      error
    )
  except (SymtuneError, KeyError, TypeError) as error:
    raise SymtuneError(
      f"{path}: expected {{'examples': [{{'input', 'target'}}]}} as published "
      f"({type(error).__name__}: {error})"
    ) from error
  for row, pair in enumerate(pairs):
    if not all(isinstance(text, str) and text.strip() for text in pair):
      raise SymtuneError(f"{path}, example {row + 1}: empty input or target")
  answers = frozenset(target for _, target in pairs)
  closed = next((tuple(sorted(c)) for c in _CLOSED if answers <= c), ())
  digest = hashlib.sha256(f"{instruction}\n".encode() + content).hexdigest()
  return QuestionTask(
    name=name,
    instruction=instruction,
    questions=tuple(
      Question(
        row=row, input=text, target=target, choices=_choices(text, target, closed)
      )
      for row, (text, target) in enumerate(pairs)
    ),
    fingerprint=digest,
    canary=str(values.get("canary", "")),
  )


def _choices(text: str, target: str, closed: tuple[str, ...]) -> tuple[str, ...]:
  options = text.partition("Options:\n")[2]
  listed = _LETTER.findall(options) or [o.strip() for o in _DASH.findall(options)]
  choices = tuple(dict.fromkeys(listed)) or closed
  return choices if target in choices else ()
