"""Damage to results.jsonl is named when it is read, or has no effect."""

import dataclasses
import json
import math

import pytest

from symtune.errors import SymtuneError
from symtune.probe.results import add_checksum, read_results, to_json


@pytest.fixture
def row(make_rows):
  (row,) = make_rows("before", 0, "ten", [1], parameters=900, family="t5", prior=1)
  return row


def _write(path, *lines):
  path.write_text("".join(line + "\n" for line in lines))
  return path


def _forge(row, **changes):
  """A line with a correct checksum that no probe would have written."""
  values = json.loads(to_json(row))
  del values["crc32"]
  return add_checksum(json.dumps({**values, **changes}))


def test_rows_come_back_as_they_were(make_rows, tmp_path):
  of = {"shares": ("fruit", "tool"), "group": "known"}
  rows = make_rows("before", 0, "ten", [1, 0], **of)
  rows += make_rows("after", 4, "six", [1], prior=0, parameters=7, num_classes=3)
  rows.append(
    dataclasses.replace(
      rows[0],
      query=9,
      kind="generate",
      prediction=None,
      correct=False,
      text="a line\u2028of its own, é",
      log_likelihoods=(),
      tokens=(),
    )
  )
  found = read_results(_write(tmp_path / "results.jsonl", *map(to_json, rows)))
  assert list(found) == rows
  assert list(found[1:3]) == rows[1:3]


@pytest.mark.parametrize("prediction", [0, 1])
def test_any_of_the_likeliest_choices_may_be_the_answer(row, tmp_path, prediction):
  tied = dataclasses.replace(
    row,
    log_likelihoods=(-1.1, -1.1),
    prediction=prediction,
    correct=prediction == row.label,
  )
  (found,) = read_results(_write(tmp_path / "results.jsonl", to_json(tied)))
  assert found == tied


def test_a_flipped_bit_in_any_byte_is_named(row, tmp_path):
  line = (to_json(row) + "\n").encode()
  path = tmp_path / "results.jsonl"
  for place in range(len(line)):
    damaged = bytearray(line)
    damaged[place] ^= 1 << place % 8
    path.write_bytes(damaged)
    with pytest.raises(SymtuneError, match=r"results\.jsonl, line \d"):
      read_results(path)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"log_likelihoods": [math.nan, -2.0]}, r"log_likelihoods: got \(nan, -2.0\)"),
    ({"log_likelihoods": [-1.0, -math.inf]}, "expected finite numbers"),
    ({"log_likelihoods": [-1.0]}, r"one per choice, of 2"),
    ({"domain_log_prior": [-1.0]}, "one per choice or none, of 2"),
    ({"tokens": [2, 0]}, r"tokens: got \(2, 0\), expected 1 or more each"),
    ({"prediction": 77}, "prediction: got 77, expected the index of one of 2 choices"),
    (
      {"prediction": None, "correct": False},
      "prediction: got None, expected the likeliest",
    ),
    ({"prediction": 1, "correct": False}, "prediction: got 1, expected the likeliest"),
    ({"prediction": True}, r"prediction: got True \(bool\), expected null or int"),
    ({"label": 2, "correct": False}, "label: got 2"),
    ({"label": -1, "correct": False}, "label: got -1"),
    ({"prior": -2}, "prior: got -2"),
    ({"correct": False}, "correct: got False, expected True for prediction 0"),
    ({"chance": -7.0}, "chance: got -7.0, expected 0 to 1"),
    ({"chance": math.nan}, "chance: got nan"),
    ({"choices": ["a", "a"]}, "expected each choice once"),
    ({"references": ["a", "b", "c"]}, "expected none, or 3 without choices"),
    ({"choices": ["a", "b", "c"]}, "as many as num_classes, 2"),
    (
      {"choices": ["a", 1]},
      r"choices: got \['a', 1\] \(list\), expected a list of str",
    ),
    ({"kind": "rang"}, "kind: got 'rang', expected generate or rank"),
    ({"kind": "generate"}, "expected none, as the answer was generated"),
    ({"num_classes": 0}, "num_classes: got 0"),
    ({"exemplars": 9}, "exemplars: got 9, expected at most the 8 asked for"),
    ({"query": 2**63}, "query: got an integer beyond 64 bits"),
    ({"query": 2**70}, "key query: got "),  # orjson 3.13 reads it as a float
    ({"seed": "0"}, r"seed: got '0' \(str\), expected int"),
    ({"surprise": 1}, r"unknown keys \['surprise'\]"),
    ({"schema_version": 9}, "got schema_version 9, expected 6"),
  ],
)
def test_rows_that_no_probe_writes_name_line_and_key(row, tmp_path, changes, message):
  other = dataclasses.replace(row, query=1)
  path = _write(tmp_path / "results.jsonl", to_json(other), _forge(row, **changes))
  with pytest.raises(SymtuneError, match=f"results.jsonl, line 2: .*{message}"):
    read_results(path)


def test_a_torn_last_line_says_what_completes_it(row, tmp_path):
  other = dataclasses.replace(row, query=1)
  path = _write(tmp_path / "results.jsonl", to_json(row), to_json(other))
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(SymtuneError, match=r"line 2: incomplete, .* Run the probe again"):
    read_results(path)


def test_rows_of_an_earlier_version_say_so(row, tmp_path):
  values = json.loads(to_json(row))
  del values["crc32"], values["prompt_hash"]
  line = json.dumps({**values, "schema_version": 4})
  with pytest.raises(SymtuneError, match="line 1: got schema_version 4, expected 6"):
    read_results(_write(tmp_path / "results.jsonl", line))
  del values["group"]
  line = json.dumps({**values, "schema_version": 5})
  path = _write(tmp_path / "results.jsonl", add_checksum(line))
  with pytest.raises(SymtuneError, match="line 1: got schema_version 5, expected 6"):
    read_results(path)
  with pytest.raises(SymtuneError, match="line 1: missing keys"):  # of the fifth too
    read_results(_write(path, line))


def test_a_task_in_two_groups_names_the_line(make_rows, tmp_path):
  rows = make_rows("before", 0, "ten", [1, 0], group="known")
  rows += make_rows("before", 0, "four", [1, 0], group="unseen")
  rows += make_rows("after", 4, "four", [1, 0], group="known")
  path = _write(tmp_path / "results.jsonl", *map(to_json, rows))
  expected = "line 5: key group: got 'known', expected the same in all rows of probe"
  with pytest.raises(SymtuneError, match=expected):
    read_results(path)


def test_a_missing_key_is_named(row, tmp_path):
  values = json.loads(to_json(row))
  del values["crc32"], values["seed"]
  line = add_checksum(json.dumps(values))
  with pytest.raises(SymtuneError, match=r"line 1: missing keys \['seed'\]"):
    read_results(_write(tmp_path / "results.jsonl", line))


@pytest.mark.parametrize(
  ("key", "value"), [("identity", "other"), ("parameters", 5), ("dtype", "bfloat16")]
)
def test_one_name_and_step_is_one_model(row, tmp_path, key, value):
  other = dataclasses.replace(row, query=1, **{key: value})
  path = _write(tmp_path / "results.jsonl", to_json(row), to_json(other))
  with pytest.raises(SymtuneError, match=f"line 2: key {key}: .*rows of before, step"):
    read_results(path)


def test_the_first_repeated_question_is_named(make_rows, tmp_path):
  rows = make_rows("before", 0, "ten", [1, 0, 1])
  lines = [*map(to_json, rows), to_json(rows[1])]
  with pytest.raises(SymtuneError, match="line 4: got the question of line 2 again"):
    read_results(_write(tmp_path / "results.jsonl", *lines))
