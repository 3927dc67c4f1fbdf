import dataclasses
import json
import os
import pathlib
import re
import time

import pytest

from symtune.cards.card import Example, Source, TaskCard, TaskType
from symtune.cards.examples import fingerprint, read_task
from symtune.errors import SymtuneError

CARD = TaskCard(
  name="reviews",
  title="Reviews",
  version=1,
  task_type=TaskType.SENTIMENT,
  fields=("text",),
  template="{text}",
  labels=("bad", "good"),
  label_names=("negative", "positive"),
  instruction="Is it good?",
  exemplar_splits=("train",),
  query_splits=("validation",),
  rows="reviews",
  source=Source(hub=None, config=None, reference="none"),
  licence="unknown",
)


def row(label: int, split: str, **changes) -> dict:
  name = CARD.label_names[label]
  values = {"text": f"{name} {split}", "label": label, "label_name": name}
  return values | {"split": split, "src": "somewhere#0"} | changes


GOOD = [row(label, split) for split in ("train", "validation") for label in (0, 1)]


def write(folder: pathlib.Path, rows: list) -> pathlib.Path:
  path = folder / "reviews.jsonl"
  lines = (r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in rows)
  path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
  return path


def test_rows_become_examples_in_file_order(tmp_path):
  write(tmp_path, GOOD)
  task = read_task(CARD, tmp_path)
  assert task.card is CARD
  assert task.examples == (
    Example(row=0, fields={"text": "negative train"}, label=0, split="train"),
    Example(row=1, fields={"text": "positive train"}, label=1, split="train"),
    Example(row=2, fields={"text": "negative validation"}, label=0, split="validation"),
    Example(row=3, fields={"text": "positive validation"}, label=1, split="validation"),
  )


def test_only_a_newline_ends_a_row(tmp_path):
  odd = "one\u2028two\x85three\x0bfour\rfive"
  write(tmp_path, [*GOOD, row(0, "train", text=odd)])
  assert read_task(CARD, tmp_path).examples[4].fields["text"] == odd


@pytest.mark.parametrize(
  ("bad", "message"),
  [
    ('{"text": "x"', "line 3 (task 'reviews'): not JSON: "),
    ("", "line 3 (task 'reviews'): not JSON: the line is empty; remove it"),
    ("[1, 2]", "line 3 (task 'reviews'): got list, expected a JSON object"),
    (
      '{"text": "a", "text": "b"}',
      "line 3 (task 'reviews'): the key 'text' occurs twi",
    ),
    ({"label": 0, "split": "train"}, "key 'text' is missing; the row has: label, spl"),
    ({"label": 0}, "key 'split' is missing; the row has: label"),
    ("[" * 100_000, "line 3 (task 'reviews'): nested too deeply"),
    (row(0, "train", text=5), "line 3 (task 'reviews'): key 'text': got 5, expected t"),
    (row(0, "train", text=None), "key 'text': got null, expected text"),
    (row(0, "train", text=" \t"), "key 'text': empty text; fill it or drop the row"),
    (
      row(0, "train") | {"label": 2},
      "key 'label': got 2, expected 0 to 1, the ids of negat",
    ),
    (row(0, "train") | {"label": -2}, "key 'label': got -2, expected 0 to 1"),
    (
      row(0, "train") | {"label": -1},
      "key 'label': got -1, no gold label, in the split 'train', which the card uses; "
      "drop the row, or call its split 'test'",
    ),
    (
      row(0, "train") | {"label": "0"},
      "key 'label': got \"0\", expected a whole number",
    ),
    (
      row(0, "train") | {"label": True},
      "key 'label': got true, expected a whole number",
    ),
    (row(0, "train", label_name="positive"), "got 'positive' for label 0, which the"),
    (row(0, "dev"), "key 'split': got 'dev', allowed: train, validation"),
  ],
)
def test_a_bad_row_is_an_error_that_names_file_and_line(tmp_path, bad, message):
  path = write(tmp_path, [*GOOD[:2], bad, *GOOD[2:]])
  with pytest.raises(SymtuneError, match=re.escape(message)) as caught:
    read_task(CARD, tmp_path)
  assert str(caught.value).startswith(f"{path}, line 3 (task 'reviews'): ")


def test_rows_of_unused_splits_without_labels_are_left_out_and_counted(tmp_path):
  card = dataclasses.replace(CARD, query_splits=("train",))
  without = row(0, "validation") | {"label": -1, "label_name": ""}
  tests = [row(1, "test"), row(0, "test") | {"label": -1, "label_name": None}]
  write(tmp_path, [GOOD[0], without, *tests, GOOD[1]])
  task = read_task(card, tmp_path)
  assert [example.row for example in task.examples] == [0, 4]
  assert task.left_out == 3
  write(tmp_path, GOOD)
  assert read_task(card, tmp_path).left_out == 0


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_byte_order_marks_and_other_line_ends_are_read(tmp_path, end):
  path = write(tmp_path, GOOD)
  plain = read_task(CARD, tmp_path)
  path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", end.encode()))
  assert read_task(CARD, tmp_path) == plain


