"""The exact texts of encodings, and where an answer stands in a chain of thought."""

import pytest

from symtune.data.instruction_prompts import check_encodings, encode
from symtune.data.text.instructions import Encoding, InstructionForm
from symtune.errors import SymtuneError
from symtune.instruct.extract import extract_answer
from symtune.instruct.tasks import read_tasks

_DEFINITION = "Definition: Is it a fruit or an animal?\n\n"
_EXAMPLES = """\
 Positive Example 1 -
Input: a pear.
 Output: fruit.

 Positive Example 2 -
Input: a cow.
 Output: animal.

"""
_NEGATIVE = """\
 Negative Example 1 -
Input: a cat.
 Output: fruit.

"""
_EXPLAINED = _EXAMPLES.replace(
  "fruit.\n", "fruit.\n Explanation: It grows on a tree.\n"
)
_EXPLAINED = _EXPLAINED.replace("animal.\n", "animal.\n Explanation: It eats.\n")
_QUERY = "Now complete the following example -\nInput: an apple.\nOutput:"


@pytest.mark.parametrize(
  ("encoding", "text"),
  [
    ("definition", _DEFINITION + _QUERY),
    ("positive", _DEFINITION + _EXAMPLES + _QUERY),
    ("negative", _DEFINITION + _EXAMPLES + _NEGATIVE + _QUERY),
    ("explained", _DEFINITION + _EXPLAINED + _QUERY),
    ("examples", _EXAMPLES + _QUERY),
    ("step_by_step", _DEFINITION + _QUERY + " Let's think step by step."),
    ("self_instruct", "Task: Is it a fruit or an animal?\nInput: an apple\nOutput:"),
  ],
)
def test_texts(folder, encoding, text):
  task = read_tasks(folder, InstructionForm.SUPER_NI)[0]
  assert encode(task, task.rows[0], Encoding(encoding)).inputs == text


def test_rows_and_pairs(tmp_path):
  rows = tmp_path / "rows.jsonl"
  rows.write_text('{"instruction": "Sing.", "input": "", "output": "la"}\n')
  (task,) = read_tasks(rows, InstructionForm.ALPACA)
  text = encode(task, task.rows[0], Encoding.ALPACA).inputs
  assert text.endswith("the request.\n\n### Instruction:\nSing.\n\n### Response:")
  assert encode(task, task.rows[0], Encoding.SELF_INSTRUCT).inputs == (
    "Task: Sing.\nOutput:"
  )
  pairs = tmp_path / "pairs.jsonl"
  pairs.write_text('{"inputs": "2 + 2 =", "targets": "4"}\n')
  (task,) = read_tasks(pairs, InstructionForm.PAIRS)
  assert encode(task, task.rows[0], Encoding.PLAIN).inputs == "2 + 2 ="
  with pytest.raises(SymtuneError, match="--encoding definition: pairs have no"):
    check_encodings([task], [Encoding.DEFINITION])


def test_encodings_that_the_data_cannot_fill(folder, tmp_path):
  rows = tmp_path / "rows.jsonl"
  rows.write_text('{"instruction": "Sing.", "input": "", "output": "la"}\n')
  tasks = read_tasks(rows, InstructionForm.ALPACA)
  with pytest.raises(SymtuneError, match="no examples to show"):
    check_encodings(tasks, [Encoding.POSITIVE])
  with pytest.raises(SymtuneError, match="input alone"):
    check_encodings(tasks, [Encoding.PLAIN])
  with pytest.raises(SymtuneError, match="each once"):
    check_encodings(tasks, [Encoding.ALPACA, Encoding.ALPACA])
  check_encodings(read_tasks(folder, InstructionForm.SUPER_NI), list(Encoding)[:7])


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    ("It grows. So the answer is fruit.", "fruit"),
    ("The answer is no. Wait, the answer is: yes.\nDone", "yes"),
    ("First this.\nThen 12.", "Then 12"),
    ("Answer: B", "B"),
    ("", ""),
  ],
)
def test_answers_in_chains_of_thought(text, answer):
  assert extract_answer(text, Encoding.STEP_BY_STEP) == answer
  assert extract_answer(text, Encoding.DEFINITION) == text
