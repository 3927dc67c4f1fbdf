"""(inputs, outputs) -> Prompt: shared by probes that make their own questions.

Their prompts look like those of classification tasks: `Input: ...`, `Output: ...`.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from symtune.data.prompts import Prompt, PromptFormat

_CUES = PromptFormat.INPUT_OUTPUT


def labelled_prompt(
  exemplars: Sequence[tuple[str, int]],
  query: str,
  choices: tuple[str, ...],
  answer: int,
  prompt_format: PromptFormat = _CUES,
) -> Prompt:
  """A prompt whose exemplars show some of the choices.

  Args:
    exemplars: the input of each exemplar and the index of its choice.
    query: input of the question.
    choices: the possible answers.
    answer: index of the right answer.
    prompt_format: the cues.
  """
  turns = _turns([(text, choices[i]) for text, i in exemplars], query, prompt_format)
  return Prompt(
    turns=turns,
    exemplar_labels=tuple(label for _, label in exemplars),
    choices=choices,
    answer=answer,
  )


def open_prompt(
  exemplars: Sequence[tuple[str, str]],
  query: str,
  answer: str,
  prompt_format: PromptFormat = _CUES,
) -> Prompt:
  """A prompt for an open question: the right answer is its only choice.

  Args:
    exemplars: input and output of each exemplar.
    query: input of the question.
    answer: the right output.
    prompt_format: the cues.
  """
  return Prompt(
    turns=_turns(exemplars, query, prompt_format),
    exemplar_labels=(0,) * len(exemplars),
    choices=(answer,),
    answer=0,
  )


def fingerprint(*what: Any) -> str:
  """SHA-256 of everything that the generated questions depend on, as JSON."""
  return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _turns(
  exemplars: Sequence[tuple[str, str]], query: str, prompt_format: PromptFormat
) -> tuple[tuple[str, ...], ...]:
  input_cue, label_cue = prompt_format.value
  shown = tuple(
    (input_cue, text, label_cue + " ", output) for text, output in exemplars
  )
  return (*shown, (input_cue, query, label_cue))
