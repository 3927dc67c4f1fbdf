"""Metric functions by hand; they need no SeqIO."""

import pytest

from symtune.bridges import seqio_metrics as metrics


def target(query, choice, answer):
  return metrics.RankTarget(query=query, choice=choice, answer=answer)


def test_exact_match_is_whole_and_minds_case():
  found = metrics.exact_match(["ab", "c", "12", "x"], ["ab", "C", "1", "x"])
  assert found == {"exact_match": 50.0, "queries": 4.0}


def test_rank_classification_by_hand():
  targets = [target(3, 0, 1), target(3, 1, 1), target(9, 0, 2), target(9, 1, 2)]
  targets += [target(9, 2, 2), target(4, 0, 0), target(4, 1, 0)]
  scores = [-2.0, -1.0, -1.0, -5.0, -3.0, -1.5, -1.5]
  found = metrics.rank_classification(targets, scores)
  # Query 3 right, query 9 wrong, query 4 a tie: the first choice counts.
  assert found["rank_accuracy"] == pytest.approx(200 / 3)
  assert found["chance"] == pytest.approx(100 * (1 / 2 + 1 / 3 + 1 / 2) / 3)
  assert found["queries"] == 3.0


def test_order_of_pairs_does_not_matter():
  targets = [target(1, c, 1) for c in (2, 0, 1)]
  assert (
    metrics.rank_classification(targets, [-3.0, -2.0, -1.0])["rank_accuracy"] == 100
  )


def test_postprocessors_read_the_example():
  example = {
    "targets_pretokenized": b"two  words",
    "query": 5,
    "choice": 1,
    "answer": 0,
  }
  assert metrics.text_answer("", example, is_target=True) == "two words"
  assert metrics.text_answer(" two words ") == "two words"
  assert metrics.rank_target("", example, is_target=True) == target(5, 1, 0)