def test_a_list_is_named_with_the_way_out(tmp_path):
  (tmp_path / "reviews.jsonl").write_text(json.dumps(GOOD))
  with pytest.raises(SymtuneError, match=r"got a JSON list, .*jq -c '\.\[\]'"):
    read_task(CARD, tmp_path)


def test_a_pipe_is_an_error_at_once(tmp_path):
  os.mkfifo(tmp_path / "reviews.jsonl")
  with pytest.raises(SymtuneError, match=r"reviews\.jsonl: got a pipe"):
    read_task(CARD, tmp_path)


def test_invalid_utf8_is_an_error_with_its_line(tmp_path):
  path = write(tmp_path, GOOD)
  path.write_bytes(path.read_bytes().replace(b"positive train", b"positive \xfftrain"))
  with pytest.raises(SymtuneError, match=r"reviews\.jsonl, line 2 .*not UTF-8 at byte"):
    read_task(CARD, tmp_path)


def test_a_lone_surrogate_is_an_error_with_its_row(tmp_path):
  write(tmp_path, [*GOOD, json.dumps(row(0, "train", text="\ud83d"))])
  with pytest.raises(SymtuneError, match=r"line 5 .*lone surrogate \('\\ud83d'\)"):
    read_task(CARD, tmp_path)


def test_a_missing_file_is_an_error_that_names_it_and_the_option(tmp_path):
  with pytest.raises(SymtuneError, match=r"reviews\.jsonl: no such file.*--data"):
    read_task(CARD, tmp_path)


def test_an_empty_file_is_an_error(tmp_path):
  write(tmp_path, [])
  with pytest.raises(SymtuneError, match=r"reviews\.jsonl: empty"):
    read_task(CARD, tmp_path)


@pytest.mark.parametrize(
  ("dropped", "message"),
  [
    (1, "no row of class 'positive' in train, the card's exemplar_splits"),
    (2, "no row of class 'negative' in validation, the card's query_splits"),
  ],
)
def test_a_class_without_rows_in_a_needed_split_is_an_error(tmp_path, dropped, message):
  write(tmp_path, [r for i, r in enumerate(GOOD) if i != dropped])
  with pytest.raises(SymtuneError, match=message):
    read_task(CARD, tmp_path)


def test_splits_are_joined_before_classes_are_counted(tmp_path):
  write(tmp_path, [GOOD[0], GOOD[3]])
  both = ("train", "validation")
  card = dataclasses.replace(CARD, exemplar_splits=both, query_splits=both)
  assert len(read_task(card, tmp_path).examples) == 2


def test_the_fingerprint_follows_what_prompts_are_made_of(tmp_path):
  write(tmp_path, GOOD)
  task = read_task(CARD, tmp_path)
  assert task.fingerprint == read_task(CARD, tmp_path).fingerprint
  # The layout of the file and keys the card does not know do not count.
  write(tmp_path, [dict(reversed(r.items())) | {"src": "moved"} for r in GOOD])
  assert task.fingerprint == read_task(CARD, tmp_path).fingerprint
  for prose in ({"title": "T"}, {"licence": "CC0"}):
    card = dataclasses.replace(CARD, **prose)
    assert fingerprint(card, task.examples) == task.fingerprint
  for change in (
    {"template": "see {text}"},
    {"labels": ("poor", "good")},
    {"instruction": "Well?"},
    {"version": 2},
    {"query_splits": ("train", "validation")},
  ):
    card = dataclasses.replace(CARD, **change)
    assert fingerprint(card, task.examples) != task.fingerprint
  assert fingerprint(CARD, task.examples[:3]) != task.fingerprint
  assert fingerprint(CARD, task.examples[::-1]) != task.fingerprint


def test_the_fingerprint_is_pinned(tmp_path):
  # Every random draw of an episode depends on it: a change reseeds all experiments.
  write(tmp_path, GOOD)
  assert read_task(CARD, tmp_path).fingerprint == (
    "aed4307a14ac6d074fa32c37f5cb5644f397d11f1a94035d1f46bca9ebadde77"
  )


def test_25000_rows_are_read_in_seconds(tmp_path):
  # The paper's cap a data set. A guard against a slip into quadratic time.
  write(tmp_path, [row(i % 2, "train", text=f"film {i}") for i in range(25000)] + GOOD)
  start = time.perf_counter()
  task = read_task(CARD, tmp_path)
  assert len(task.examples) == 25004
  assert time.perf_counter() - start < 10
