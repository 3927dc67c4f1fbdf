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

import enum
from collections.abc import Sequence

import numpy as np
import scipy.special

from symtune.errors import SymtuneError
from symtune.probe.probe import AnswerKind
from symtune.probe.results import ResultRow, Results, collect


class Rule(enum.StrEnum):
  """How log-likelihoods become answers."""

  SUM = "sum"
  TOKEN = "token"
  BYTE = "byte"
  PMI = "pmi"
  CONTEXTUAL = "contextual"
  DOMAIN = "domain"
  BATCH = "batch"


def apply_rule(rows: Sequence[ResultRow], rule: Rule) -> Results:
  """Returns the rows with the rule's predictions; generated answers do not change.

  Nor do answers of baselines, whose scores are not likelihoods of text.

  Args:
    rows: rows of results.jsonl.
    rule: the rule to apply.

  Returns:
    The rows, in the same order.

  Raises:
    SymtuneError: the rows lack what the rule needs.
  """
  results = collect(rows)
  prediction = results.numbers("prediction").copy()
  is_ranked = results.words("kind").mapped(lambda kind: kind == AnswerKind.RANK)
  applies = is_ranked & (~is_baseline(results) | (rule is Rule.SUM))
  classes = results.numbers("num_classes")
  for count in np.unique(classes[applies]).tolist():
    of_size = np.flatnonzero(applies & (classes == count))
    values = _values(results, of_size, count, rule)
    prediction[of_size] = values.argmax(axis=1)
  return results.with_answers(prediction)


def is_baseline(results: Results) -> np.ndarray:
  """Which rows are answers of a baseline, a mask."""
  return results.words("identity").mapped(lambda name: name.startswith("baseline:"))


def _values(results: Results, rows: np.ndarray, count: int, rule: Rule) -> np.ndarray:
  """What the rule compares [rows, choices], for rows with `count` choices."""
  scores = results.lists("log_likelihoods").matrix(rows, count)
  match rule:
    case Rule.SUM:
      return scores
    case Rule.TOKEN:
      return scores / results.lists("tokens").matrix(rows, count)
    case Rule.BYTE:
      choices = results.take(rows).words("choices")
      used, place = np.unique(choices.codes, return_inverse=True)
      sizes = [[len(c.encode()) for c in choices.values[code]] for code in used]
      return scores / np.asarray(sizes)[place.reshape(-1)]
    case Rule.PMI:
      return scores - _kept(results, rows, count, "null_log_likelihoods", rule)
    case Rule.CONTEXTUAL:
      kept = _kept(results, rows, count, "content_free_log_prior", rule)
      return _log_shares(scores) - kept
    case Rule.DOMAIN:
      kept = _kept(results, rows, count, "domain_log_prior", rule)
      return _log_shares(scores) - kept
    case Rule.BATCH:
      return _log_shares(scores) - _batch_means(results.take(rows), scores)


def _kept(
  results: Results, rows: np.ndarray, count: int, name: str, rule: Rule
) -> np.ndarray:
  kept = results.lists(name)
  is_missing = kept.counts[rows] == 0
  if is_missing.any():
    row = results[int(rows[np.argmax(is_missing)])]
    raise SymtuneError(
      f"rule {rule}: rows of probe {row.probe}, checkpoint {row.checkpoint} were asked "
      f"without its calibration prompts. Probe again, into another folder, with "
      f"--gin.probe.calibration=['{rule}']."
    )
  return kept.matrix(rows, count)


def _log_shares(scores: np.ndarray) -> np.ndarray:
  return scipy.special.log_softmax(scores, axis=1)


def _batch_means(rows: Results, scores: np.ndarray) -> np.ndarray:
  """For each row, the log of the mean probability of each choice in its group."""
  names = ("checkpoint", "probe", "setting", "task")
  keys = [rows.words(name).codes for name in names]
  groups = np.stack([*keys, rows.numbers("step")], axis=1)
  found, group = np.unique(groups, axis=0, return_inverse=True)
  group = group.reshape(-1)
  sums = np.zeros((len(found), scores.shape[1]))
  np.add.at(sums, group, scipy.special.softmax(scores, axis=1))
  return np.log(sums / np.bincount(group)[:, None])[group]
