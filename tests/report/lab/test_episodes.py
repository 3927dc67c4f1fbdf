"""Episodes of a run, with every checkpoint's answer."""

import pytest

from symtune.errors import SymtuneError
from symtune.files import QUESTIONS_FILE
from symtune.probe.texts import read_questions
from symtune.report.lab.episodes import Change, Wanted, find_episodes
from symtune.report.outcomes import Outcome, judge


@pytest.fixture
def find(asked):
  """Finds episodes of the two baselines."""
  texts = read_questions(asked.folder / QUESTIONS_FILE)

  def find(**wanted):
    return list(find_episodes(asked.paired(), texts, Wanted(**wanted)))

  return find


def test_every_answer_is_that_of_its_row(find, asked):
  rows = {(r.checkpoint, r.pair_key): r for r in asked.rows}
  episodes = find()
  assert len(episodes) == len(asked.rows) / 2
  for e in episodes:
    for answer in e.answers:
      key = (e.probe, e.setting, e.task, e.seed, e.query)
      row = rows[answer.checkpoint.name, key]
      assert answer.prediction == row.prediction
      assert answer.correct == row.correct
      assert answer.log_likelihoods == row.log_likelihoods
      assert answer.outcome == judge(row.prediction, row.context, row.prior)
      assert (e.choices, e.context, e.prior) == (row.choices, row.context, row.prior)
    assert e.question is not None
    assert e.question.prompt_hash == row.prompt_hash


def test_filters_find_what_they_say(find):
  flipped = find(probe="flipped_labels")
  assert {e.setting for e in flipped} == {"flipped"}
  assert len(flipped) == 3 * 6
  assert find(probe="flipped_labels", changed=Change.RIGHT_WRONG) == flipped
  assert not find(probe="flipped_labels", changed=Change.WRONG_RIGHT)
  assert find(changed=Change.ANY, setting="labels") == []
  assert len(find(setting="labels", changed=Change.NONE)) == 3 * 6
  assert {e.task for e in find(task="toy_animal_tool")} == {"toy_animal_tool"}
  outcomes = {a.outcome for e in flipped for a in e.answers}
  assert outcomes == {Outcome.CONTEXT, Outcome.PRIOR}
  word = flipped[0].question.turns[-1][-2]
  found = find(text=word.upper())
  assert found
  assert all(word in e.question.text for e in found)


@pytest.mark.parametrize(
  ("wanted", "message"),
  [
    ({"probe": "shots"}, "--probe shots: .* one of flipped_labels, settings"),
    ({"setting": "x"}, "--setting x"),
    ({"task": "x"}, "expected one of toy_animal_fruit"),
  ],
)
def test_unknown_names_are_refused(find, wanted, message):
  with pytest.raises(SymtuneError, match=message):
    find(**wanted)


def test_a_text_cannot_be_found_in_a_run_without_texts(asked):
  with pytest.raises(SymtuneError, match=r"has no questions\.jsonl\.gz"):
    list(find_episodes(asked.paired(), {}, Wanted(text="cat")))
