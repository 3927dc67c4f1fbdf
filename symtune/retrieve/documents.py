"""Text and JSONL files -> lines of documents, read as they come, however large.

A JSONL file has a document per line: `text`, and `title` and `id` where it has them. In
a text file, lines such as " = Robert Boulter = " between empty ones begin an article,
as in WikiText; a text file without any is one document. A title that occurs again gets
a number, so that ids are unique.
"""

import hashlib
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from symtune.bounded import decode, local_size, parse_json
from symtune.errors import SymtuneError

MAX_LINE = 100_000_000  # bytes; a longer line is no text
_HEADING = re.compile(r" = ([^=\s].*) = \s*")
_KEYS = ("id", "title", "text")


class Line(NamedTuple):
  """A line of a document.

  Attributes:
    document: id of the document.
    title: its title; "" if it has none.
    text: with the line break, if it has one; all of a document of a JSONL file.
  """

  document: str
  title: str
  text: str


def read_lines(files: Iterable[pathlib.Path]) -> Iterator[Line]:
  """The lines of all documents of some files, in their order.

  Raises:
    SymtuneError: a file is not UTF-8 or not a text or JSONL file, or a row has no text;
      names file and line.
    OSError: a file is missing.
  """
  seen: dict[str, int] = {}
  for file in files:
    if file.suffix == ".jsonl":
      yield from _read_jsonl(file, seen)
    elif file.suffix == ".txt":
      yield from _read_text(file, seen)
    else:
      raise SymtuneError(f"{file}: expected a .txt or a .jsonl file. Convert it.")


def read_documents(files: Iterable[pathlib.Path]) -> dict[str, str]:
  """Whole texts by document id; for texts that fit into memory.

  Raises:
    SymtuneError: as for `read_lines`, or there is no document.
    OSError: a file is missing.
  """
  files = list(files)
  parts: dict[str, list[str]] = {}
  for line in read_lines(files):
    parts.setdefault(line.document, []).append(line.text)
  texts = {document: "".join(lines) for document, lines in parts.items()}
  texts = {document: text for document, text in texts.items() if text.strip()}
  if not texts:
    names = ", ".join(map(str, files))
    raise SymtuneError(f"{names}: got no text, expected at least one document.")
  return texts


def hash_file(file: pathlib.Path) -> str:
  """16 digits of a SHA-256; a file without lines is refused before all of it is read.

  Raises:
    SymtuneError: a line is too long, or the file is a folder or a pipe.
    OSError: the file is missing.
  """
  digest = hashlib.sha256()
  for _, raw in _raw_lines(file):
    digest.update(raw)
  return digest.hexdigest()[:16]


def _read_text(file: pathlib.Path, seen: dict[str, int]) -> Iterator[Line]:
  document, title = "", ""
  is_after_blank = True
  for number, raw in _raw_lines(file):
    text = decode(raw, f"{file}, line {number}")
    heading = _HEADING.fullmatch(text.rstrip("\n"))
    if heading and is_after_blank:
      title = heading[1]
      document = _unique(title, seen)
    is_after_blank = not text.strip()
    if not document:
      if is_after_blank:  # what stands before the first heading
        continue
      document = _unique(file.stem, seen)
    yield Line(document, title, text)


def _read_jsonl(file: pathlib.Path, seen: dict[str, int]) -> Iterator[Line]:
  for number, raw in _raw_lines(file):
    where = f"{file}, line {number}"
    if not raw.strip():
      continue
    row = parse_json(raw, where)
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
      raise SymtuneError(f"{where}: expected an object with a 'text' that is a string.")
    found = {key: row.get(key, "") for key in _KEYS}
    for key, value in found.items():
      if not isinstance(value, str):
        raise SymtuneError(f"{where}: {key!r} is {value!r}, expected a string.")
    name = found["id"] or found["title"] or f"{file.stem}:{number}"
    yield Line(_unique(name, seen), found["title"], found["text"])


def _raw_lines(file: pathlib.Path) -> Iterator[tuple[int, bytes]]:
  local_size(file)  # refuses folders and pipes
  with file.open("rb") as opened:
    yield from enumerate(_bounded_lines(opened, file), 1)


def _bounded_lines(opened: IO[bytes], file: pathlib.Path) -> Iterator[bytes]:
  while raw := opened.readline(MAX_LINE + 1):
    if len(raw) > MAX_LINE:
      raise SymtuneError(
        f"{file}: got a line of more than {MAX_LINE:,} bytes, which is not text, or "
        "not in lines. Expected shorter ones: break the text into lines."
      )
    yield raw


def _unique(name: str, seen: dict[str, int]) -> str:
  """The name, with a number from its second use on."""
  seen[name] = seen.get(name, 0) + 1
  if seen[name] == 1:
    return name
  return _unique(f"{name} ({seen[name]})", seen)  # others may be called so
