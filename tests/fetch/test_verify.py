"""Bad rows and changed files end in a report with file and line."""

import pytest
from etils import epath

from symtune.cards.examples import MAX_LINE_BYTES, check_rows, read_task
from symtune.cards.load import load_card
from symtune.errors import SymtuneError
from symtune.fetch.get import GetSettings, get_tasks
from symtune.fetch.verify import check_folder

SST2 = load_card("sst2")
GOOD = b'{"text": "fine", "label": 1, "label_name": "positive", "split": "train"}'
BAD = {
  "wrong label": (GOOD.replace(b": 1", b": 7"), "got 7, expected 0 to 1"),
  "wrong name": (GOOD.replace(b'"positive"', b'"glad"'), "got 'glad' for label 1"),
  "missing field": (GOOD.replace(b'"text"', b'"body"'), "key 'text' is missing"),
  "empty text": (GOOD.replace(b'"fine"', b'"  "'), "key 'text': empty text"),
  "invalid UTF-8": (GOOD.replace(b"fine", b"f\xffne"), "not UTF-8 at byte"),
  "no JSON": (b"fine, 1", "not JSON"),
  "lone surrogate": (GOOD.replace(b"fine", b"\\ud83d"), "a lone surrogate"),
  "deep nesting": (GOOD.replace(b"1,", b"[" * 100_000 + b"1,"), "nested too deep"),
  "long number": (
    GOOD.replace(b": 1", b": " + b"1" * 5_000),
    "number that is too long",
  ),
  "huge line": (GOOD.replace(b"fine", b"x" * 10_000_000), "a line of 10,000,0"),
}


@pytest.mark.parametrize("kind", BAD)
def test_each_kind_of_bad_row_is_named_with_its_line(kind, tmp_path):
  line, problem = BAD[kind]
  path = epath.Path(tmp_path / "sst2.jsonl")
  path.write_bytes(b"\n".join([GOOD, line, GOOD, line, GOOD, b""]))
  found = check_rows(SST2, path)
  examples, bad = found.examples, found.bad
  assert [e.row for e in examples] == [0, 2, 4]
  assert [row.line for row in bad] == [2, 4]
  assert problem in bad[0].problem
  with pytest.raises(SymtuneError, match=r"sst2.jsonl, line 2 .*1 more bad lines: 4"):
    read_task(SST2, tmp_path)


def test_a_truncated_file_is_called_that(tmp_path):
  path = epath.Path(tmp_path / "sst2.jsonl")
  path.write_bytes(GOOD + b"\n" + GOOD[:-20])
  bad = check_rows(SST2, path).bad
  assert "the file ends in the middle of this line" in bad[0].problem
  path.write_bytes(GOOD + b"\n" + GOOD)  # whole but for its last newline
  assert check_rows(SST2, path).bad == ()


def test_a_line_at_the_limit_is_read(tmp_path):
  path = epath.Path(tmp_path / "sst2.jsonl")
  fill = b"x" * (MAX_LINE_BYTES - len(GOOD) + len(b"fine"))
  path.write_bytes(GOOD.replace(b"fine", fill) + b"\n")
  assert check_rows(SST2, path).bad == ()


def test_a_file_that_changed_after_the_download_is_found(hub, tmp_path):
  made = [
    {"text": f"t {i}", "label": SST2.source.download.values[i % 2]} for i in range(4)
  ]
  hub(SST2, "train", made)
  root = hub(SST2, "validation", made)
  folder = epath.Path(tmp_path / "data")
  get_tasks([SST2], folder, GetSettings(root=str(root)), lambda line: None)
  assert check_folder([SST2], folder)[0].good
  path = folder / "sst2.jsonl"
  path.write_text(path.read_text().replace("t 3", "u 3"))
  report = check_folder([SST2], folder)[0]
  assert not report.good
  assert "the file changed after the download" in report.problem
  path.unlink()
  assert "no such file" in check_folder([SST2], folder)[0].problem
  (report,) = check_folder([], folder, others=True)
  assert "provenance.json lists it" in report.problem
  path.write_text("{}\n")  # of a card that this package does not have
  (report,) = check_folder([], folder, others=True)
  assert "the file changed after the download" in report.problem


@pytest.mark.shared
def test_the_real_rows_are_all_good(shared_data):
  from symtune.cards.load import list_cards

  folder = epath.Path(shared_data / "tasks")
  cards = [load_card(name) for name in list_cards()]
  present = [card for card in cards if (folder / f"{card.rows}.jsonl").exists()]
  assert len(present) >= 34  # the 33 tasks and MMLU
  assert all(report.good for report in check_folder(present, folder))
