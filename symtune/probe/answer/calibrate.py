"""Calibration prompts, whose scores show what a model prefers without the query.

They are asked on request and scored like any other prompt, equal ones only once. The
result rows keep the scores, so that `report/rules.py` can apply every rule later.

- PMI: the label cue alone, "Output:" (Holtzman et al. 2021, arXiv 2104.08315,
  domain-conditional PMI).
- Contextual: the same exemplars, and a query without content: "N/A", "[MASK]" or an
  empty text (Zhao et al. 2021, arXiv 2102.09690). The three probabilities are averaged.
- Domain: the same exemplars, and a query of random words of the task's texts, five
  times (Fei et al. 2023, arXiv 2305.19148, domain-context calibration, which draws 20).
"""

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
import scipy.special

from symtune.data.prompts import Prompt
from symtune.data.rng import keyed_generator
from symtune.probe.probe import AnswerKind, ProbeItem, Score, ScoreFn

CONTENT_FREE = ("N/A", "[MASK]", "")
DOMAIN_QUERIES = 5


class Calibration(enum.StrEnum):
  """The kinds of calibration prompts."""

  PMI = "pmi"
  CONTEXTUAL = "contextual"
  DOMAIN = "domain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationScores:
  """The scores of calibration prompts in a result row; see `results.ResultRow`."""

  null_log_likelihoods: tuple[float, ...] = ()
  content_free_log_prior: tuple[float, ...] = ()
  domain_log_prior: tuple[float, ...] = ()


def score_calibration(
  score: ScoreFn, items: Sequence[ProbeItem], wanted: Sequence[Calibration]
) -> list[CalibrationScores]:
  """Asks the calibration prompts of items that are answered by ranking.

  Args:
    score: answers items.
    items: items of one group of rows, whose prompts give the words of domain queries.
    wanted: the kinds of calibration prompts to ask.

  Returns:
    One value per item; its fields are empty where nothing was asked.
  """
  ranked = [i for i, item in enumerate(items) if item.kind is AnswerKind.RANK]
  found = [dict[str, tuple[float, ...]]() for _ in items]
  for calibration in dict.fromkeys(wanted):
    prompts = [_extra_prompts(items[i], calibration, items) for i in ranked]
    asked = [
      dataclasses.replace(items[i], prompt=prompt)
      for i, extra in zip(ranked, prompts, strict=True)
      for prompt in extra
    ]
    scores = iter(score(asked) if asked else [])
    for i, extra in zip(ranked, prompts, strict=True):
      mine = [next(scores) for _ in extra]
      found[i][_FIELDS[calibration]] = _summary(calibration, mine)
  return [CalibrationScores(**values) for values in found]


def count_prompts(wanted: Sequence[Calibration]) -> int:
  """How many calibration prompts every ranked question has."""
  counts = {
    Calibration.PMI: 1,
    Calibration.CONTEXTUAL: len(CONTENT_FREE),
    Calibration.DOMAIN: DOMAIN_QUERIES,
  }
  return sum(counts[calibration] for calibration in set(wanted))


_FIELDS = {
  Calibration.PMI: "null_log_likelihoods",
  Calibration.CONTEXTUAL: "content_free_log_prior",
  Calibration.DOMAIN: "domain_log_prior",
}


def _extra_prompts(
  item: ProbeItem, calibration: Calibration, items: Sequence[ProbeItem]
) -> list[Prompt]:
  prompt = item.prompt
  *head, _, cue = prompt.turns[-1]
  if calibration is Calibration.PMI:
    return [dataclasses.replace(prompt, turns=((cue.strip(),),), exemplar_labels=())]
  if calibration is Calibration.CONTEXTUAL:
    texts = CONTENT_FREE
  else:
    texts = _domain_texts(item, items)
  # The input cue ends with white space: an empty text leaves its tokens as they are.
  return [
    dataclasses.replace(prompt, turns=(*prompt.turns[:-1], (*head, text, cue)))
    for text in texts
  ]


def _domain_texts(item: ProbeItem, items: Sequence[ProbeItem]) -> list[str]:
  """Texts of random words from the queries, each with as many words as this query."""
  own = item.prompt.turns[-1][-2].split()
  rng = keyed_generator("domain", *item.key)
  texts = []
  for _ in range(DOMAIN_QUERIES):
    words = []
    for _ in range(max(1, len(own))):
      other = items[int(rng.integers(len(items)))].prompt.turns[-1][-2].split() or own
      words.append(other[int(rng.integers(len(other)))] if other else "")
    texts.append(" ".join(words))
  return texts


def _summary(calibration: Calibration, scores: Sequence[Score]) -> tuple[float, ...]:
  values = np.array([score.log_likelihoods for score in scores])
  if calibration is Calibration.PMI:
    return tuple(values[0].tolist())
  log_shares = values - scipy.special.logsumexp(values, axis=1, keepdims=True)
  mean = scipy.special.logsumexp(log_shares, axis=0) - np.log(len(values))
  return tuple(mean.tolist())
