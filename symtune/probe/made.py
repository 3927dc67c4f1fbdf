"""(inputs, outputs) -> Prompt: shared by probes that make their own questions.

Their prompts look like those of classification tasks, `Input: ...`, `Output: ...`, in
one of the ten formats.
"""

import collections
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from symtune.data.prompts import ALL_FORMATS, Prompt, PromptFormat
from symtune.data.rng import keyed_generator

# What `fixed_rules` answers: the last output shown again, and so on.
FIXED_RULES = ("last output", "most frequent output", "input")
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


def draw_format(*key: int | str) -> PromptFormat:
  """One of the ten formats, drawn for the question with this key."""
  return ALL_FORMATS[int(keyed_generator(*key, "format").integers(len(ALL_FORMATS)))]


def fixed_rules(exemplars: Sequence[tuple[str, str]], query: str) -> tuple[str, ...]:
  """What rules without any insight answer to an open question.

  An open question has no chance level, but these rules answer some of them: a function
  that ignores its input gives the last output again.

  Args:
    exemplars: input and output of each exemplar, at least one.
    query: input of the question, written as an output would be.

  Returns:
    One text for each of `FIXED_RULES`; of several most frequent outputs, the one that
    is shown last.
  """
  outputs = [output for _, output in exemplars]
  most_frequent = collections.Counter(reversed(outputs)).most_common(1)[0][0]
  return (outputs[-1], most_frequent, query)


def fingerprint(*what: Any) -> str:
  """SHA-256 of everything that the generated questions depend on, as JSON."""
  return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _turns(
  exemplars: Sequence[tuple[str, str]], query: str, prompt_format: PromptFormat
) -> tuple[tuple[str, ...], ...]:
  input_cue, label_cue = prompt_format.value
  head = (input_cue,) if input_cue else ()
  shown = tuple((*head, text, label_cue + " ", output) for text, output in exemplars)
  return (*shown, (*head, query, label_cue))
