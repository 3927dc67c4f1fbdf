"""A damaged cache of scores costs time, and never gives another number."""

import sqlite3

import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.probe.answer.cache import DiskCache

VALUES = {
  bytes([i]) * 16: np.array([-0.5 * i, -1.25, -(float(i) ** 3)]) for i in range(60)
}


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "scores.sqlite"
  cache = DiskCache(path)
  cache.put(VALUES)
  return path


def _is_right(found):
  return all((found[key] == VALUES[key]).all() for key in found)


def test_answers_come_back(path):
  found = DiskCache(path).get([*VALUES, b"another key"])
  assert found.keys() == VALUES.keys()
  assert _is_right(found)


def test_the_first_answer_stays(path):
  cache = DiskCache(path)
  cache.put({key: value + 1 for key, value in VALUES.items()})
  assert _is_right(cache.get(list(VALUES)))


def test_a_damaged_value_is_asked_again(path):
  content = bytearray(path.read_bytes())
  place = content.index(VALUES[b"\7" * 16].tobytes())
  content[place + 3] ^= 1  # a small change of the number
  path.write_bytes(content)
  cache = DiskCache(path)
  found = cache.get(list(VALUES))
  assert found.keys() == VALUES.keys() - {b"\7" * 16}
  assert _is_right(found)
  cache.put(VALUES)
  assert _is_right(cache.get(list(VALUES)))
  assert len(cache.get(list(VALUES))) == len(VALUES)


def test_a_value_under_another_key_is_not_an_answer(path):
  with sqlite3.connect(path) as connection:
    (table,) = connection.execute("SELECT name FROM sqlite_master").fetchone()
    one, other = bytes([3]) * 16, bytes([4]) * 16
    connection.execute(f"DELETE FROM {table} WHERE key = ?", (one,))
    connection.execute(f"UPDATE {table} SET key = ? WHERE key = ?", (one, other))
  connection.close()
  assert one not in DiskCache(path).get(list(VALUES))


@pytest.mark.parametrize("place", [16, 100, 0.5, 0.99])
def test_a_flipped_page_gives_no_other_number(path, place, capsys):
  content = bytearray(path.read_bytes())
  start = place if place > 1 else int(place * len(content))
  content[start : start + 64] = bytes(255 - b for b in content[start : start + 64])
  path.write_bytes(content)
  cache = DiskCache(path)
  assert _is_right(cache.get(list(VALUES)))
  cache.put(VALUES)
  assert _is_right(cache.get(list(VALUES)))
  assert len(capsys.readouterr().err.splitlines()) <= 1


@pytest.mark.parametrize("size", [20, 50, 4000, 4097])
def test_a_cut_file_is_set_aside_in_one_line(path, size, capsys):
  path.write_bytes(path.read_bytes()[:size])
  cache = DiskCache(path)
  assert cache.get(list(VALUES)) == {}
  cache.put(VALUES)
  assert _is_right(DiskCache(path).get(list(VALUES)))
  (line,) = capsys.readouterr().err.splitlines()
  assert "scores.sqlite is damaged" in line
  assert "computed again" in line
  assert path.with_name("scores.sqlite.damaged").stat().st_size == size


def test_an_empty_file_is_begun_anew(path):
  path.write_bytes(b"")
  assert DiskCache(path).get(list(VALUES)) == {}


def test_answers_without_checksums_are_not_read(tmp_path):
  path = tmp_path / "scores.sqlite"
  with sqlite3.connect(path) as connection:
    connection.execute("CREATE TABLE scores (key BLOB PRIMARY KEY, value BLOB)")
    rows = [(key, value.tobytes()) for key, value in VALUES.items()]
    connection.executemany("INSERT INTO scores VALUES (?, ?)", rows)
  connection.close()
  assert DiskCache(path).get(list(VALUES)) == {}


def test_a_place_that_cannot_be_used_is_named(tmp_path):
  (tmp_path / "scores.sqlite").mkdir()
  with pytest.raises(SymtuneError, match=r"scores\.sqlite cannot be used as a cache"):
    DiskCache(tmp_path / "scores.sqlite")
