"""Kinds of damage that any file can have, and what a message says about each."""

import dataclasses
import os
import pathlib
import socket
from collections.abc import Callable

DEEP = 100_000
_TOO_DEEP = "nested|depth|list|xpected|EOF|incomplete"
_CANNOT = "cannot be read|[Nn]o such file|no file|missing|nothing at|Unable|no .*at "


@dataclasses.dataclass(frozen=True)
class Damage:
  """One kind of damage.

  Attributes:
    name: a word for it.
    apply: damages a file.
    message: pattern of a part of the message, besides the file's name.
  """

  name: str
  apply: Callable[[pathlib.Path], None]
  message: str


def _content(make: Callable[[bytes], bytes]) -> Callable[[pathlib.Path], None]:
  def apply(path: pathlib.Path) -> None:
    path.write_bytes(make(path.read_bytes()))

  return apply


def _replaced(put: Callable[[pathlib.Path], None]) -> Callable[[pathlib.Path], None]:
  def apply(path: pathlib.Path) -> None:
    path.unlink()
    put(path)

  return apply


def _socket(path: pathlib.Path) -> None:
  with socket.socket(socket.AF_UNIX) as server:
    before = pathlib.Path.cwd()
    os.chdir(path.parent)  # the address of a socket may have 107 bytes only
    try:
      server.bind(path.name)
    finally:
      os.chdir(before)


def _sparse(path: pathlib.Path) -> None:
  with path.open("wb") as file:
    file.truncate(1 << 42)


# What stands in the place of the file.
PLACES = (
  Damage("missing", lambda path: path.unlink(), _CANNOT),
  Damage("folder", _replaced(lambda path: path.mkdir()), "folder|directory|not a|no "),
  Damage("pipe", _replaced(os.mkfifo), "pipe|no "),
  Damage("socket", _replaced(_socket), "socket|no "),
  Damage(
    "endless", _replaced(lambda path: path.symlink_to("/dev/zero")), "device|link|no "
  ),
  Damage(
    "dangling", _replaced(lambda path: path.symlink_to("gone")), f"link|{_CANNOT}"
  ),
  Damage(
    "circular",
    _replaced(lambda path: path.symlink_to(path.name)),
    f"link|symbolic|loop|{_CANNOT}",
  ),
  Damage("vast", _sparse, "4,398,046,511,104|larger|damaged|not|no "),
)
# What stands in the file; of binary files, too.
BYTES = (
  Damage("empty", _content(lambda _: b""), ""),
  Damage("half", _content(lambda content: content[: len(content) // 2]), ""),
  Damage("start", _content(lambda content: content[:7]), ""),
  Damage("zeros", _content(lambda content: bytes(len(content))), ""),
  Damage("noise", _content(lambda content: b"\x9f\x00\xfe" * 100), ""),
  Damage("text", _content(lambda content: b"<html>404 Not Found</html>\n"), ""),
)
# What stands in a text file.
TEXTS = (
  Damage(
    "latin1", _content(lambda c: c.replace(b"e", b"\xe9")), "UTF-8|Unicode|damaged"
  ),
  Damage(
    "utf16",
    _content(lambda content: content.decode().encode("utf-16")),
    "UTF-8|Unicode|damaged",
  ),
  Damage("list", _content(lambda _: b"[1, 2]\n"), ""),
  Damage("null", _content(lambda _: b"null\n"), ""),
  Damage("number", _content(lambda _: b"1e999\n"), ""),
  Damage("brackets", _content(lambda _: b"[" * DEEP), _TOO_DEEP),
  Damage("braces", _content(lambda _: b'{"a":' * DEEP), _TOO_DEEP),
  Damage("digits", _content(lambda _: b'{"a": ' + b"9" * 5_000 + b"}\n"), ""),
)
