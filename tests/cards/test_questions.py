"""Questions of BIG-Bench Hard: options become choices, the rest is free text."""

import json

import pytest

from symtune.cards.questions import load_questions
from symtune.cards.resources import resource_dir
from symtune.cards.strict_yaml import read_yaml
from symtune.errors import SymtuneError

NAMES = tuple(
  read_yaml(resource_dir("tasks") / "questions" / "bbh.yaml").section("tasks").values
)


def _write(folder, examples=(), **changed):
  (folder / "bbh").mkdir(exist_ok=True)
  plain = [{"input": "Q?", "target": "A"}]
  for name in NAMES:
    values = {"canary": "GUID", "examples": changed.get(name, plain)}
    (folder / "bbh" / f"{name}.json").write_text(json.dumps(values))


def test_options_become_choices(tmp_path):
  letters = "Which?\nOptions:\n(A) a (B) in it\n(B) b"
  _write(
    tmp_path,
    hyperbaton=[{"input": letters, "target": "(B)"}, {"input": letters, "target": "b"}],
    navigate=[{"input": "Q?\nOptions:\n- Yes\n- No", "target": "No"}],
    boolean_expressions=[{"input": "not True is", "target": "False"}],
  )
  tasks = {task.name: task for task in load_questions(tmp_path)}
  assert list(tasks) == list(NAMES)
  first, odd = tasks["hyperbaton"].questions
  assert first.choices == ("(A)", "(B)")
  assert odd.choices == ()  # its answer is none of the options
  assert tasks["navigate"].questions[0].choices == ("Yes", "No")
  assert tasks["boolean_expressions"].questions[0].choices == ("False", "True")
  assert tasks["word_sorting"].questions[0].choices == ()
  assert tasks["navigate"].canary == "GUID"


@pytest.mark.parametrize(
  ("examples", "problem"),
  [
    ([{"input": "Q?"}], "expected {'examples'"),
    ([{"input": "Q?", "target": " "}], "example 1: empty input or target"),
  ],
)
def test_bad_files_are_named(examples, problem, tmp_path):
  _write(tmp_path, snarks=examples)
  with pytest.raises(SymtuneError, match=f"snarks.json.*{problem}"):
    load_questions(tmp_path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(SymtuneError, match=r"boolean_expressions.json: no such file"):
    load_questions(tmp_path)


@pytest.mark.shared
def test_the_real_files_are_23_choice_and_4_free_tasks(shared_data):
  tasks = load_questions(shared_data)
  assert len(tasks) == 27
  without = {task.name: sum(not q.choices for q in task.questions) for task in tasks}
  free = {task.name for task in tasks if 2 * without[task.name] >= len(task.questions)}
  assert free == {
    "dyck_languages",
    "multistep_arithmetic_two",
    "object_counting",
    "word_sorting",
  }
  odd = sum(count for name, count in without.items() if name not in free)
  assert odd < 10  # a few published answers are none of their options
