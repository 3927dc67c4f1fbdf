"""Tasks and encodings -> the questions of an evaluation, in a fixed order."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

from symtune.data.instruction_prompts import encode
from symtune.data.prompts import Prompt
from symtune.data.text.instructions import Encoding, InstructionTask
from symtune.data.tokens.causal import CausalTokenizer
from symtune.data.tokens.tokenizer import PromptTokenizer, PromptTooLongError
from symtune.errors import SymtuneError
from symtune.probe.probe import AnswerKind, ProbeItem


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
  """One instance in one encoding.

  Attributes:
    encoding: how it is asked.
    task: name of its task.
    category: what kind of task it is.
    instance: number of the instance in the task, from 0.
    prompt: what a model reads.
    instruction: what to do.
    input: what to do it with; may be empty.
    example: the output of the task's first positive example; "" without one.
    references: the right answers.
  """

  encoding: Encoding
  task: str
  category: str
  instance: int
  prompt: Prompt
  instruction: str
  input: str
  example: str
  references: tuple[str, ...]

  @property
  def key(self) -> tuple[str, str, int]:
    """The same for the same question to two models."""
    return (self.encoding, self.task, self.instance)

  @property
  def prompt_hash(self) -> int:
    """48 bits of the SHA-256 of what is asked and what is right."""
    asked = json.dumps([self.prompt.turns, self.references])
    return int(hashlib.sha256(asked.encode()).hexdigest()[:12], 16)

  @property
  def has_definition(self) -> bool:
    """Whether the definition is a turn of its own, which a long prompt may lose."""
    return 0 in self.prompt.exemplar_labels

  @property
  def num_examples(self) -> int:
    """Number of examples in the prompt."""
    return len(self.prompt.exemplar_labels) - self.has_definition

  def to_item(self) -> ProbeItem:
    """The question as the scorers of models take it."""
    return ProbeItem(
      probe="instruct",
      setting=self.encoding,
      task=self.task,
      seed=0,
      query=self.instance,
      prompt=self.prompt,
      context=None,
      prior=None,
      kind=AnswerKind.GENERATE,
      fingerprint="",
    )


def make_questions(
  tasks: Sequence[InstructionTask], encodings: Sequence[Encoding]
) -> tuple[Question, ...]:
  """All instances of all tasks, in one encoding after the other."""
  return tuple(
    Question(
      encoding=encoding,
      task=task.name,
      category=task.category,
      instance=number,
      prompt=encode(task, row, encoding),
      instruction=row.instruction,
      input=row.input,
      example=task.positive[0].output if task.positive else "",
      references=row.outputs,
    )
    for encoding in encodings
    for task in tasks
    for number, row in enumerate(task.rows)
  )


def check_readable(
  questions: Sequence[Question], tokenizer: PromptTokenizer | CausalTokenizer
) -> None:
  """Refuses an instance that is too long by itself, before hours of answers are lost.

  Raises:
    SymtuneError: names the task and the instance.
  """
  for question in questions:
    try:
      tokenizer.tokenize(question.prompt)
    except PromptTooLongError as error:
      raise SymtuneError(
        f"task {question.task}, instance {question.instance + 1}: its input alone is "
        f"longer than --max-inputs, {tokenizer.max_inputs} tokens, and an instance is "
        f"never cut. Raise --max-inputs, or leave the task out."
      ) from error
