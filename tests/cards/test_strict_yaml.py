import os
import re

import pytest

from symtune.cards.strict_yaml import Section, read_yaml
from symtune.errors import SymtuneError


def section(tmp_path, text: str) -> Section:
  path = tmp_path / "file.yaml"
  path.write_text(text, encoding="utf-8")
  return read_yaml(path)


def test_values_come_back_with_their_types(tmp_path):
  keys = section(tmp_path, 'a: text\nb: [x, "1"]\nc: 3\nd: {e: null}\n')
  assert keys.text("a") == "text"
  assert keys.texts("b") == ("x", "1")
  assert keys.count("c") == 3
  assert keys.section("d").text_or_none("e") is None


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("a: 1\nb: 2\na: 3\n", r"file\.yaml, line 3: .*'a' occurs twice"),
    ("a:\n  b: 1\n  b: 2\n", r"file\.yaml, line 3: .*'b' occurs twice"),
    ("a: [1\nb: 2\n", r"file\.yaml, line \d: not valid YAML"),
    ("a: !!python/name:os.system\n", r"file\.yaml, line 1: not valid YAML"),
    ("- a\n- b\n", r"file\.yaml: got .*list.*expected a mapping"),
    ("", r"file\.yaml: got None.*expected a mapping"),
    ("a: [" + "x" * 1_000_000, r"file\.yaml: got a file of .* at most 1,000,000"),
    ("a: &b [x]\nc: d\n", r"line 1: got the anchor or alias 'b'.*Write the value out"),
    ("a: &a *a\n", r"line 1: got the anchor or alias"),
    ("a: " + "[" * 100_000, r"file\.yaml, line 1: nested too deeply"),
    ("{a: " * 100_000, r"file\.yaml, line 1: nested too deeply"),
    ("- " * 100_000, r"file\.yaml, line 1: nested too deeply"),
    ("\n".join(" " * i + "a:" for i in range(999)), "line 101: nested too deeply"),
    ("b: 1\na: " + "9" * 5_000, r"line 2: .*a number of more than 20 digits"),
    ("a: 1" + ":1" * 5_000, r"line 1: .*a number of more than 20 digits"),
    ("a: 2001-99-99\n", r"file\.yaml: a value cannot be read \(month"),
    ("a: !!timestamp x\n", r"file\.yaml: a value cannot be read"),
    ("a: !!bool x\n", r"file\.yaml: a value cannot be read"),
    ("a: \0\n", r"file\.yaml: not valid YAML: .*control characters"),
  ],
)
def test_a_bad_file_is_an_error_with_its_line(tmp_path, text, message):
  with pytest.raises(SymtuneError, match=message):
    section(tmp_path, text)


def test_bytes_that_are_not_utf8_are_an_error(tmp_path):
  path = tmp_path / "file.yaml"
  path.write_bytes(b"a: \xff\n")
  with pytest.raises(SymtuneError, match=r"file\.yaml: not UTF-8 at byte 3"):
    read_yaml(path)


def test_aliases_that_expand_without_end_are_refused(tmp_path):
  lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
  for i in range(1, 9):
    lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]")
  with pytest.raises(SymtuneError, match="line 1: got the anchor or alias 'a0'"):
    section(tmp_path, "\n".join(lines))


def test_a_byte_order_mark_is_read(tmp_path):
  assert section(tmp_path, "\ufeffa: x\n").text("a") == "x"


def test_a_pipe_is_an_error_at_once(tmp_path):
  os.mkfifo(tmp_path / "pipe.yaml")
  with pytest.raises(SymtuneError, match=r"pipe\.yaml: got a pipe"):
    read_yaml(tmp_path / "pipe.yaml")


def test_a_missing_file_is_an_error(tmp_path):
  with pytest.raises(SymtuneError, match=r"none\.yaml: cannot be read"):
    read_yaml(tmp_path / "none.yaml")


def test_a_wrong_type_is_an_error_that_names_file_key_and_value(tmp_path):
  keys = section(tmp_path, "a: {b: [yes, 2.5], c: true, d: -1, e: x}\n").section("a")
  for read, message in (
    (lambda: keys.texts("b"), "'a.b[0]': got True (bool), expected text"),
    (lambda: keys.text("c"), "'a.c': got True (bool), expected text; put it in quotes"),
    (lambda: keys.count("c"), "'a.c': got True (bool), expected a whole number"),
    (lambda: keys.count("d"), "'a.d': got -1 (int), expected a whole number >= 0"),
    (lambda: keys.texts("e"), "'a.e': got 'x' (str), expected a list of texts"),
    (lambda: keys.section("e"), "'a.e': got 'x' (str), expected a mapping"),
  ):
    with pytest.raises(SymtuneError, match=r"file\.yaml: key " + re.escape(message)):
      read()


def test_unknown_and_missing_keys_are_errors_that_list_the_allowed_ones(tmp_path):
  keys = section(tmp_path, "name: x\nlabel: y\n")
  with pytest.raises(SymtuneError, match="'label': unknown key; did you mean 'labels'"):
    keys.check_keys(["name", "labels"])
  with pytest.raises(SymtuneError, match="'rows': missing; required: name, rows"):
    keys.check_keys(["name", "rows"], ["label"])
