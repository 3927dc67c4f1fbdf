"""The one exception for mistakes in what a user or a file provides.

Its message says what was got, what was expected, how to fix it and where. The command
line prints it without a traceback and exits with code 2; any other exception is a bug
in symtune and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class SymtuneError(Exception):
  """A setting, file or row that symtune cannot work with."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
  """The hint that a name is like a known one, after a space; nothing if none is."""
  close = difflib.get_close_matches(name, list(known), n=1)
  return f" Did you mean {close[0]!r}?" if close else ""
