"""Outcomes and agreement, from rows made by hand."""

import dataclasses

import pytest

from symtune.report.hypotheses import agreement, hypothesis_table
from symtune.report.results import pair_rows


def test_shares_of_the_four_outcomes(make_rows):
  rows = make_rows("a", 0, "one", [1] * 10, "flipped_labels", "deranged", 3, prior=1)
  answers = [0, 0, 0, 0, 1, 1, 1, 2, 2, None]  # 4 context, 3 prior, 2 neither
  changed = [
    dataclasses.replace(row, prediction=answer, correct=answer == 0)
    for row, answer in zip(rows, answers, strict=True)
  ]
  table = hypothesis_table(pair_rows(changed))
  (row,) = table.rows
  assert row[:3] == ("deranged labels", "a (step 0)", "10")
  assert row[3] == "40.0 [16.8, 68.7]"  # Wilson, as for an accuracy of 4 in 10
  assert row[4:] == ("30.0", "20.0", "10.0")


def test_questions_whose_hypotheses_agree_do_not_count(make_rows):
  rows = make_rows("a", 0, "one", [1, 1, 0, 0], "flip_share", "050% flipped", prior=1)
  rows = [rows[0], dataclasses.replace(rows[1], context=1), *rows[2:]]
  (row,) = hypothesis_table(pair_rows(rows)).rows
  assert row[2] == "3"
  natural = make_rows("a", 0, "one", [1, 0], prior=0)
  assert hypothesis_table(pair_rows(natural)).rows == ()


def test_agreement_is_the_share_of_equal_pairs(make_rows):
  rows = [
    row
    for setting, right in (
      ("order 1", [1, 1]),
      ("order 2", [1, 0]),
      ("order 3", [1, 0]),
    )
    for row in make_rows("a", 0, "one", right, "order", setting)
  ]
  # query 0: all three pairs equal; query 1: one of three
  assert agreement(pair_rows(rows), "order") == [
    ("a (step 0)", pytest.approx((1 + 1 / 3) / 2))
  ]
  assert agreement(pair_rows(rows), "format") == []


def test_two_texts_that_are_no_choice_agree_if_they_are_equal(make_rows):
  rows = [
    dataclasses.replace(
      row,
      kind="generate",
      prediction=None,
      correct=False,
      text=text,
      log_likelihoods=(),
      tokens=(),
    )
    for setting, text in (
      ("order 1", "Maybe "),
      ("order 2", "maybe"),
      ("order 3", "no"),
    )
    for row in make_rows("a", 0, "one", [0], "order", setting)
  ]
  assert agreement(pair_rows(rows), "order") == [("a (step 0)", pytest.approx(1 / 3))]
