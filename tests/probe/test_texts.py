"""The text of every question is kept once, whole after any kill."""

import pytest

from symtune.errors import SymtuneError
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.settings import FourSettings
from symtune.probe.run import prompt_hash
from symtune.probe.texts import QuestionFile, read_questions


@pytest.fixture
def items(toy_task, toy_pools):
  settings = ProbeSettings(pool=toy_pools[1], max_queries=3, seeds=(0,))
  return list(FourSettings().items(toy_task, settings))


def test_questions_come_back_once_each(items, tmp_path):
  path = tmp_path / "questions.jsonl.gz"
  file = QuestionFile(path)
  file.add(items[:5], prompt_hash)
  file.add(items, prompt_hash)
  size = path.stat().st_size
  QuestionFile(path).add(items, prompt_hash)  # nothing is new
  assert path.stat().st_size == size
  found = read_questions(path)
  assert found.keys() == {prompt_hash(item) for item in items}
  for item in items:
    question = found[prompt_hash(item)]
    assert question.text == item.prompt.inputs
    assert question.choices == item.prompt.choices
    assert question.exemplar_labels == item.prompt.exemplar_labels
  assert read_questions(tmp_path / "none") == {}


def test_a_file_that_was_cut_anywhere_becomes_what_it_was(items, tmp_path):
  path = tmp_path / "questions.jsonl.gz"
  for part in (items[:4], items[4:9], items[9:]):
    QuestionFile(path).add(part, prompt_hash)
  whole = path.read_bytes()
  for length in (0, 5, len(whole) // 3, len(whole) // 2, len(whole) - 1):
    path.write_bytes(whole[:length])
    for part in (items[:4], items[4:9], items[9:]):
      QuestionFile(path).add(part, prompt_hash)
    assert path.read_bytes() == whole


def test_a_flipped_bit_is_named(items, tmp_path):
  path = tmp_path / "questions.jsonl.gz"
  QuestionFile(path).add(items, prompt_hash)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 8
  path.write_bytes(data)
  with pytest.raises(SymtuneError, match=r"questions\.jsonl\.gz is damaged"):
    read_questions(path)
