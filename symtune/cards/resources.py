"""Find the cards and gin files of a checkout or an installed wheel, and data paths."""

import os
import pathlib
import re
from typing import Literal

from etils import epath

from symtune.errors import SymtuneError, did_you_mean

PACKAGE_DIR = pathlib.Path(__file__).resolve().parents[1]


def resource_dir(
  name: Literal["tasks", "gin_configs"], package_dir: pathlib.Path = PACKAGE_DIR
) -> pathlib.Path:
  """Returns the folder that holds the cards ("tasks") or recipes ("gin_configs").

  A checkout keeps them at its top level, where people edit them. A wheel carries a
  copy inside the package, so they are found from any working directory. The
  `pyproject.toml` beside the package tells the two apart: site-packages may hold an
  unrelated folder named `tasks`.

  Args:
    name: The folder.
    package_dir: The folder of the `symtune` package.

  Raises:
    SymtuneError: If neither place has the folder.
  """
  checkout = package_dir.parent / name
  installed = package_dir / "_resources" / name
  if (package_dir.parent / "pyproject.toml").is_file() and checkout.is_dir():
    return checkout
  if installed.is_dir():
    return installed
  raise SymtuneError(
    f"the folder {name!r} is neither at {checkout} (a checkout) nor at {installed} "
    "(an installed wheel): reinstall symtune, or run it from a whole checkout"
  )


def find_config(path: str, folder: str) -> pathlib.Path:
  """The gin file at a path, or of a name.

  Args:
    path: a file, or the name of one in the folder.
    folder: a folder of `gin_configs`, such as "recipes".

  Raises:
    SymtuneError: there is none; the message lists the names.
  """
  file = pathlib.Path(path)
  if file.is_file():
    return file
  files = resource_dir("gin_configs") / folder
  named = files / f"{path}.gin"
  if re.fullmatch(r"\w+", path) and named.is_file():
    return named
  known = sorted(p.stem for p in files.glob("*.gin"))
  kind = folder[:-1] if folder.endswith("s") else f"{folder} recipe"
  raise SymtuneError(
    f"no {kind} at {path!r}, expected a .gin file or one of: "
    f"{', '.join(known)}.{did_you_mean(path, known)}"
  )


def path_in_data(data_dir: str | os.PathLike[str] | None, path: str) -> epath.Path:
  """A path inside the data folder, unless it is absolute or in a bucket itself."""
  if data_dir is None or "://" in path:
    return data_path(path)
  return data_path(data_dir) / path


def data_path(path: str | os.PathLike[str]) -> epath.Path:
  """Returns a path to data, local or in a bucket such as `gs://...`.

  Raises:
    SymtuneError: If no installed package can read such a bucket.
  """
  found = epath.Path(path)
  if "://" in os.fspath(path):
    try:
      found.exists()
    except ImportError as error:
      raise SymtuneError(
        f"{os.fspath(path)}: no installed package can read such an address ({error}). "
        "Run pip install 'etils[epath-gcs]', or copy the files to a local folder"
      ) from error
  return found
