"""A report says what its numbers rest on: versions, rules, deviations."""

import dataclasses

import pytest

from symtune.report.report import write_report
from symtune.report.rules import Rule


@pytest.fixture
def notes_of(write_rows, tmp_path):
  """The notes of a report on some rows, in one line."""

  def write(rows, rule=Rule.SUM):
    write_rows(tmp_path, rows)
    write_report(tmp_path, rule)
    text = (tmp_path / "report.md").read_text()
    _, _, after = text.partition("## Notes\n")
    return " ".join(after.partition("\n## ")[0].split())

  return write


def test_answers_of_two_commits_are_named(both_checkpoints, notes_of):
  assert "versions" not in notes_of(both_checkpoints)
  mixed = [
    dataclasses.replace(row, git_commit="abc123", symtune_version="0.2.0")
    if row.checkpoint == "after"
    else row
    for row in both_checkpoints
  ]
  notes = notes_of(mixed)
  assert "The answers come from 2 versions or configurations" in notes
  assert "before (step 0) from symtune 0.1.0, no commit, configuration ccc" in notes
  assert "after (step 40) from symtune 0.2.0, commit abc123, configuration" in notes


def test_answers_of_two_configurations_in_one_checkpoint_are_named(make_rows, notes_of):
  first, last = make_rows("a", 0, "ten", [1, 0])
  notes = notes_of([first, dataclasses.replace(last, config_hash="d" * 16)])
  assert "configuration cccccccccccccccc; a (step 0) from" in notes
  assert "configuration dddddddddddddddd." in notes


def test_choices_that_are_exactly_equal_are_counted(make_rows, notes_of):
  rows = make_rows("a", 0, "ten", [1, 1, 0])
  assert "exactly equal" not in notes_of(rows)
  rows[1] = dataclasses.replace(rows[1], log_likelihoods=(-2.0, -2.0))
  assert "a (step 0): in 1 of 3 ranked answers the likeliest" in notes_of(rows)


def test_rules_are_not_applied_to_baselines_and_the_report_says_so(make_rows, notes_of):
  rows = make_rows("oracle", 0, "ten", [1, 1, 1, 0])
  rows = [dataclasses.replace(row, identity="baseline:oracle") for row in rows]
  model = make_rows("model", 3, "ten", [1, 1, 1, 1])
  model = [dataclasses.replace(r, null_log_likelihoods=(-9.0, -0.1)) for r in model]
  notes = notes_of(model + rows, Rule.PMI)
  assert "The rule `pmi` is not applied to baselines, which keep `sum`" in notes
  assert "baselines" not in notes_of(model + rows)
  assert "baselines" not in notes_of(model, Rule.PMI)


def test_ranked_choices_and_word_list_are_named_where_they_matter(make_rows, notes_of):
  notes = notes_of(make_rows("a", 0, "ten", [1, 0]))
  assert "Choices are ranked by their log-likelihood" in notes
  assert "wordfreq" in notes
  open_answers = [
    dataclasses.replace(
      row, kind="generate", text="a", log_likelihoods=(), tokens=(), prediction=0
    )
    for row in make_rows("a", 0, "ten", [1, 1], "flipped_labels", "flipped")
  ]
  notes = notes_of(open_answers)
  assert "ranked" not in notes
  assert "wordfreq" not in notes
  assert "A blank line separates exemplars" in notes
  assert notes_of(make_rows("a", 0, "ten", [1, 0], "mmlu", "direct")) == ""


def test_fewer_exemplars_than_the_paper_are_named(make_rows, notes_of):
  rows = make_rows("a", 0, "ten", [1, 0], "flip_share", "000% flipped")
  notes = notes_of(rows)
  assert "flip_share: 4 exemplars per class in 1 of 1 tasks" in notes
  assert "Wei et al. 2023 (arXiv 2303.03846) show 16" in notes
  again = make_rows("a", 0, "ten", [1, 0], "nonce_words", "000% nonce")
  assert "flip_share, nonce_words: 4 exemplars per class in 1" in notes_of(rows + again)
  paper = [dataclasses.replace(r, exemplars=32, exemplars_asked=32) for r in rows]
  assert "per class" not in notes_of(paper)
  few = make_rows("a", 0, "few", [1, 0], "flip_share", "000% flipped")
  few = [dataclasses.replace(r, exemplars=18, exemplars_asked=18) for r in few]
  assert "flip_share: 9 exemplars per class in 1 of 2 tasks" in notes_of(paper + few)


def test_selections_of_our_own_are_named(make_rows, notes_of):
  rows = make_rows("a", 0, "c041", [1], "list_functions", "input-independent")
  rows += make_rows("a", 0, "turing_000", [1], "turing_concepts", "exact output")
  notes = notes_of(rows)
  assert "The list functions are a selection of our own" in notes
  assert "of a language defined here" in notes
