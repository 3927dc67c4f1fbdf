"""Rows -> the same rows answered by another rule, from the stored log-likelihoods.

Runs use the rule `sum`: they take the candidate whose tokens, with EOS, are likeliest.
The other rules need no new answers. With the log-likelihoods l of a row's choices:

  sum         l
  token       l / number of tokens
  byte        l / number of UTF-8 bytes
  pmi         l - l given the cue alone (Holtzman et al. 2021)
  contextual  log softmax(l) - log prior for queries without content (Zhao et al. 2021)
  domain      log softmax(l) - log prior for random words (Fei et al. 2023)
  batch       log softmax(l) - log of the mean softmax(l) over the rows of the same
              checkpoint, probe, setting and task (Zhou et al. 2024, arXiv 2309.17249)
"""

import collections
import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
import scipy.special

from symtune.errors import SymtuneError
from symtune.probe.probe import AnswerKind
from symtune.probe.results import ResultRow


class Rule(enum.StrEnum):
  """How log-likelihoods become answers."""

  SUM = "sum"
  TOKEN = "token"
  BYTE = "byte"
  PMI = "pmi"
  CONTEXTUAL = "contextual"
  DOMAIN = "domain"
  BATCH = "batch"


def apply_rule(rows: Sequence[ResultRow], rule: Rule) -> list[ResultRow]:
  """Returns the rows with the rule's predictions; generated answers do not change.

  Args:
    rows: rows of results.jsonl.
    rule: the rule to apply.

  Returns:
    The rows, in the same order.

  Raises:
    SymtuneError: the rows lack what the rule needs.
  """
  means = _batch_means(rows) if rule is Rule.BATCH else {}
  return [
    _answer(row, _values(row, rule, means)) if row.kind == AnswerKind.RANK else row
    for row in rows
  ]


def _answer(row: ResultRow, values: np.ndarray) -> ResultRow:
  prediction = int(np.argmax(values))
  return dataclasses.replace(
    row, prediction=prediction, correct=prediction == row.label
  )


def _values(
  row: ResultRow, rule: Rule, means: dict[tuple[str, ...], np.ndarray]
) -> np.ndarray:
  scores = np.asarray(row.log_likelihoods)
  match rule:
    case Rule.SUM:
      return scores
    case Rule.TOKEN:
      return scores / np.asarray(row.tokens)
    case Rule.BYTE:
      return scores / np.asarray([len(c.encode("utf-8")) for c in row.choices])
    case Rule.PMI:
      return scores - _kept(row, row.null_log_likelihoods, rule)
    case Rule.CONTEXTUAL:
      return _log_shares(row) - _kept(row, row.content_free_log_prior, rule)
    case Rule.DOMAIN:
      return _log_shares(row) - _kept(row, row.domain_log_prior, rule)
    case Rule.BATCH:
      return _log_shares(row) - means[_group(row)]


def _kept(row: ResultRow, values: tuple[float, ...], rule: Rule) -> np.ndarray:
  if not values:
    raise SymtuneError(
      f"rule {rule}: rows of probe {row.probe}, checkpoint {row.checkpoint} were asked "
      f"without its calibration prompts. Probe again, into another folder, with "
      f"--gin.probe.calibration=['{rule}']."
    )
  return np.asarray(values)


def _log_shares(row: ResultRow) -> np.ndarray:
  return scipy.special.log_softmax(np.asarray(row.log_likelihoods))


def _group(row: ResultRow) -> tuple[str, ...]:
  return (
    row.checkpoint,
    str(row.step),
    row.probe,
    row.setting,
    row.task,
    str(row.num_classes),
  )


def _batch_means(rows: Sequence[ResultRow]) -> dict[tuple[str, ...], np.ndarray]:
  """Log of the mean probability of each choice, for each group."""
  groups = collections.defaultdict(list)
  for row in rows:
    if row.kind == AnswerKind.RANK:
      groups[_group(row)].append(_log_shares(row))
  return {
    key: scipy.special.logsumexp(values, axis=0) - np.log(len(values))
    for key, values in groups.items()
  }
