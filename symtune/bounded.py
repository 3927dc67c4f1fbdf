"""Read files from strangers: regular files of bounded size, JSON of bounded depth.

A file that somebody else made may be a pipe that never ends, may be larger than memory
or nested so deeply that a parser overflows its stack. Each is refused here before use.
"""

import json
import math
import os
import re
import stat
from typing import Any, NoReturn

from etils import epath

from symtune.errors import SymtuneError

# No file that symtune reads is nested deeper than a dozen levels.
MAX_DEPTH = 100
# A JSON string, or a bracket outside of one.
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
  """Reads a whole file.

  Args:
    path: the file; local, or in a bucket such as `gs://...`.
    max_bytes: the largest size that is read.

  Raises:
    SymtuneError: it is no regular file (but a folder, pipe, socket or device), or is
      larger.
    OSError: it is missing or cannot be read.
  """
  file = epath.Path(path)
  size = file.stat().length if "://" in str(file) else local_size(file)
  if size <= max_bytes:
    with file.open("rb") as opened:
      content = opened.read(max_bytes + 1)  # a file may grow, and /proc lies
    if len(content) <= max_bytes:
      return content
    size = len(content)
  raise _too_large(path, size, max_bytes)


def local_size(path: str | os.PathLike[str], max_bytes: int = 1 << 62) -> int:
  """The size of a local file, which is not opened: opening a pipe would wait.

  Raises:
    SymtuneError: it is no regular file, or is larger than `max_bytes`.
    OSError: it is missing.
  """
  found = os.stat(path)
  if stat.S_ISREG(found.st_mode):
    if found.st_size > max_bytes:
      raise _too_large(path, found.st_size, max_bytes)
    return found.st_size
  kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
  raise SymtuneError(
    f"{path}: got {kind}, expected a file. Give another path, or put a file there."
  )


def split_lines(content: bytes) -> list[bytes]:
  """The lines of a file without their ends; the last is empty if the file is whole.

  Only a newline ends a line, because texts may hold other separators such as U+2028. In
  a file without any newline, a carriage return does.
  """
  return content.split(b"\r" if b"\r" in content and b"\n" not in content else b"\n")


def read_text(path: str | os.PathLike[str], max_bytes: int) -> str:
  """Reads a UTF-8 text, with or without a byte order mark, which is not returned.

  Raises:
    SymtuneError: as for `read_bytes`, or it is not UTF-8.
    OSError: it is missing or cannot be read.
  """
  return decode(read_bytes(path, max_bytes), str(path))


def read_json(
  path: str | os.PathLike[str], max_bytes: int, *, allow_nan: bool = False
) -> Any:
  """Reads a file that holds one JSON value; see `parse_json`.

  Raises:
    SymtuneError: as for `read_bytes` and `parse_json`; the message names the file.
    OSError: it is missing or cannot be read.
  """
  content = read_bytes(path, max_bytes)
  return parse_json(content, str(path), allow_nan=allow_nan)


def decode(content: bytes, where: str = "") -> str:
  """UTF-8 bytes as text; a leading byte order mark is left out.

  Args:
    content: the bytes.
    where: the file, or its line, for the message; it may be empty.

  Raises:
    SymtuneError: it is not UTF-8.
  """
  try:
    return content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise _problem(
      where, f"not UTF-8 at byte {error.start}; save the file as UTF-8"
    ) from error


def parse_json(
  content: bytes | str, where: str = "", *, allow_nan: bool = False
) -> Any:
  """Returns the value of a line or a file of JSON.

  Args:
    content: the line or the file.
    where: the file, or its line, for the message; it may be empty.
    allow_nan: whether NaN, Infinity and numbers that are too large to be finite, such
      as 1e999, are read as floats.

  Raises:
    SymtuneError: it is not UTF-8 or not JSON, holds a key twice or a lone surrogate, is
      nested deeper than `MAX_DEPTH`, or holds a whole number of more than 4,300 digits
      or, unless allowed, a number that is not finite.
  """
  text = decode(content, where) if isinstance(content, bytes) else content
  _check_depth(text, where)
  try:
    value = (_LENIENT if allow_nan else _STRICT).decode(text)
    if "\\u" in text:  # the only way to write half of a surrogate pair
      json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value
  except SymtuneError as error:  # from the hooks below
    raise _problem(where, str(error)) from error
  except UnicodeEncodeError as error:
    raise _problem(
      where,
      f"the text holds a lone surrogate ({error.object[error.start]!a}), which is not "
      "a character; remove it",
    ) from error
  except json.JSONDecodeError as error:
    line = f"line {error.lineno}, " if error.lineno > 1 else ""
    raise _problem(
      where, f"not JSON: {error.msg} at {line}column {error.colno}"
    ) from error
  except ValueError as error:  # Python refuses integers of more than 4,300 digits
    raise _problem(where, f"holds a number that is too long ({error})") from error


def _check_depth(text: str, where: str) -> None:
  """Refuses brackets nested deeper than `MAX_DEPTH`; those in strings do not count."""
  if text.count("[") + text.count("{") <= MAX_DEPTH:
    return
  depth = 0
  for token in _TOKENS.finditer(text):
    bracket = token[0]
    if bracket in ("[", "{"):
      depth += 1
      if depth > MAX_DEPTH:
        raise _problem(
          where, f"nested too deeply, more than {MAX_DEPTH} levels. Check the file"
        )
    elif bracket in ("]", "}"):
      depth = max(depth - 1, 0)


def _too_large(path: str | os.PathLike[str], size: int, max_bytes: int) -> SymtuneError:
  return SymtuneError(
    f"{path}: got a file of {size:,} bytes or more, expected at most {max_bytes:,}. "
    f"Check that it is the right file."
  )


def _problem(where: str, problem: str) -> SymtuneError:
  return SymtuneError(f"{where}: {problem}" if where else problem)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
  values = dict(pairs)
  if len(values) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise SymtuneError(f"the key {twice!r} occurs twice; keep one")
  return values


def _finite(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    _not_finite(text)
  return value


def _not_finite(text: str) -> NoReturn:
  raise SymtuneError(f"got the number {text[:20]}, expected a finite one")


_STRICT = json.JSONDecoder(
  object_pairs_hook=_unique_keys, parse_float=_finite, parse_constant=_not_finite
)
_LENIENT = json.JSONDecoder(object_pairs_hook=_unique_keys)
