"""Scorers without a model do what their names say."""

import dataclasses

import pytest

from symtune.data.prompts import Prompt
from symtune.errors import SymtuneError
from symtune.probe.answer.baselines import score_by_neighbours, score_by_svm
from symtune.probe.answer.scorers import (
  make_random_scorer,
  score_by_context,
  score_by_copying,
  score_by_echo,
  score_by_majority,
  score_by_oracle,
  score_by_prior,
)
from symtune.probe.made import labelled_prompt, open_prompt
from symtune.probe.probe import AnswerKind, ProbeItem, Score
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.report.outcomes import Outcome


def _writer(answer):
  """A scorer that writes what a function says."""

  def score(items):
    return [
      Score(text=answer(item), exemplars=len(item.prompt.exemplar_labels))
      for item in items
    ]

  return score


def _item(prompt: Prompt, kind=AnswerKind.RANK, context=0, prior=1):
  return ProbeItem(
    probe="p",
    setting="s",
    task="t",
    seed=0,
    query=0,
    prompt=prompt,
    context=context,
    prior=prior,
    kind=kind,
    fingerprint="f",
  )


THREE = labelled_prompt(
  [("a cat", 2), ("a dog", 2), ("a pear", 0)], "a plum", ("x", "y", "z"), 0
)


@pytest.mark.parametrize("kind", AnswerKind)
def test_each_answers_as_named_by_ranking_and_by_writing(kind, predict):
  item = _item(THREE, kind)
  answers = {
    score: predict(item, score([item])[0])
    for score in (
      score_by_oracle,
      score_by_context,
      score_by_prior,
      score_by_majority,
      score_by_copying,
      score_by_echo,
    )
  }
  assert answers == {
    score_by_oracle: 0,
    score_by_context: 0,
    score_by_prior: 1,
    score_by_majority: 2,
    score_by_copying: 0,
    score_by_echo: 0,  # "a plum" is no choice
  }


def test_every_outcome_can_be_reached(make_task, settings, outcomes):
  task = make_task(("animal", "fruit", "tool"))
  written = dataclasses.replace(settings, kind=AnswerKind.GENERATE)
  items = list(FlippedLabels().items(task, written))

  def neither(item):
    third = {0, 1, 2} - {item.context, item.prior}
    return item.prompt.choices[third.pop()]

  def context(item):
    return item.prompt.choices[item.context].upper()  # case does not count

  def prior(item):
    return item.prompt.choices[item.prior] + "\n"

  scorers = {
    Outcome.NEITHER: neither,
    Outcome.CONTEXT: context,
    Outcome.PRIOR: prior,
    Outcome.UNPARSED: lambda item: f"it is {context(item)}",
  }
  for outcome, answer in scorers.items():
    found = outcomes(_writer(answer), items)
    assert found == {"deranged": {outcome: 24}}


def test_open_answers_without_a_hypothesis_are_wrong_not_right(predict):
  prompt = open_prompt([("1", "2"), ("2", "3"), ("4", "3")], "7", "8")
  item = _item(prompt, AnswerKind.GENERATE, context=None, prior=None)
  for score in (score_by_prior, score_by_context, score_by_neighbours):
    assert predict(item, score([item])[0]) is None
  assert score_by_majority([item])[0].text == "3"
  bare = _item(open_prompt([], "7", "8"), AnswerKind.GENERATE)
  for score in (score_by_majority, score_by_neighbours, score_by_svm):
    assert predict(bare, score([bare])[0]) is None


def test_neighbours_follow_the_words_that_are_shared(predict):
  prompt = labelled_prompt(
    [("red round sweet", 0), ("grey sharp steel", 1), ("grey heavy iron", 1)],
    "sharp grey iron",
    ("x", "y"),
    1,
  )
  item = _item(prompt)
  assert predict(item, score_by_neighbours([item])[0]) == 1
  swapped = labelled_prompt(
    [(text[1], label) for text, label in zip(prompt.turns, (1, 0, 0), strict=False)],
    "sharp grey iron",
    ("x", "y"),
    0,
  )
  item = _item(swapped)
  assert predict(item, score_by_neighbours([item])[0]) == 0


def test_neighbours_follow_exemplars_against_the_prior(predict, settings, toy_task):
  """They read labels by the word that is shown, so flipped labels are followed."""
  for item in FlippedLabels().items(toy_task, settings):
    shown = {turn[-3]: turn[-1] for turn in item.prompt.turns[:-1]}
    text, word = next(iter(shown.items()))
    turns = (*item.prompt.turns[:-1], (*item.prompt.turns[-1][:-2], text, "\nX:"))
    asked = dataclasses.replace(
      item, prompt=dataclasses.replace(item.prompt, turns=turns)
    )
    chosen = predict(asked, score_by_neighbours([asked])[0])
    assert item.prompt.choices[chosen] == word


def test_random_writes_a_choice_where_there_are_several(predict):
  score = make_random_scorer(0)
  for kind in AnswerKind:
    items = [dataclasses.replace(_item(THREE, kind), query=i) for i in range(300)]
    chosen = [predict(i, s) for i, s in zip(items, score(items), strict=True)]
    assert all(60 < chosen.count(choice) < 140 for choice in range(3))


def test_svm_wants_numbers():
  item = _item(THREE)
  with pytest.raises(SymtuneError, match="Use it only for linear_classification"):
    score_by_svm([item])
