"""What is taught and held out, and which answers a student does not learn from."""

import dataclasses
import json

from symtune.data.text.instructions import Encoding, InstructionForm
from symtune.instruct.distil.sift import sift
from symtune.instruct.distil.tasks import to_instructions
from symtune.instruct.distil.teach import recorded
from symtune.instruct.generate.filters import Reason
from symtune.instruct.questions import make_questions
from symtune.instruct.tasks import read_tasks


def _questions(tmp_path, rows):
  path = tmp_path / "rows.jsonl"
  path.write_text(
    "".join(
      json.dumps({"instruction": a, "input": b, "output": c}) + "\n" for a, b, c in rows
    )
  )
  tasks = read_tasks(path, InstructionForm.ALPACA)
  return make_questions(tasks, [Encoding.ALPACA])


def test_answers_that_are_no_good_are_left_out_with_their_reason(tmp_path):
  asked = _questions(
    tmp_path,
    [
      ("Add.", "1 1", "2"),
      ("Add.", "1 2", "1 2"),  # repeats its input
      ("Add.", "1 3", "The sum is:"),  # something is missing
      ("Sing.", "", "la"),
      ("Name a fruit.", "", "a pear, an apple, a"),  # cut off
      ("Name a bird.", "", "A hen."),
      ("Say nothing.", "", "x"),
    ],
  )
  taught = recorded(asked, "someone")
  taught[4] = dataclasses.replace(taught[4], ended="length")
  taught[6] = dataclasses.replace(taught[6], text="")
  found = sift(asked, taught, teacher="someone", licence="free")
  reasons = [one.reason for one in found.judged]
  assert reasons == [
    None,
    Reason.REPEATS_INPUT,
    Reason.COLON,
    None,
    Reason.TRUNCATED,
    None,
    Reason.NO_OUTPUT,
  ]
  rows = [json.loads(line) for line in found.rows().splitlines()]
  assert [row["output"] for row in rows] == ["2", "la", "A hen."]
  assert rows[0] == {
    "instruction": "Add.",
    "input": "1 1",
    "output": "2",
    "task": "rows:1",
    "teacher": "someone",
    "licence": "free",
  }
  left = [json.loads(line)["reason"] for line in found.leftovers().splitlines()]
  assert left == ["repeats input", "colon", "truncated", "no output"]
  path = tmp_path / "kept.jsonl"
  path.write_text(found.rows())
  assert len(read_tasks(path, InstructionForm.ALPACA)) == 3


def test_a_pair_is_learned_as_an_instruction_without_an_input(tmp_path):
  path = tmp_path / "pairs.jsonl"
  path.write_text('{"inputs": "2 + 2 =", "targets": "4"}\n')
  tasks = read_tasks(path, InstructionForm.PAIRS)
  asked = make_questions(tasks, [Encoding.PLAIN])
  found = sift(asked, recorded(asked, ""), teacher="", licence="")
  row = json.loads(found.rows())
  assert (row["instruction"], row["input"], row["output"]) == ("2 + 2 =", "", "4")


def test_tasks_of_classification_take_their_classes_in_turn(make_task):
  task = to_instructions(make_task(), 5)
  assert [row.outputs[0] for row in task.rows] == [
    "animal",
    "fruit",
    "animal",
    "fruit",
    "animal",
  ]
  assert task.rows[1].input == "apple"
  assert {row.instruction for row in task.rows} == {"What is it?"}
