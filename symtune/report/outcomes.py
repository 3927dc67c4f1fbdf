"""Which hypothesis an answer follows: that of the exemplars, or that of the prior.

A question distinguishes them if its exemplars imply one choice and the meaning of the
words another, as with flipped labels. Its answer then

  follows the context   it is the choice that the exemplars imply
  follows the prior     it is the choice that the words' meaning implies
  is neither            it is a third choice
  is unparsed           it was generated and is not a choice

The override rate is the share of such questions whose answer follows the context; the
other three outcomes all count against it. If both hypotheses imply the same choice, or
one implies none, the answer does not show which was followed: there is no outcome.
"""

import enum

import numpy as np
from jaxtyping import Int

from symtune.probe.columns import MISSING
from symtune.probe.results import Results


class Outcome(enum.StrEnum):
  """What an answer follows."""

  CONTEXT = "follows context"
  PRIOR = "follows prior"
  NEITHER = "neither"
  UNPARSED = "unparsed"


def judge(
  prediction: int | None, context: int | None, prior: int | None
) -> Outcome | None:
  """The outcome of one answer; None if the hypotheses do not differ.

  Args:
    prediction: index of the answered choice; None if the text is not a choice.
    context: index of the choice that the exemplars imply, or None.
    prior: index of the choice that the words' meaning implies, or None.
  """
  if context is None or prior is None or context == prior:
    return None
  if prediction is None:
    return Outcome.UNPARSED
  if prediction == context:
    return Outcome.CONTEXT
  return Outcome.PRIOR if prediction == prior else Outcome.NEITHER


OUTCOMES = tuple(Outcome)
NO_OUTCOME = -1


def judge_rows(rows: Results) -> Int[np.ndarray, " rows"]:
  """The outcome of each row, as a place in `OUTCOMES`, or `NO_OUTCOME`."""
  columns = [rows.numbers(name) for name in ("prediction", "context", "prior")]
  cases, case = np.unique(np.stack(columns, 1), axis=0, return_inverse=True)
  found = [judge(*(None if v == MISSING else v for v in row)) for row in cases.tolist()]
  places = [NO_OUTCOME if o is None else OUTCOMES.index(o) for o in found]
  return np.array(places, np.int64)[case.reshape(-1)]
