r"""Instruction data in a mixture: InstructionTask -> Prompt, in published encodings.

Parts meet at white space, as in all prompts (data/prompts.py). Encodings:

- pairs: the input, unchanged.
- alpaca: the two templates of Stanford Alpaca, with and without an input.
- self_instruct: instruction, input and output with or without "Task:", "Input:" and
  "Output:", one or two newlines between them, drawn per prompt (Wang et al. 2022,
  arXiv 2212.10560, appendix).
- super_ni: one of the five encodings of Tk-Instruct, drawn per prompt, with definition,
  up to two positive and two negative examples, or explanations (Wang et al. 2022, arXiv
  2204.07705).
"""

import numpy as np

from symtune.data.prompts import Prompt
from symtune.data.text.instructions import InstructionForm, InstructionTask, Shown

_WITH_INPUT = (
  "Below is an instruction that describes a task, paired with an input that provides "
  "further context. Write a response that appropriately completes the request.\n\n"
)
_WITHOUT_INPUT = (
  "Below is an instruction that describes a task. Write a response that appropriately "
  "completes the request.\n\n"
)
# (positive, negative, explained) for each encoding of Tk-Instruct with a definition.
_TK_ENCODINGS = (
  (0, 0, False),
  (2, 0, False),
  (2, 2, False),
  (2, 0, True),
)


class InstructionMaker:
  """Renders the rows of one task of instruction data."""

  def __init__(self, task: InstructionTask):
    self.task = task

  def prompt(self, rng: np.random.Generator) -> Prompt:
    """One prompt, which depends on `rng` alone.

    Args:
      rng: draws row, encoding and answer; for this prompt alone.

    Returns:
      A prompt with a single turn and a single choice, its target.
    """
    task = self.task
    row = task.rows[int(rng.integers(len(task.rows)))]
    if task.form is InstructionForm.ALPACA:
      parts = alpaca_parts(row.instruction, row.input)
    elif task.form is InstructionForm.SELF_INSTRUCT:
      parts = _self_instruct(rng, row.instruction, row.input)
    elif task.form is InstructionForm.SUPER_NI:
      parts = _super_ni(rng, task, row.instruction, row.input)
    else:
      parts = (row.input,)
    target = row.outputs[int(rng.integers(len(row.outputs)))]
    kept = tuple(part for part in parts if part)
    return Prompt(turns=(kept,), exemplar_labels=(), choices=(target,), answer=0)


def alpaca_parts(instruction: str, given: str) -> tuple[str, ...]:
  """The parts of Stanford Alpaca's prompt: one of two templates.

  Args:
    instruction: what to do.
    given: what to do it with; may be empty.
  """
  if not given.strip():
    return _WITHOUT_INPUT, "### Instruction:\n", instruction, "\n\n### Response:"
  head = (_WITH_INPUT, "### Instruction:\n", instruction)
  return (*head, "\n\n### Input:\n", given, "\n\n### Response:")


def _self_instruct(
  rng: np.random.Generator, instruction: str, given: str
) -> tuple[str, ...]:
  named, input_named, output_named, wide = (rng.random(4) < 0.5).tolist()
  gap = "\n\n" if wide else "\n"
  parts = ["Task: " if named else "", instruction]
  if given.strip():
    parts += [gap + "Input: " if input_named else gap, given]
  return (*parts, gap + "Output:" if output_named else "")


def _super_ni(
  rng: np.random.Generator, task: InstructionTask, definition: str, given: str
) -> tuple[str, ...]:
  # The fifth encoding shows examples without the definition.
  kind = int(rng.integers(len(_TK_ENCODINGS) + 1))
  defined = kind < len(_TK_ENCODINGS)
  positive, negative, explained = _TK_ENCODINGS[kind] if defined else (2, 0, False)
  parts = ["Definition: ", punctuated(definition), "\n\n"] if defined else []
  for title, shown in (
    ("Positive", task.positive[:positive]),
    ("Negative", task.negative[:negative]),
  ):
    for number, example in enumerate(shown, start=1):
      parts += tk_example(f" {title} Example {number} -\n", example, explained)
      parts += ["\n", "\n"]
  return (
    *parts,
    *tk_query(given),
  )


def tk_example(head: str, example: Shown, explained: bool) -> list[str]:
  """The parts of an example as Tk-Instruct shows it, without the blank line after it.

  Args:
    head: the line above it.
    example: the example.
    explained: whether its explanation, if it has one, is shown too.
  """
  parts = [head, "Input: ", punctuated(example.input), "\n"]
  parts += [" Output: ", punctuated(example.output)]
  if explained and example.explanation.strip():
    parts += ["\n", " Explanation: ", punctuated(example.explanation)]
  return parts


def tk_query(given: str) -> tuple[str, ...]:
  """The parts of the instance that Tk-Instruct asks about."""
  head = ("Now complete the following example -\n", "Input: ")
  return (*head, punctuated(given), "\nOutput:")


def punctuated(text: str) -> str:
  """Adds a full stop to a text without final punctuation, as in Tk-Instruct."""
  text = text.strip()
  return text if not text or text[-1] in ".!?:;,\"')" else text + "."
