"""Prompts of questions, exact match and F1, and rows of answers."""

import dataclasses
import json

import pytest
import rich.console

from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer
from symtune.probe.probe import Score
from symtune.probe.run import CheckpointLabel
from symtune.ralm.answers import FILE, answer_all, answer_table, read_answers
from symtune.ralm.questions import (
  OpenQuestion,
  exact_match,
  f1,
  make_prompt,
  normalize,
  read_questions,
)
from symtune.retrieve.passages import Passage


def test_prompts_are_those_of_the_paper():
  passages = [Passage("a", "Paris", "Paris is a city."), Passage("b", "", "No title.")]
  assert make_prompt("Where is Paris", []) == (
    "Answer these questions:\nQ: where is Paris?\nA:"
  )
  assert make_prompt("where is it?", passages[:1]) == (
    "Paris\n\nParis is a city.\n\nBased on this text, answer these questions:\n"
    "Q: where is it?\nA:"
  )
  assert make_prompt("where is it?", passages) == (
    "Paris\n\nParis is a city.\n\nNo title.\n\nBased on these texts, answer these "
    "questions:\nQ: where is it?\nA:"
  )


def test_answers_are_compared_after_squads_normalisation():
  assert normalize("The  Eiffel-Tower, a tower!") == "eiffeltower tower"
  assert exact_match("the Seine.", ["Rhine", "Seine"]) == 1.0
  assert exact_match("Seine river", ["Seine"]) == 0.0
  assert f1("the Seine river", ["Rhine", "Seine"]) == pytest.approx(2 / 3)
  assert f1("", ["Seine"]) == 0.0
  assert f1("a", ["the"]) == 1.0


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("", "no questions"),
    ("[]", "line 1: expected a 'question'"),
    ('{"question": " ", "answers": ["x"]}', "expected a 'question'"),
    ('{"question": "x", "answers": "y"}', "expected 'answers'"),
    ('{"question": "x", "answers": []}', "expected 'answers'"),
  ],
)
def test_bad_lines_are_named(tmp_path, line, message):
  file = tmp_path / "q.jsonl"
  file.write_text(line)
  with pytest.raises(SymtuneError, match=message):
    read_questions(file)


def _read(items):
  """Gives the passage's last word; without a passage, "unknown"."""
  scores = []
  for item in items:
    text = item.prompt.inputs
    has_passage = "Based on" in text
    word = text.split("\n\nBased on")[0].split()[-1] if has_passage else "unknown"
    scores.append(Score(text=f" {word}\nQ: more", exemplars=0))
  return scores


def test_passages_turn_wrong_answers_into_right_ones(make_corpus, tmp_path):
  questions = [
    OpenQuestion(question=f"what is the colour of item{i}", answers=(f"colour{i}",))
    for i in range(20)
  ]
  index = make_corpus({f"d{i}": f"item{i} has colour{i}" for i in range(20)})
  answerer = Answerer(label=CheckpointLabel(name="reader", step=0), score=_read)
  console = rich.console.Console(quiet=True)
  out = tmp_path / "out"
  out.mkdir()
  answer_all(answerer, questions, index, (1,), (), out, console)
  written = (out / FILE).read_bytes()
  (closed, opened) = answer_table(read_answers(out / FILE)).rows
  assert closed[:3] == ("reader", "0", "20")
  assert closed[3].startswith("0.0 [")
  assert opened[3].startswith("100.0 [")
  assert opened[5].startswith("+100.0 [")
  assert opened[6].startswith("+100.0 [")
  (alone,) = answer_table(read_answers(out / FILE)[len(questions) :]).rows
  assert alone[5:] == ("", "")  # nothing to compare it with
  other = CheckpointLabel(name="reader", step=0, identity="other")
  answers_alike = dataclasses.replace(answerer, label=other)
  with pytest.raises(SymtuneError, match="rows of another model named reader"):
    answer_all(answers_alike, questions, index, (1,), (), out, console)
  # A killed run goes on.
  (out / FILE).write_bytes(written[: len(written) // 2])
  answer_all(answerer, questions, index, (1,), (), out, console)
  key = lambda line: (json.loads(line)["passages"], json.loads(line)["number"])  # noqa: E731
  assert sorted((out / FILE).read_bytes().splitlines(), key=key) == written.splitlines()
