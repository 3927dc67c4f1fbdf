"""Names of probes, and FILE.py:CLASS -> names and probes of the user's own.

A file of Python is code. It is run only because a person names it on a command line:
recipes and cards give names of the catalog, which this module does not see.
"""

import importlib.util
import pathlib
import sys
import traceback

from symtune.errors import SymtuneError, did_you_mean
from symtune.probe.catalog import ALL, PROBES
from symtune.probe.probe import Probe

_SEPARATOR = ".py:"


def read_probes(names: str) -> tuple[str | Probe, ...]:
  """Reads the value of an option `--probes`.

  Args:
    names: comma-separated; each is a name of `probe.catalog.PROBES`, "all", or
      FILE.py:CLASS. That file is run, and the class is made without arguments.

  Returns:
    The names as they are, and the probes of the user's own.

  Raises:
    SymtuneError: no such file or class, code that fails, a class that is no probe, or
      a name that another probe has.
  """
  parts = [part.strip() for part in names.split(",") if part.strip()]
  found = tuple(_load(part) if _SEPARATOR in part else part for part in parts)
  taken = {*PROBES, ALL}
  for part, probe in zip(parts, found, strict=True):
    if not isinstance(probe, str):
      if probe.name in taken:
        raise SymtuneError(
          f"{part}: another probe is called {probe.name!r}. Give this one a name of "
          "its own: its results stand under it."
        )
      taken.add(probe.name)
  return found


def _load(part: str) -> Probe:
  """Runs the file and makes the probe that FILE.py:CLASS names."""
  stem, _, name = part.rpartition(_SEPARATOR)
  path = pathlib.Path(f"{stem}.py")
  if not path.is_file():
    raise SymtuneError(f"{part}: there is no file {path}. Expected FILE.py:CLASS.")
  values = _run(path)
  if name not in values:
    classes = [key for key, value in values.items() if isinstance(value, type)]
    raise SymtuneError(
      f"{part}: {path} has no class {name!r}.{did_you_mean(name, classes)} It has "
      f"{', '.join(classes) or 'none'}."
    )
  made = values[name]
  if not isinstance(made, type):
    raise SymtuneError(f"{part}: {name} is no class, expected the class of a probe.")
  try:
    probe = made()
  except Exception as error:
    raise _failed(part, path, f"{name}()", error) from error
  if not isinstance(probe, Probe) or not isinstance(probe.name, str) or not probe.name:
    raise SymtuneError(
      f"{part}: {name} is no probe, expected a class with a `name`, which is a text, "
      "and the methods `subjects` and `items`. TaskProbe of symtune.probe.ask has both."
    )
  return probe


def _run(path: pathlib.Path) -> dict[str, object]:
  """What a file of Python defines; it is a module of its own name for its classes."""
  name = f"symtune_own_probe.{path.stem}"
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None
  assert spec.loader is not None, "a name that ends in .py"
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # dataclasses look their module up
  try:
    spec.loader.exec_module(module)
  except Exception as error:
    del sys.modules[name]
    raise _failed(str(path), path, "the file", error) from error
  return vars(module)


def _failed(part: str, path: pathlib.Path, what: str, error: Exception) -> SymtuneError:
  """What user code raised, with the last line of the file that was at work."""
  if isinstance(error, SyntaxError):
    lines = [error.lineno]
  else:
    frames = traceback.extract_tb(error.__traceback__)
    here = str(path)
    lines = [f.lineno for f in frames if f.filename.endswith(here)]
  where = f", line {lines[-1]}" if lines else ""
  return SymtuneError(
    f"{part}: {what} failed{where}: {type(error).__name__}: {error}. Correct it."
  )
