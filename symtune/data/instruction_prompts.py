r"""Instruction data as prompts: (task, row, encoding) -> Prompt, to tune and to ask.

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
(`ni_collator.py` cuts the end of the text, which is the instance.) Parts of a turn meet
at white space, as in all prompts (data/prompts.py).

In a mixture each prompt draws its row, its encoding and one of the row's answers. What
Self-Instruct's prompts look like is drawn too: with or without "Task:", "Input:" and
"Output:", and one or two newlines between them (Wang et al. 2022, arXiv 2212.10560,
appendix).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from symtune.data.prompts import Prompt
from symtune.data.text.instructions import (
  Encoding,
  InstructionForm,
  InstructionRow,
  InstructionTask,
  Shown,
)
from symtune.errors import SymtuneError

_WITH_INPUT = (
  "Below is an instruction that describes a task, paired with an input that provides "
  "further context. Write a response that appropriately completes the request.\n\n"
)
_WITHOUT_INPUT = (
  "Below is an instruction that describes a task. Write a response that appropriately "
  "completes the request.\n\n"
)
# Kojima et al. 2022, arXiv 2205.11916, table 1.
_THINK = " Let's think step by step."
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


class InstructionMaker:
  """Renders the rows of one task of instruction data, to tune on."""

  def __init__(self, task: InstructionTask, encodings: Sequence[Encoding] = ()):
    """Takes the task, and the encodings to draw from; none takes the published ones.

    Those are all five of Tk-Instruct for Super-NI, and the data's own otherwise.
    """
    self.task = task
    is_super_ni = task.form is InstructionForm.SUPER_NI
    published = tuple(_TK) if is_super_ni else (DEFAULT_ENCODING[task.form],)
    self._encodings = tuple(encodings) or published

  def prompt(self, rng: np.random.Generator) -> Prompt:
    """One prompt, which depends on `rng` alone.

    Args:
      rng: draws row, encoding and answer; for this prompt alone.

    Returns:
      A prompt with a single choice, its target. Its exemplars are those of `encode`.
    """
    row = self.task.rows[int(rng.integers(len(self.task.rows)))]
    encoding = self._encodings[0]
    if len(self._encodings) > 1:
      encoding = self._encodings[int(rng.integers(len(self._encodings)))]
    if encoding is Encoding.SELF_INSTRUCT:
      parts = _drawn_self_instruct(rng, row)
      prompt = _to_prompt([], [], parts)
    else:
      prompt = encode(self.task, row, encoding)
    target = row.outputs[int(rng.integers(len(row.outputs)))]
    return dataclasses.replace(prompt, choices=(target,))


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
  kind = DEFAULT_ENCODING[task.form] if encoding is Encoding.STEP_BY_STEP else encoding
  turns: list[tuple[str, ...]] = []
  labels: list[int] = []
  if kind in _TK:
    turns, labels = _tk_turns(task, row, kind)
    query = _tk_query(row.input)
  elif kind is Encoding.ALPACA:
    query = _alpaca(row)
  elif kind is Encoding.SELF_INSTRUCT:
    given = ("\nInput: ", row.input) if row.input.strip() else ()
    query = ("Task: ", row.instruction, *given, "\nOutput:")
  else:
    query = (row.input.rstrip(),)
  if encoding is Encoding.STEP_BY_STEP:
    query = (*query, _THINK)
  return _to_prompt(turns, labels, query)


def check_encodings(
  tasks: Sequence[InstructionTask],
  encodings: Sequence[Encoding],
  setting: str = "--encoding",
) -> None:
  """Refuses encodings that the data cannot fill.

  Args:
    tasks: the data.
    encodings: how it is asked.
    setting: what messages call the encodings: an option, or a setting of a recipe.

  Raises:
    SymtuneError: an encoding occurs twice, shows examples or instructions that no task
      has, or asks the bare input of a row with an instruction.
  """
  if len(set(encodings)) < len(encodings):
    raise SymtuneError(f"{setting}: got {[*map(str, encodings)]}, expected each once.")
  forms = {task.form for task in tasks}
  fitting = (Encoding.PLAIN, Encoding.STEP_BY_STEP)
  for encoding in encodings:
    if InstructionForm.PAIRS in forms and encoding not in fitting:
      raise SymtuneError(
        f"{setting} {encoding}: pairs have no instruction apart from their input. "
        f"Use {setting} plain or step_by_step."
      )
    if InstructionForm.PAIRS not in forms and encoding is Encoding.PLAIN:
      raise SymtuneError(
        f"{setting} plain: it shows the input alone, without the instruction that this "
        f"data has. Use it with data of the form pairs, or choose another encoding."
      )
    shows = encoding in _TK and _TK[encoding][1] > 0
    if shows and not any(task.positive for task in tasks):
      raise SymtuneError(
        f"{setting} {encoding}: the data has no examples to show. Use Super-NI tasks "
        f"with Positive Examples, or {setting} definition."
      )


def _to_prompt(
  shown: Sequence[tuple[str, ...]], labels: Sequence[int], query: tuple[str, ...]
) -> Prompt:
  turns = [tuple(part for part in turn if part) for turn in (*shown, query)]
  return Prompt(
    turns=tuple(turns), exemplar_labels=tuple(labels), choices=("",), answer=0
  )


def _alpaca(row: InstructionRow) -> tuple[str, ...]:
  """Stanford Alpaca's prompt: one of two templates."""
  if not row.input.strip():
    return _WITHOUT_INPUT, "### Instruction:\n", row.instruction, "\n\n### Response:"
  head = (_WITH_INPUT, "### Instruction:\n", row.instruction)
  return (*head, "\n\n### Input:\n", row.input, "\n\n### Response:")


def _drawn_self_instruct(
  rng: np.random.Generator, row: InstructionRow
) -> tuple[str, ...]:
  named, input_named, output_named, wide = (rng.random(4) < 0.5).tolist()
  gap = "\n\n" if wide else "\n"
  parts = ["Task: " if named else "", row.instruction]
  if row.input.strip():
    parts += [gap + "Input: " if input_named else gap, row.input]
  return (*parts, gap + "Output:" if output_named else "")


def _tk_turns(
  task: InstructionTask, row: InstructionRow, encoding: Encoding
) -> tuple[list[tuple[str, ...]], list[int]]:
  """Definition and examples, and the class of each."""
  is_defined, positive, negative, explained = _TK[encoding]
  turns: list[tuple[str, ...]] = []
  if is_defined:
    turns.append(("Definition: ", _punctuated(row.instruction)))
  for title, examples in (
    ("Positive", task.positive[:positive]),
    ("Negative", task.negative[:negative]),
  ):
    for number, example in enumerate(examples, start=1):
      turns.append(_tk_example(f" {title} Example {number} -\n", example, explained))
  return turns, [0] * is_defined + [1] * (len(turns) - is_defined)


def _tk_example(head: str, example: Shown, explained: bool) -> tuple[str, ...]:
  parts = [head, "Input: ", _punctuated(example.input), "\n"]
  parts += [" Output: ", _punctuated(example.output)]
  if explained and example.explanation.strip():
    parts += ["\n", " Explanation: ", _punctuated(example.explanation)]
  return tuple(parts)


def _tk_query(given: str) -> tuple[str, ...]:
  head = ("Now complete the following example -\n", "Input: ")
  return (*head, _punctuated(given), "\nOutput:")


def _punctuated(text: str) -> str:
  """Adds a full stop to a text without final punctuation, as in Tk-Instruct."""
  text = text.strip()
  return text if not text or text[-1] in ".!?:;,\"')" else text + "."
