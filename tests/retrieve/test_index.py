"""Documents, passages and the index on disk."""

import itertools
import json

import pytest

from symtune.errors import SymtuneError
from symtune.retrieve.documents import read_documents, read_lines
from symtune.retrieve.index import PassageIndex, build_index
from symtune.retrieve.passages import cut_passages

WIKI = """ \n = Otter = \n \n The otter swims in rivers .\n \n = = Diet = = \n \n Fish .
 \n = Lion = \n \n Lions hunt on the plains .\n"""


@pytest.fixture
def files(tmp_path):
  wiki = tmp_path / "wiki.txt"
  wiki.write_text(WIKI)
  rows = tmp_path / "rows.jsonl"
  values = [{"id": "x", "title": "Tea", "text": "green tea leaves"}, {"text": "cups"}]
  rows.write_text("".join(json.dumps(value) + "\n" for value in values))
  return [wiki, rows]


def test_articles_and_rows_become_documents(files):
  texts = read_documents(files)
  assert list(texts) == ["Otter", "Lion", "x", "rows:2"]
  assert texts["Lion"] == " = Lion = \n \n Lions hunt on the plains .\n"
  assert " = = Diet = = " in texts["Otter"]


def test_text_without_headings_is_one_document(tmp_path):
  file = tmp_path / "story.txt"
  file.write_text("one\ntwo\n")
  assert read_documents([file]) == {"story": "one\ntwo\n"}


def test_equal_titles_get_numbers(tmp_path):
  file = tmp_path / "twice.txt"
  titles = ["A", "A", "A (2)", "A"]
  file.write_text("".join(f"\n = {title} = \n\nx\n" for title in titles))
  found = read_documents([file])
  assert list(found) == ["A", "A (2)", "A (2) (2)", "A (3)"]
  assert [text.count("x") for text in found.values()] == [1, 1, 1, 1]


def test_passages_keep_all_words_of_one_document(files):
  lines = list(read_lines(files))
  passages = list(cut_passages(lines, words=5))
  for document in {line.document for line in lines}:
    words = " ".join(x.text for x in lines if x.document == document).split()
    parts = [p.text.split() for p in passages if p.document == document]
    assert list(itertools.chain(*parts)) == words
    assert [len(part) for part in parts[:-1]] == [5] * (len(parts) - 1)


def test_index_finds_passages_but_none_of_a_forbidden_document(files, tmp_path):
  index = build_index(files, tmp_path / "index", words=5)
  (found, *_) = index.search("otter", 3)
  assert index.passage(found.number).document == "Otter"
  others = index.search("Otter lion", 9, forbidden=["Otter", "unknown"])
  assert {index.passage(f.number).document for f in others} == {"Lion"}
  assert index.search("the zebra", 3) == []
  queries = ["green tea", "plains", "fish", ""]
  assert index.search_all(queries, 2) == [index.search(q, 2) for q in queries]


def test_an_index_is_found_again_and_its_hash_follows_the_files(files, tmp_path):
  first = build_index(files, tmp_path / "index")
  again = build_index(files, tmp_path / "index")
  assert again.hash == first.hash == PassageIndex(tmp_path / "index").hash
  files[0].write_text(WIKI + " More .\n")
  with pytest.raises(SymtuneError, match="other sources"):
    build_index(files, tmp_path / "index")
  assert build_index(files, tmp_path / "other").hash != first.hash
  assert build_index(files, tmp_path / "third", words=7).hash != first.hash


def test_damaged_and_missing_indexes_are_refused(files, tmp_path):
  build_index(files, tmp_path / "index")
  file = tmp_path / "index" / "passages.jsonl"
  file.write_bytes(file.read_bytes().replace(b"otter", b"ottar"))
  with pytest.raises(SymtuneError, match="damaged"):
    PassageIndex(tmp_path / "index")
  with pytest.raises(SymtuneError, match="no index: it has no"):
    PassageIndex(tmp_path)
  with pytest.raises(SymtuneError, match="exists and is no index"):
    build_index(files, tmp_path)


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("a.csv", "x", "expected a .txt or a .jsonl"),
    (
      "a.jsonl",
      '{"title": "x"}\n',
      "line 1: expected an object with a 'text'",
    ),
    ("a.jsonl", '\n{"text": "x", "id": 3}\n', "line 2: 'id' is 3"),
    ("a.jsonl", "{", "line 1: not JSON"),
    ("a.txt", " \n", "no texts with words"),
    ("a.txt", "the of\n", "no texts with words"),
  ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
  file = tmp_path / name
  file.write_text(content)
  with pytest.raises(SymtuneError, match=message):
    build_index([file], tmp_path / "index")
  assert not (tmp_path / "index").exists()
