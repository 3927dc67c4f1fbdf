"""Accuracy against size: the numbers of the summaries, and only comparable runs."""

import dataclasses

import pytest

from symtune.errors import SymtuneError
from symtune.report.results import pair_rows
from symtune.report.sizes import SizeResult, check_comparable, draw_sizes, size_table
from symtune.report.summary import summarize_settings


def _size(parameters, rows):
  results = pair_rows(rows)
  return SizeResult(
    parameters=parameters,
    checkpoints=results.checkpoints,
    summaries=summarize_settings(results),
  )


def _rows(make_rows, before, after):
  return [
    row
    for name, step, right in (("before", 0, before), ("after", 9, after))
    for row in make_rows(name, step, "ten", [1] * right + [0] * (10 - right))
  ]


def test_a_column_per_size_and_a_row_per_checkpoint(make_rows):
  sizes = [
    _size(300_000, _rows(make_rows, 5, 6)),
    _size(3_000_000, _rows(make_rows, 4, 9)),
  ]
  check_comparable(sizes)
  table = size_table(sizes)
  assert [c.title for c in table.columns[3:]] == ["0.30M", "3.00M"]
  means = [[cell.split(" ")[0] for cell in row[3:]] for row in table.rows]
  assert means == [["50.0", "40.0"], ["60.0", "90.0"]]
  assert [row[1:3] for row in table.rows] == [("before", "10"), ("after", "10")]
  assert draw_sizes(sizes) == draw_sizes(sizes)
  assert draw_sizes(sizes).startswith(b"\x89PNG")


def test_runs_that_were_asked_other_questions_are_refused(make_rows):
  one = _size(1000, _rows(make_rows, 5, 6))
  other = dataclasses.replace(
    one, summaries=(dataclasses.replace(one.summaries[0], n=9),)
  )
  with pytest.raises(SymtuneError, match="not asked the same questions"):
    check_comparable([one, other])
  with pytest.raises(SymtuneError, match="got no runs"):
    check_comparable([])
