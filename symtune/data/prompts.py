r"""Stage 4: Episode -> Prompt. Text in one of ten input-label formats.

A prompt is a list of *turns*, exemplars first and the query last. A turn is a tuple of
text parts that meet at white space:

    ("Input: ", "it was fun", "\nOutput: ", "4921")   an exemplar
    ("Input: ", "a dull film", "\nOutput:")            the query

SentencePiece never segments across white space, so a prompt's tokens are those of its
parts, concatenated (stage 5), and whole exemplars can be dropped later.
"""

import dataclasses
import enum
from collections.abc import Callable

from symtune.cards.card import Example
from symtune.data.episodes import Episode

# The paper does not state its separator. A blank line reads best, and T5 treats all
# white space alike: its normaliser maps newlines to spaces.
TURN_SEPARATOR = "\n\n"


class PromptFormat(enum.Enum):
  """(cue before the input, cue before the label): Wei et al. 2023, appendix E.2."""

  INPUT_OUTPUT = ("Input: ", "\nOutput:")
  INPUT_TARGET = ("Input: ", "\nTarget:")
  INPUT_SYMBOL = ("Input: ", "\nSymbol:")
  INPUT_LABEL = ("Input: ", "\nLabel:")
  QUESTION_ANSWER = ("Question: ", "\nAnswer:")
  STUDENT_TEACHER = ("Student: ", "\nTeacher:")
  X_Y = ("X = ", "\nY =")
  Q_A = ("Q: ", "\nA:")
  ARROW = ("", " ->")
  SENTENCES_MAPPED_TO = ("Sentences: ", "\nMapped To:")


ALL_FORMATS = tuple(PromptFormat)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompt:
  """One rendered episode.

  Attributes:
    turns: text parts of each exemplar, then of the query, which ends with its cue.
    exemplar_labels: class id of each exemplar.
    choices: one label word per class id.
    answer: class id of the query.
    has_sentinels: whether `<extra_id_0>` in its texts is T5's sentinel, as in a text to
      be filled in; in other prompts it is text that a row happens to hold.
    nearest_last: see `Episode`; if it must lose exemplars, the last ones stay longest.
  """

  turns: tuple[tuple[str, ...], ...]
  exemplar_labels: tuple[int, ...]
  choices: tuple[str, ...]
  answer: int
  has_sentinels: bool = False
  nearest_last: bool = False

  @property
  def inputs(self) -> str:
    """The whole prompt as text."""
    return TURN_SEPARATOR.join("".join(turn) for turn in self.turns)


def render_prompt(
  episode: Episode,
  prompt_format: PromptFormat,
  *,
  instruction: bool,
  input_text: Callable[[Example], str] | None = None,
) -> Prompt:
  """Renders an episode; every exemplar and the query use the same format.

  Args:
    episode: what to render.
    prompt_format: the cues. With an instruction the format is always Question/Answer,
      as in the paper's instruction prompts: `Question: [instruction]`, the input on
      the next line, `Answer:`.
    instruction: whether each turn starts with the task's instruction.
    input_text: gives an example's text, from a cache, say; None uses the template.

  Returns:
    The prompt.
  """
  text_of = input_text or episode.card.input_text
  head, label_cue = turn_cues(
    prompt_format, episode.card.instruction if instruction else None
  )
  # Only exemplars have a space after the cue: a prompt must not end with white space.
  spaced_cue = label_cue + " "
  exemplars = tuple(
    (*head, text_of(exemplar), spaced_cue, episode.label_words[exemplar.label])
    for exemplar in episode.exemplars
  )
  query = (*head, text_of(episode.query), label_cue)
  return Prompt(
    turns=(*exemplars, query),
    exemplar_labels=tuple(exemplar.label for exemplar in episode.exemplars),
    choices=episode.label_words,
    answer=episode.query.label,
    nearest_last=episode.nearest_last,
  )


def turn_cues(
  prompt_format: PromptFormat, instruction: str | None
) -> tuple[tuple[str, ...], str]:
  """What stands before the text of a turn, as parts, and the cue after it.

  Args:
    prompt_format: the cues; with an instruction they are those of Question/Answer.
    instruction: starts each turn; None for prompts without an instruction.

  Returns:
    The parts before the text, and the cue before the label, without its space.
  """
  if instruction is not None:
    input_cue, label_cue = PromptFormat.QUESTION_ANSWER.value
    return (input_cue, instruction + "\n"), label_cue
  input_cue, label_cue = prompt_format.value
  return ((input_cue,) if input_cue else ()), label_cue
