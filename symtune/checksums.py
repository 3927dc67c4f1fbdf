"""Checksums of files, so that a damaged file is named and never used.

A folder's `checksums.txt` has a line for each file, and a last line for the lines
before it, so that it is protected itself:

    b5ca7f36a9ccf0f9 4096 params/d/0123
    d24ec4f1a98c6e5b 25 .

The checksums are XXH3's with 64 bits, which cost less than reading the file. They find
damage, not forgery.
"""

import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xxhash

from symtune.errors import SymtuneError
from symtune.files import write_whole

CHECKSUMS = "checksums.txt"
_KEY = "checksum"
_BLOCK = 1 << 20  # bytes; stays in the processor's cache between reading and hashing


def checksum(content: bytes | memoryview) -> str:
  """The checksum of some bytes: 16 hexadecimal digits."""
  return xxhash.xxh3_64_hexdigest(content)


def file_checksum(path: pathlib.Path) -> str:
  """The checksum of a file's bytes; holds one block of it at a time."""
  digest, block = xxhash.xxh3_64(), memoryview(bytearray(_BLOCK))
  with path.open("rb", buffering=0) as file:
    while size := file.readinto(block):
      digest.update(block[:size])
  return digest.hexdigest()


def object_to_json(values: Mapping[str, Any]) -> str:
  """An object as indented JSON with a checksum of its values as its last key."""
  return json.dumps({**values, _KEY: _of_values(values)}, indent=2) + "\n"


def check_object(values: Mapping[str, Any], where: str) -> None:
  """Compares an object that was read from JSON with its checksum.

  Args:
    values: as `object_to_json` was given them; earlier versions wrote no checksum.
    where: the file, for the message.

  Raises:
    SymtuneError: the values are not those that were written.
  """
  rest = {name: value for name, value in values.items() if name != _KEY}
  found = _of_values(rest)
  if values.get(_KEY, found) != found:
    raise SymtuneError(
      f"{where} is damaged: its checksum is {found}, expected {values[_KEY]}. Restore "
      "it from a copy."
    )


def _of_values(values: Mapping[str, Any]) -> str:
  return checksum(json.dumps(values, sort_keys=True).encode())


def write_checksums(folder: pathlib.Path) -> None:
  """Writes the checksums of all files inside a folder into its checksums.txt."""
  files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != CHECKSUMS)
  lines = "".join(
    f"{file_checksum(path)} {path.stat().st_size} {path.relative_to(folder)}\n"
    for path in files
  )
  write_whole(folder / CHECKSUMS, lines + _last_line(lines))


def find_damage(
  folder: pathlib.Path,
  inside: Sequence[str] | None = None,
  sizes: tuple[float, float] = (0.0, math.inf),
) -> str | None:
  """Compares the files of a folder with its checksums.

  Args:
    folder: a folder with a checksums.txt.
    inside: only these subfolders, and the files beside them; None: everything.
    sizes: only files of these sizes in bytes: from, and below.

  Returns:
    None, or which file is damaged and how. Files that were added are no damage.
  """
  about = folder / CHECKSUMS
  if not about.is_file():
    return f"{folder} has no {CHECKSUMS}, which lists the checksums of its files"
  lines = about.read_bytes().decode("utf-8", errors="replace")
  head, newline, _ = lines[:-1].rpartition("\n")
  rest = head + newline
  if lines != rest + _last_line(rest):
    return f"{about} is damaged: its last line is not the checksum of the others"
  for wanted, size, name in _parse(rest):
    if inside is not None and "/" in name and name.split("/")[0] not in inside:
      continue
    if not sizes[0] <= int(size) < sizes[1]:
      continue
    problem = _compare(folder / name, int(size), wanted)
    if problem:
      return problem
  return None


def _compare(path: pathlib.Path, size: int, wanted: str) -> str | None:
  if not path.is_file():
    return f"{path} is missing"
  if path.stat().st_size != size:
    return f"{path} is damaged: got {path.stat().st_size} bytes, expected {size}"
  found = file_checksum(path)
  if found != wanted:
    return f"{path} is damaged: its checksum is {found}, expected {wanted}"
  return None


def _parse(lines: str) -> Iterator[list[str]]:
  return (line.split(" ", 2) for line in lines.splitlines() if line)


def _last_line(lines: str) -> str:
  return f"{checksum(lines.encode())} {len(lines.encode())} .\n"
