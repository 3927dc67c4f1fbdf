"""The one exception for mistakes in what a user or a file provides.

Its message says what was got, what was expected, how to fix it and where. The command
line prints it without a traceback and exits with code 2; any other exception is a bug
in symtune and keeps its traceback.
"""


class SymtuneError(Exception):
  """A setting, file or row that symtune cannot work with."""
