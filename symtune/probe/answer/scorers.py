"""Baselines that answer a probe by a fixed rule: they show what its numbers mean.

The oracle knows the right answer. The prior-only scorer knows what words mean and
ignores the exemplars; the context-only scorer follows only the exemplars. The majority
scorer takes the most frequent class of the exemplars, the copying scorer the last one
shown, the echo repeats the query, and the random scorer guesses.
`baselines.py` has the baselines that learn from the exemplars.
"""

import collections
import math
from collections.abc import Sequence

from symtune.data.rng import keyed_generator
from symtune.probe.made import FIXED_RULES
from symtune.probe.probe import AnswerKind, ProbeItem, Score, ScoreFn


def score_by_oracle(items: Sequence[ProbeItem]) -> list[Score]:
  """Gives the right answer."""
  return [prefer(item, item.prompt.answer) for item in items]


def score_by_prior(items: Sequence[ProbeItem]) -> list[Score]:
  """Takes the choice that the words' meaning implies; if none, the first choice."""
  return [_follow(item, item.prior) for item in items]


def score_by_context(items: Sequence[ProbeItem]) -> list[Score]:
  """Takes the choice that the exemplars imply; if none, the first choice."""
  return [_follow(item, item.context) for item in items]


def score_by_majority(items: Sequence[ProbeItem]) -> list[Score]:
  """Takes the most frequent word of the exemplars; of several, the last one shown."""
  return [answer_word(item, _majority(item)) for item in items]


def score_by_copying(items: Sequence[ProbeItem]) -> list[Score]:
  """Gives the last word shown again: of open questions, the last output."""
  return [answer_word(item, next(reversed(_shown(item)), None)) for item in items]


def score_by_echo(items: Sequence[ProbeItem]) -> list[Score]:
  """Gives the query's text as the answer; where it is no choice, the first choice.

  To an open question it gives the text as an output would be written.
  """
  place = FIXED_RULES.index("input")
  return [
    answer_word(
      item, item.references[place] if item.references else item.prompt.turns[-1][-2]
    )
    for item in items
  ]


def make_random_scorer(seed: int) -> ScoreFn:
  """A scorer that guesses with a random generator keyed by the item.

  It ranks first, or writes, a random choice, so its accuracy is chance in both kinds of
  questions; its answer to an open question is a digit.
  """

  def score(items: Sequence[ProbeItem]) -> list[Score]:
    return [
      prefer(item, int(rng.integers(len(item.prompt.choices))))
      if len(item.prompt.choices) > 1
      else Score(text=str(rng.integers(10)), exemplars=len(item.prompt.exemplar_labels))
      for item in items
      for rng in (keyed_generator(seed, *item.key),)
    ]

  return score


def prefer(item: ProbeItem, choice: int) -> Score:
  """A score that gives one choice a probability of 0.9, or writes it."""
  exemplars = len(item.prompt.exemplar_labels)
  choices = item.prompt.choices
  if item.kind is AnswerKind.GENERATE:
    return Score(text=choices[choice], exemplars=exemplars)
  values = tuple(math.log(0.9 if i == choice else 0.1) for i in range(len(choices)))
  return Score(log_likelihoods=values, tokens=(1,) * len(choices), exemplars=exemplars)


def answer_word(item: ProbeItem, word: str | None) -> Score:
  """A score that prefers a label word of the exemplars.

  Args:
    item: the question.
    word: the word, or None if there are no exemplars. If it is not among several
      choices, the first choice is taken.
  """
  choices = item.prompt.choices
  if word in choices:
    return prefer(item, choices.index(word))
  if len(choices) == 1:  # an open question, and the word is not the right answer
    return Score(text=word or "", exemplars=len(item.prompt.exemplar_labels))
  return prefer(item, 0)


def _follow(item: ProbeItem, choice: int | None) -> Score:
  return answer_word(item, None) if choice is None else prefer(item, choice)


def _shown(item: ProbeItem) -> list[str]:
  """The label words of the exemplars, in their order."""
  return [turn[-1] for turn in item.prompt.turns[:-1]]


def _majority(item: ProbeItem) -> str | None:
  counts = collections.Counter(reversed(_shown(item)))
  return counts.most_common(1)[0][0] if counts else None
