"""Files from strangers are refused before they are used."""

import math
import os
import socket

import pytest

from symtune.bounded import (
  MAX_DEPTH,
  parse_json,
  read_bytes,
  read_json,
  read_text,
)
from symtune.errors import SymtuneError

DEEP = 100_000


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("[" * DEEP, "nested too deeply, more than 100"),
    ('{"a":' * DEEP, "nested too deeply, more than 100"),
    ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deeply, more than 100"),
    ("1" * 5_000, "a number that is too long"),
    ("NaN", "got the number NaN, expected a finite one"),
    ('{"a": -Infinity}', "got the number -Infinity"),
    ("[1e999]", "got the number 1e999"),
    ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
    ('"\\ud800"', "holds a lone surrogate"),
    ('{"a": 1', "not JSON: Expecting ',' delimiter at column 8"),
    ("[\n1,\n}", "not JSON: Expecting value at line 3, column 1"),
    ("", "not JSON: Expecting value at column 1"),
    (b"\xff", "not UTF-8 at byte 0"),
  ],
)
def test_json_that_is_refused_names_its_place(text, problem):
  with pytest.raises(SymtuneError, match=r"^here: ") as caught:
    parse_json(text, "here")
  assert problem in str(caught.value)


def test_json_that_is_read():
  deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
  assert parse_json(deep, "here")
  brackets = "[" * 200
  assert parse_json(f'["{brackets}\\"{brackets}"]') == [f'{brackets}"{brackets}']
  assert parse_json(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
  many = "[" + ",".join(["[1.5]"] * 1_000) + "]"
  assert len(parse_json(many)) == 1_000
  assert math.isnan(parse_json("NaN", allow_nan=True))
  assert parse_json("1e999", allow_nan=True) == math.inf


def test_only_regular_files_of_bounded_size_are_read(tmp_path):
  file, pipe, link = tmp_path / "file", tmp_path / "pipe", tmp_path / "link"
  file.write_bytes(b"\xef\xbb\xbf[1]")
  link.symlink_to(file)
  os.mkfifo(pipe)
  assert read_bytes(file, 6) == b"\xef\xbb\xbf[1]"
  assert read_text(link, 6) == "[1]"
  assert read_json(str(file), 6) == [1]
  with pytest.raises(SymtuneError, match="6 bytes or more, expected at most 5"):
    read_bytes(file, 5)
  for path in (pipe, "/dev/zero"):
    with pytest.raises(SymtuneError, match=f"{path}: got a pipe, socket or device"):
      read_text(path, 10)
  with pytest.raises(SymtuneError, match="got a folder, expected a file"):
    read_json(tmp_path, 10)
  with pytest.raises(FileNotFoundError):
    read_bytes(tmp_path / "none", 10)


def test_a_socket_and_a_file_that_says_it_is_empty(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with socket.socket(socket.AF_UNIX) as server:
    server.bind("socket")
    with pytest.raises(SymtuneError, match="socket: got a pipe, socket or device"):
      read_bytes("socket", 10)
  # Files of the kernel have size 0, whatever they hold.
  with pytest.raises(SymtuneError, match="expected at most 3"):
    read_bytes("/proc/self/status", 3)


def test_a_large_file_is_refused_without_reading_it(tmp_path):
  sparse = tmp_path / "sparse"
  with sparse.open("wb") as file:
    file.truncate(1 << 40)
  with pytest.raises(SymtuneError, match="1,099,511,627,776 bytes"):
    read_json(sparse, 1_000)
