"""A file, or a folder and a list of names -> the files of instruction data.

A split of Super-NI is a list of task names, one per line, as in the published
`splits/default/test_tasks.txt`.
"""

import collections
import os

from etils import epath

from symtune.bounded import read_text
from symtune.cards.resources import data_path
from symtune.errors import SymtuneError, did_you_mean

_MAX_LIST_BYTES = 10_000_000
_SUFFIXES = (".json", ".jsonl")


def read_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
  """The task names of a split: one per line, with or without `.json`.

  Raises:
    SymtuneError: there is no such file, it is empty, or it has a name twice.
  """
  try:
    text = read_text(data_path(path), _MAX_LIST_BYTES)
  except OSError as error:
    raise SymtuneError(
      f"{path}: the list of tasks cannot be read ({error.strerror}). Give a text file "
      f"with one task name per line."
    ) from error
  names = [line.strip().removesuffix(".json") for line in text.splitlines()]
  names = [name for name in names if name]
  repeated = [name for name, count in collections.Counter(names).items() if count > 1]
  if repeated or not names:
    problem = (
      f"{repeated[0]:.60} stands there twice" if repeated else "got no task names"
    )
    raise SymtuneError(f"{path}: {problem}, expected each task on one line.")
  return tuple(names)


def find_files(
  path: str | os.PathLike[str], listed: str | os.PathLike[str] | None = None
) -> list[epath.Path]:
  """The files of tasks.

  Args:
    path: a file, or a folder of `.json` and `.jsonl` files.
    listed: a list of the folder's tasks (`read_names`); None takes all.

  Returns:
    The files in the order of the list, or sorted by name.

  Raises:
    SymtuneError: there is nothing, or a listed task is missing.
  """
  path = data_path(path)
  names = None if listed is None else read_names(listed)
  if not path.is_dir():
    if not path.is_file():
      raise SymtuneError(
        f"instruction data: nothing at {path}, expected a .json or .jsonl file, or a "
        f"folder of them. Correct the path."
      )
    if names is not None:
      raise SymtuneError(
        f"{path}: got a file, but {listed} names files of a folder. Give the folder of "
        f"the tasks."
      )
    return [path]
  found = {f.stem: f for f in sorted(path.iterdir()) if f.suffix in _SUFFIXES}
  if not found:
    raise SymtuneError(
      f"instruction data: nothing at {path}: no .json or .jsonl file lies in this "
      f"folder. Correct the path."
    )
  if names is None:
    return list(found.values())
  missing = [name for name in names if name not in found]
  if missing:
    raise SymtuneError(
      f"{listed}: {len(missing)} of {len(names)} listed tasks are not in {path}, such "
      f"as {missing[0]:.60}.json.{did_you_mean(missing[0], found)} Download them, or "
      f"remove them from the list."
    )
  return [found[name] for name in names]
