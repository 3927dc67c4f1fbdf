"""Splits by file, instances and categories; tasks that are nearly the same."""

import json

import pytest

from symtune.data.text.instructions import InstructionForm
from symtune.data.text.task_files import read_names
from symtune.errors import SymtuneError
from symtune.instruct.overlaps import find_near_duplicates
from symtune.instruct.tasks import check_strict, read_tasks

SUPER_NI = InstructionForm.SUPER_NI


def _list(tmp_path, *names):
  path = tmp_path / f"{'_'.join(names)}.txt"
  path.write_text("".join(f"{name}\n" for name in names))
  return path


def test_files_instances_and_categories(folder, tmp_path):
  listed = _list(tmp_path, "task002_more", "task001_kind")
  tasks = read_tasks(folder, SUPER_NI, listed=listed, instances=3)
  assert [(t.name, t.category, len(t.rows)) for t in tasks] == [
    ("task002_more", "Kinds", 3),
    ("task001_kind", "Kinds", 2),
  ]
  assert [row.input for row in tasks[0].rows] == ["an apple 0", "a hen 1", "an apple 2"]


def test_each_instruction_is_a_task(tmp_path):
  path = tmp_path / "rows.jsonl"
  rows = [("Add.", "1 1", "2"), ("Sing.", "", "la"), ("Add.", "1 2", "3")]
  path.write_text(
    "".join(
      json.dumps({"instruction": a, "input": b, "output": c}) + "\n" for a, b, c in rows
    )
  )
  tasks = read_tasks(path, InstructionForm.ALPACA)
  assert [(t.name, t.category, len(t.rows)) for t in tasks] == [
    ("rows:1", "rows", 2),
    ("rows:2", "rows", 1),
  ]


def test_splits(folder, tmp_path):
  test = _list(tmp_path, "task001_kind", "", "task003_copy.json")
  assert read_names(test) == ("task001_kind", "task003_copy")
  check_strict(test, _list(tmp_path, "task002_more"))
  with pytest.raises(SymtuneError, match="1 tasks in both lists, such as task003_copy"):
    check_strict(test, _list(tmp_path, "task003_copy"))
  with pytest.raises(SymtuneError, match="1 of 2 listed tasks are not in "):
    read_tasks(folder, SUPER_NI, listed=_list(tmp_path, "task001_kin", "task003_copy"))
  with pytest.raises(SymtuneError, match="a stands there twice"):
    read_names(_list(tmp_path, "a", "b", "a"))
  with pytest.raises(SymtuneError, match="got no task names"):
    read_names(_list(tmp_path, ""))
  with pytest.raises(SymtuneError, match="cannot be read"):
    read_names(tmp_path / "none.txt")
  with pytest.raises(SymtuneError, match="names files of a folder"):
    read_tasks(folder / "task001_kind.json", SUPER_NI, listed=test)
  with pytest.raises(SymtuneError, match="nothing at"):
    read_tasks(tmp_path / "none", SUPER_NI)


_PASSAGES = [
  f"The {name} lives in a small house by the river and likes to {verb} all day."
  for name, verb in [("baker", "sing"), ("miller", "paint"), ("doctor", "dance")]
]


def _write(path, name, definition, inputs):
  task = {
    "Definition": definition,
    "Instances": [{"input": text, "output": "x"} for text in inputs],
  }
  (path / f"{name}.json").write_text(json.dumps(task))


def test_near_duplicates(tmp_path):
  asks = "Given a passage of text, write down the name of the person in it."
  other = "Count how many words of this sentence begin with a capital letter."
  test, train = tmp_path / "test", tmp_path / "train"
  test.mkdir()
  train.mkdir()
  _write(test, "same_words", asks, ["one", "two"])
  _write(test, "same_inputs", other, _PASSAGES[:2])
  _write(test, "one_input", "Translate it.", [_PASSAGES[2], "three", "four"])
  _write(test, "short", "Sing.", ["five"])
  _write(train, "a", asks.replace("write", "Write") + "!", ["six"])
  _write(train, "b", "Say who it is.", [p.replace(".", " ,") for p in _PASSAGES])
  _write(train, "c", "sing", ["seven"])
  found = find_near_duplicates(read_tasks(test, SUPER_NI), read_tasks(train, SUPER_NI))
  assert [(f.test, f.train, f.definition, f.instances) for f in found] == [
    ("same_inputs", "b", 0.0, 1.0),
    ("same_words", "a", 1.0, 0.0),
    ("short", "c", 1.0, 0.0),
  ]
