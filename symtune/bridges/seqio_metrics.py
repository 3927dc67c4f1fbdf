"""Metric functions of SeqIO evaluation tasks: exact match and rank classification.

They judge what T5X decodes or scores. Scores are log p(choice and EOS | prompt) in
nats, summed over the target tokens, as in the native probes.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankTarget:
  """What is known about one (question, choice) pair.

  Attributes:
    query: row of the query.
    choice: class id that was scored.
    answer: class id of the right answer.
  """

  query: int
  choice: int
  answer: int


def text_answer(
  output: str, example: Mapping[str, Any] | None = None, is_target: bool = False
) -> str:
  """Postprocessor for exact match: collapses white space and keeps case."""
  if is_target and example is not None:
    output = _text(example["targets_pretokenized"])
  return " ".join(output.split())


def rank_target(
  output: str, example: Mapping[str, Any] | None = None, is_target: bool = False
) -> RankTarget | str:
  """Postprocessor for rank classification: tells which choice was scored."""
  if not is_target or example is None:
    return output
  return RankTarget(
    query=int(example["query"]),
    choice=int(example["choice"]),
    answer=int(example["answer"]),
  )


def exact_match(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
  """Share of decoded answers that equal the right label word.

  Args:
    targets: label words.
    predictions: decoded answers, in the same order.

  Returns:
    "exact_match" in per cent, and "queries", the number of answers.
  """
  right = [float(t == p) for t, p in zip(targets, predictions, strict=True)]
  return {"exact_match": _per_cent(right), "queries": float(len(right))}


def rank_classification(
  targets: Sequence[RankTarget], scores: Iterable[float]
) -> dict[str, float]:
  """Share of questions whose right choice has the highest score.

  Among equal scores the first choice counts, as in the native probes.

  Args:
    targets: one for each (question, choice) pair.
    scores: log-likelihoods in nats, in the same order.

  Returns:
    "rank_accuracy" and "chance" in per cent, and "queries", the number of questions.
  """
  scores_by_query: dict[int, dict[int, float]] = collections.defaultdict(dict)
  answers: dict[int, int] = {}
  for target, score in zip(targets, scores, strict=True):
    scores_by_query[target.query][target.choice] = float(score)
    answers[target.query] = target.answer
  right, chance = [], []
  for query, by_choice in scores_by_query.items():
    best = max(sorted(by_choice), key=lambda choice: by_choice[choice])
    right.append(float(best == answers[query]))
    chance.append(1.0 / len(by_choice))
  return {
    "rank_accuracy": _per_cent(right),
    "chance": _per_cent(chance),
    "queries": float(len(right)),
  }


def _per_cent(values: Sequence[float]) -> float:
  return 100.0 * sum(values) / max(len(values), 1)


def _text(value: Any) -> str:
  return value.decode("utf-8") if isinstance(value, bytes) else str(value)
