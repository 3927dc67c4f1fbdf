"""provenance.json: the source and the hash of each row file in a data folder."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from symtune.bounded import read_json
from symtune.checks import find_mistyped
from symtune.errors import SymtuneError
from symtune.files import locked, write_whole

PROVENANCE_FILE = "provenance.json"
_SCHEMA = 1
_MAX_BYTES = 100_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitCounts:
  """What became of the rows of one split.

  Attributes:
    source: The data set's own name of the split.
    read: Number of rows in the data set.
    kept: Number of rows written, including those later held out as another split.
    dropped: Number of rows left out, by reason; `read - kept` in all.
    places: The first few rows left out, by reason.
  """

  source: str
  read: int
  kept: int
  dropped: Mapping[str, int]
  places: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
  """Where one row file came from.

  Attributes:
    task: Name of the card.
    file: Name of the row file in the data folder.
    hub: Id of the data set.
    folder: Its configuration.
    revision: Commit that was read.
    root: The hub, or the local folder used instead.
    licence: What the card says about the licence.
    date: Day of the download, UTC, as YYYY-MM-DD.
    seed: Seed of the cap and of the held-out rows.
    recipe: SHA-256 of the settings and the part of the card that decide the rows.
    rows: Number of lines in the file.
    bytes: Size of the file.
    sha256: SHA-256 of the file, in hexadecimal.
    splits: Counts by our name of the split.
    unescaped: The artefacts of the data set that were undone in the texts.
  """

  task: str
  file: str
  hub: str
  folder: str
  revision: str
  root: str
  licence: str
  date: str
  seed: int
  recipe: str
  rows: int
  bytes: int
  sha256: str
  splits: Mapping[str, SplitCounts]
  unescaped: tuple[str, ...] = ()


def read_provenance(folder: epath.Path) -> dict[str, Provenance]:
  """Returns a data folder's entries by row file; none if there is no provenance.json.

  Raises:
    SymtuneError: If `write_provenance` did not write this provenance.json.
  """
  path = folder / PROVENANCE_FILE
  if not path.exists():
    return {}
  try:
    content = read_json(path, _MAX_BYTES)
    if content["schema"] != _SCHEMA:
      raise ValueError(f"schema {content['schema']}, expected {_SCHEMA}")
    return {name: _entry(name, values) for name, values in content["files"].items()}
  except (AttributeError, KeyError, SymtuneError, TypeError, ValueError) as error:
    raise SymtuneError(
      f"{path}: not a provenance file of symtune ({type(error).__name__}: {error}). "
      "Delete it, and get the data again"
    ) from error


def add_entry(folder: epath.Path, entry: Provenance) -> None:
  """Adds or replaces one entry and keeps those of other writers.

  Local writers wait for each other. A bucket has no locks: there, the entries are read
  again just before they are written, and a write in between can be lost.
  """
  if "://" in str(folder):
    write_provenance(folder, {**read_provenance(folder), entry.file: entry})
    return
  with locked(pathlib.Path(folder) / f".{PROVENANCE_FILE}.lock"):
    write_provenance(folder, {**read_provenance(folder), entry.file: entry})


def write_provenance(folder: epath.Path, entries: Mapping[str, Provenance]) -> None:
  """Writes all entries of a data folder, atomically."""
  files = {name: dataclasses.asdict(entries[name]) for name in sorted(entries)}
  text = json.dumps({"schema": _SCHEMA, "files": files}, indent=2, ensure_ascii=False)
  write_anywhere(folder / PROVENANCE_FILE, (text + "\n").encode())


def write_anywhere(path: epath.Path, content: bytes) -> None:
  """Writes a local file or a cloud object, atomically."""
  if "://" in str(path):
    path.write_bytes(content)  # a cloud object appears only once it is complete
  else:
    write_whole(pathlib.Path(path), content)


def file_sha256(path: epath.Path) -> str:
  """Returns the SHA-256 of a file, in hexadecimal, read in pieces."""
  digest = hashlib.sha256()
  with path.open("rb") as file:
    while piece := file.read(1 << 20):
      digest.update(piece)
  return digest.hexdigest()


def _entry(name: str, values: dict[str, Any]) -> Provenance:
  splits = {
    name: SplitCounts(
      **{**counts, "places": {k: tuple(v) for k, v in counts["places"].items()}}
    )
    for name, counts in values["splits"].items()
  }
  unescaped = tuple(values.get("unescaped", ()))
  entry = Provenance(**{**values, "splits": splits, "unescaped": unescaped})
  if entry.file != name or pathlib.PurePath(name).name != name:
    raise ValueError(f"{name!r} describes the file {entry.file!r}")
  problem = find_mistyped(entry, Provenance, name)
  if problem:
    raise ValueError(problem)
  return entry
