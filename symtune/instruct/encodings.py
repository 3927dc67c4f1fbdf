r"""(Task, row, encoding) -> Prompt: how an instruction is asked.

The first five encodings are Tk-Instruct's (Wang et al. 2022, arXiv 2204.07705, section
5.2 and `ni_collator.py`): definition, examples and instance, in this order.

    Definition: Say whether the review is good.

     Positive Example 1 -
    Input: a fine film.
     Output: yes.

    Now complete the following example -
    Input: a dull one.
    Output:

Definition and examples are turns of their own. A prompt that is too long for a model
loses its examples, the last one first, then the definition, and never the instance.
(`ni_collator.py` cuts the end of the text, which is the instance.)
"""

import enum
import re
from collections.abc import Sequence

from symtune.data.instruction_prompts import (
  alpaca_parts,
  punctuated,
  tk_example,
  tk_query,
)
from symtune.data.prompts import Prompt
from symtune.data.text.instructions import (
  InstructionForm,
  InstructionRow,
  InstructionTask,
)
from symtune.errors import SymtuneError

# Kojima et al. 2022, arXiv 2205.11916, table 1.
_THINK = " Let's think step by step."
_CONCLUSION = re.compile(r"\banswer(?: is|:)[ :]*", re.IGNORECASE)


class Encoding(enum.StrEnum):
  """What a prompt shows besides the instance."""

  DEFINITION = "definition"  # the definition only
  POSITIVE = "positive"  # and two examples of right answers
  NEGATIVE = "negative"  # and two examples of wrong answers
  EXPLAINED = "explained"  # the definition, and two right answers with explanations
  EXAMPLES = "examples"  # two examples of right answers only
  ALPACA = "alpaca"  # the templates of Stanford Alpaca
  SELF_INSTRUCT = "self_instruct"  # "Task: ...", "Input: ...", "Output:"
  PLAIN = "plain"  # the input of a pair, which is a whole prompt
  STEP_BY_STEP = "step_by_step"  # the data's own, then "Let's think step by step."


# (definition, positive examples, negative examples, explanations)
_TK = {
  Encoding.DEFINITION: (True, 0, 0, False),
  Encoding.POSITIVE: (True, 2, 0, False),
  Encoding.NEGATIVE: (True, 2, 2, False),
  Encoding.EXPLAINED: (True, 2, 0, True),
  Encoding.EXAMPLES: (False, 2, 0, False),
}
DEFAULT_ENCODING = {
  InstructionForm.SUPER_NI: Encoding.DEFINITION,
  InstructionForm.ALPACA: Encoding.ALPACA,
  InstructionForm.SELF_INSTRUCT: Encoding.SELF_INSTRUCT,
  InstructionForm.PAIRS: Encoding.PLAIN,
}


def encode(task: InstructionTask, row: InstructionRow, encoding: Encoding) -> Prompt:
  """The prompt of a row.

  Args:
    task: its task, with the examples.
    row: the row.
    encoding: one that `check_encodings` allows for the task.

  Returns:
    A prompt whose answer is generated: its only choice is empty. Of its exemplars, the
    definition is of class 0 and examples are of class 1, so that examples go first.
  """
  turns: list[tuple[str, ...]] = []
  labels: list[int] = []
  kind = DEFAULT_ENCODING[task.form] if encoding is Encoding.STEP_BY_STEP else encoding
  if kind in _TK:
    is_defined, positive, negative, explained = _TK[kind]
    if is_defined:
      turns, labels = [("Definition: ", punctuated(row.instruction))], [0]
    shown = [
      ("Positive", task.positive[:positive]),
      ("Negative", task.negative[:negative]),
    ]
    for title, examples in shown:
      for number, example in enumerate(examples, start=1):
        head = f" {title} Example {number} -\n"
        turns.append(tuple(tk_example(head, example, explained)))
        labels.append(1)
    query = tk_query(row.input)
  elif kind is Encoding.ALPACA:
    query = alpaca_parts(row.instruction, row.input)
  elif kind is Encoding.SELF_INSTRUCT:
    given = ("\nInput: ", row.input) if row.input.strip() else ()
    query = ("Task: ", row.instruction, *given, "\nOutput:")
  else:
    query = (row.input.rstrip(),)
  if encoding is Encoding.STEP_BY_STEP:
    query = (*query, _THINK)
  kept = tuple(part for part in query if part)
  return Prompt(
    turns=(*turns, kept), exemplar_labels=tuple(labels), choices=("",), answer=0
  )


def check_encodings(
  tasks: Sequence[InstructionTask], encodings: Sequence[Encoding]
) -> None:
  """Refuses encodings that the data cannot fill.

  Raises:
    SymtuneError: an encoding occurs twice, shows examples or instructions that no task
      has, or asks the bare input of a row with an instruction.
  """
  if len(set(encodings)) < len(encodings):
    raise SymtuneError(f"--encoding: got {[*map(str, encodings)]}, expected each once.")
  forms = {task.form for task in tasks}
  fitting = (Encoding.PLAIN, Encoding.STEP_BY_STEP)
  for encoding in encodings:
    if InstructionForm.PAIRS in forms and encoding not in fitting:
      raise SymtuneError(
        f"--encoding {encoding}: pairs have no instruction apart from their input. "
        f"Use --encoding plain or step_by_step."
      )
    if InstructionForm.PAIRS not in forms and encoding is Encoding.PLAIN:
      raise SymtuneError(
        "--encoding plain: it shows the input alone, without the instruction that this "
        "data has. Use it with --form pairs, or choose another encoding."
      )
    shows = encoding in _TK and _TK[encoding][1] > 0
    if shows and not any(task.positive for task in tasks):
      raise SymtuneError(
        f"--encoding {encoding}: the data has no examples to show. Use Super-NI tasks "
        f"with Positive Examples, or --encoding definition."
      )


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
