"""Which hypothesis an answer follows: the exemplars', or the prior's.

A question tells them apart where its exemplars demand one choice and the meaning of the
words another: flipped labels, for example. Then an answer

  follows the context   it is what the exemplars demand
  follows the prior     it is what the words mean
  is neither            it is a third choice
  is unparsed           it was generated, and is none of the choices

The override rate is the share of such questions whose answer follows the context; the
other three all count against it. Where both demand the same, or one demands nothing, an
answer says nothing about which was followed, and the question has no outcome.
"""

import enum

from symtune.probe.results import ResultRow


class Outcome(enum.StrEnum):
  """What an answer follows."""

  CONTEXT = "follows context"
  PRIOR = "follows prior"
  NEITHER = "neither"
  UNPARSED = "unparsed"


def judge(
  prediction: int | None, context: int | None, prior: int | None
) -> Outcome | None:
  """The outcome of one answer; None where the hypotheses do not differ.

  Args:
    prediction: index of the chosen choice; None if the text is none of them.
    context: index of what the exemplars demand, or None.
    prior: index of what the words mean, or None.
  """
  if context is None or prior is None or context == prior:
    return None
  if prediction is None:
    return Outcome.UNPARSED
  if prediction == context:
    return Outcome.CONTEXT
  return Outcome.PRIOR if prediction == prior else Outcome.NEITHER


def judge_row(row: ResultRow) -> Outcome | None:
  """The outcome of a result row."""
  return judge(row.prediction, row.context, row.prior)
