"""Who answers a probe without a model: they show what a probe's numbers mean.

The oracle knows the right answer, the prior-only scorer knows what words mean and
ignores the exemplars, the context-only scorer does what the exemplars demand and no
more, the majority takes the class that most exemplars have, and the random one knows
nothing. `baselines.py` has those that learn from the exemplars.
"""

import collections
import math
from collections.abc import Sequence

from symtune.data.rng import keyed_generator
from symtune.probe.probe import AnswerKind, ProbeItem, Score, ScoreFn


def score_by_oracle(items: Sequence[ProbeItem]) -> list[Score]:
  """Gives the right answer."""
  return [prefer(item, item.prompt.answer) for item in items]


def score_by_prior(items: Sequence[ProbeItem]) -> list[Score]:
  """Does what the words mean; where they mean nothing, takes the first choice."""
  return [_follow(item, item.prior) for item in items]


def score_by_context(items: Sequence[ProbeItem]) -> list[Score]:
  """Does what the exemplars demand; where they demand nothing, takes the first."""
  return [_follow(item, item.context) for item in items]


def score_by_majority(items: Sequence[ProbeItem]) -> list[Score]:
  """Takes the word that most exemplars have; of several, the last one shown."""
  return [answer_word(item, _majority(item)) for item in items]


def make_random_scorer(seed: int) -> ScoreFn:
  """A guesser: each item's answer comes from a generator keyed by the item.

  It ranks or writes one of several choices, so that its accuracy is chance either way;
  an open question gets a digit.
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
  """The score of whoever is nine tenths sure of one choice, or writes it."""
  exemplars = len(item.prompt.exemplar_labels)
  choices = item.prompt.choices
  if item.kind is AnswerKind.GENERATE:
    return Score(text=choices[choice], exemplars=exemplars)
  values = tuple(math.log(0.9 if i == choice else 0.1) for i in range(len(choices)))
  return Score(log_likelihoods=values, tokens=(1,) * len(choices), exemplars=exemplars)


def answer_word(item: ProbeItem, word: str | None) -> Score:
  """The score of whoever answers with a word that an exemplar shows.

  Args:
    item: the question.
    word: None if there are no exemplars; then, and if it is none of several choices,
      the first choice.
  """
  choices = item.prompt.choices
  if word in choices:
    return prefer(item, choices.index(word))
  if len(choices) == 1:  # an open answer, and not the right one
    return Score(text=word or "", exemplars=len(item.prompt.exemplar_labels))
  return prefer(item, 0)


def _follow(item: ProbeItem, choice: int | None) -> Score:
  return answer_word(item, None) if choice is None else prefer(item, choice)


def _majority(item: ProbeItem) -> str | None:
  shown = [turn[-1] for turn in item.prompt.turns[:-1]]
  counts = collections.Counter(reversed(shown))
  return counts.most_common(1)[0][0] if counts else None
