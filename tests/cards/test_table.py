"""Tables of labelled texts become tasks; what is wrong with one is named by its row."""

import json

import pandas
import pytest

from symtune.cards.card import SPLITS
from symtune.cards.load import load_card, load_task
from symtune.cards.table import TableSettings, make_task
from symtune.cards.write_card import write_task
from symtune.errors import SymtuneError

REVIEWS = [("a joy", "4"), ("dull, long", "1"), ("fine", "3"), ("weak", "2")] * 3
SETTINGS = TableSettings(text=("review",), label="stars")


@pytest.fixture
def frame():
  return pandas.DataFrame(
    [(f"{text} {i}", int(stars)) for i, (text, stars) in enumerate(REVIEWS)],
    columns=["review", "stars"],
  )


def _paths(frame, folder):
  frame = frame.astype(str)
  frame.to_csv(folder / "a.csv", index=False, encoding="utf-8-sig")  # with a BOM
  frame.to_csv(folder / "a.tsv", index=False, sep="\t")
  frame.to_json(folder / "a.jsonl", orient="records", lines=True)
  frame.to_json(folder / "a.json", orient="records")
  return [folder / f"a.{kind}" for kind in ("csv", "tsv", "jsonl", "json")]


def test_every_kind_of_file_gives_the_same_task(frame, tmp_path):
  task = make_task(frame, SETTINGS)
  assert task.card.labels == ("1", "2", "3", "4")
  assert task.card.instruction == "Is this 1, 2, 3 or 4?"
  first = task.examples[0]
  assert (first.fields, first.label) == ({"review": "a joy 0"}, 3)
  assert task.examples[1].fields == {"review": "dull, long 1"}
  for path in _paths(frame, tmp_path):
    read = make_task(path, SETTINGS)
    assert read.card.name == "a"
    assert read.examples == task.examples


def test_parquet_and_a_data_set_of_the_hub_are_read(frame, tmp_path):
  datasets = pytest.importorskip("datasets")
  frame.to_parquet(tmp_path / "a.parquet")
  task = make_task(frame, SETTINGS)
  assert make_task(tmp_path / "a.parquet", SETTINGS).examples == task.examples
  names = datasets.ClassLabel(names=["bad", "good"])
  features = datasets.Features({"text": datasets.Value("string"), "label": names})
  rows = {"text": ["w", "x", "y", "z"], "label": [0, 1, 0, 1]}
  table = datasets.Dataset.from_dict(rows, features=features)
  named = make_task(table, TableSettings(text=("text",), label="label"))
  assert named.card.labels == ("bad", "good")
  assert [e.label for e in named.examples] == [0, 1, 0, 1]


def test_words_columns_and_splits_are_as_given():
  frame = pandas.DataFrame(
    {
      "Head line": ["a", "b", "c", "d"],
      "label": ["p", "q", "p", "q"],
      "good?": [1.0, 0.0, 1.0, 0.0],
      "part": ["train", "Train", "test", "dev"],
    }
  )
  settings = TableSettings(
    text=("Head line", "label"),
    label="good?",
    words={"0": "bad", "1": "good"},
    template="{Head line}\nby {label}",
    split="part",
    name="mine",
  )
  task = make_task(frame, settings)
  assert task.card.fields == ("Head_line", "label_text")
  assert task.card.input_text(task.examples[0]) == "a\nby p"
  assert (task.card.labels, task.card.label_names) == (("bad", "good"), ("0", "1"))
  assert [e.split for e in task.examples] == [SPLITS[0]] * 2 + [SPLITS[1]] * 2
  assert task.card.query_splits == (SPLITS[1],)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"text": ("reviews",)}, "no column 'reviews'; the columns are review, stars"),
    ({"label": "review"}, None),
    ({"words": {"1": "bad"}}, "column 'stars' has 2, 3, 4"),
    ({"template": "{review}{x}"}, r"the slot \{x\} is not a field"),
  ],
)
def test_settings_that_do_not_fit_are_refused(frame, change, message):
  settings = TableSettings(**{"text": ("review",), "label": "stars", **change})
  if message is None:  # one class per row: too few, but well formed
    assert len(make_task(frame, settings).card.labels) == 12
    return
  with pytest.raises(SymtuneError, match=message):
    make_task(frame, settings)


@pytest.mark.parametrize(
  ("column", "value", "message"),
  [
    ("review", "  ", "row 3 after the header: column 'review' is empty"),
    ("stars", None, "row 3 after the header: column 'stars' is empty"),
  ],
)
def test_no_row_is_dropped(frame, column, value, message):
  frame[column] = frame[column].astype(object)
  frame.loc[2, column] = value
  with pytest.raises(SymtuneError, match=message):
    make_task(frame, SETTINGS)


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("a.csv", b"review,stars\n\xff,1\n", "cannot be read as .csv"),
    ("a.csv", b"", "cannot be read as .csv"),
    ("a.csv", b"review,stars\n", "no rows"),
    ("a.jsonl", b'{"review": "x"\n', "line 1"),
    ("a.jsonl", b"[1]\n", "row 1: got list"),
    ("a.json", b'{"review": 1}', "no JSON list"),
    ("a.txt", b"x", r"got a file of type .txt"),
  ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
  path = tmp_path / name
  path.write_bytes(content)
  with pytest.raises(SymtuneError, match=message):
    make_task(path, SETTINGS)


def test_a_written_card_is_read_again(frame, tmp_path):
  task = make_task(frame, SETTINGS)
  card, rows = write_task(task, tmp_path / "data")
  read = load_task(str(card), None)
  assert read.fingerprint == task.fingerprint
  assert read.card == task.card
  assert json.loads(rows.read_text().splitlines()[0])["label_name"] == "4"
  with pytest.raises(SymtuneError, match=r"table\.yaml exists"):
    write_task(task, tmp_path / "data")


def test_a_private_card_needs_no_source_and_may_have_label_sets(frame, tmp_path):
  card, _ = write_task(make_task(frame, SETTINGS), tmp_path)
  text = card.read_text()
  assert "source" not in text
  card.write_text(text + 'label_sets: {french: ["un", "deux", "trois", "quatre"]}\n')
  read = load_card(str(card))
  assert read.licence == "private"
  assert read.label_sets == {"french": ("un", "deux", "trois", "quatre")}
  card.write_text(text + 'label_sets: {french: ["un", "deux"]}\n')
  with pytest.raises(SymtuneError, match="'french' has 2 words for 4 labels"):
    load_card(str(card))
