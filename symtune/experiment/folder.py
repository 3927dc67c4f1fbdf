"""A run's folder: belongs to one configuration, used by one process at a time."""

import contextlib
import fcntl
import json
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import symtune
from symtune.checksums import check_object, object_to_json
from symtune.data.draw.words import DRAWS_VERSION
from symtune.errors import SymtuneError
from symtune.files import CACHE_FILE, RUN_FILE, write_whole

_LOCK_FILE = ".lock"
_GIN_FILE = "config.gin"
# Made when a folder is opened for answers, and worth nothing without results.
_EMPTY_FILES = (CACHE_FILE,)
_SHOWN = 5  # settings that differ, in a message


@contextlib.contextmanager
def claim_folder(
  path: pathlib.Path, *, recipe: str, config_hash: str, config: str, gin: str
) -> Iterator[pathlib.Path]:
  """Opens a run's folder for this process alone; creates it if it is missing.

  A folder with the same configuration is continued where it stopped.

  Args:
    path: the folder.
    recipe: name of the recipe, for messages.
    config_hash: identifies settings, data and vocabulary.
    config: all settings as JSON, kept in run.json.
    gin: the operative gin configuration, kept in config.gin; "" writes none.

  Yields:
    The folder.

  Raises:
    SymtuneError: the folder holds another run or other files, or another process is
      writing to it.
  """
  check_free(path, recipe, config_hash, config)
  path.mkdir(parents=True, exist_ok=True)
  with (path / _LOCK_FILE).open("w") as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise SymtuneError(
        f"{path} is in use by another symtune process. Wait for it, or choose another "
        f"folder with --out."
      ) from error
    check_free(path, recipe, config_hash, config)  # another run may have come and gone
    is_new = not (path / RUN_FILE).exists()
    if is_new:
      if gin:
        write_whole(path / _GIN_FILE, gin)
      about = {
        "recipe": recipe,
        "config_hash": config_hash,
        "symtune": symtune.__version__,
        "draws_version": DRAWS_VERSION,
        "config": json.loads(config),
      }
      write_whole(path / RUN_FILE, object_to_json(dict(sorted(about.items()))))
    try:
      yield path
    except SymtuneError:
      if is_new:
        _give_back(path)
      raise


def _give_back(path: pathlib.Path) -> None:
  """Frees a folder whose first run failed before it did anything.

  The corrected command, which is another configuration, can then use the folder.
  """
  ours = {RUN_FILE, _GIN_FILE, _LOCK_FILE, *_EMPTY_FILES}
  written = [p for p in path.rglob("*") if p.is_file() and p.name not in ours]
  if not written:
    for name in (RUN_FILE, _GIN_FILE, *_EMPTY_FILES):
      (path / name).unlink(missing_ok=True)
    for folder in [p for p in path.iterdir() if p.is_dir()]:
      shutil.rmtree(folder)  # without files


def git_commit() -> str | None:
  """The commit of symtune's checkout, "+dirty" if files differ; None without one."""
  folder = pathlib.Path(__file__).resolve().parents[2]
  if not (folder / ".git").exists():
    return None  # an installed wheel may lie inside another repository
  try:
    commit = _git(folder, "rev-parse", "HEAD")
    dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
  except (OSError, subprocess.CalledProcessError):
    return None
  return commit + ("+dirty" if dirty else "")


def _git(folder: pathlib.Path, *command: str) -> str:
  done = subprocess.run(
    ["git", "-C", str(folder), *command], check=True, capture_output=True, text=True
  )
  return done.stdout.strip()


def check_free(
  path: pathlib.Path, recipe: str, config_hash: str, config: str = "{}"
) -> None:
  """Refuses a folder that a configuration cannot use; writes nothing.

  Args:
    path: the folder; need not exist.
    recipe: name of the recipe, for messages.
    config_hash: identifies settings, data and vocabulary.
    config: all settings as JSON, to say which of them differ.

  Raises:
    SymtuneError: the folder holds another run or other files, or is damaged.
  """
  if not path.exists():
    return
  if not path.is_dir():
    raise SymtuneError(f"{path} is a file, expected a folder. Choose another --out.")
  about = path / RUN_FILE
  if not about.exists():
    others = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
    if [name for name in others if name != _GIN_FILE]:
      raise SymtuneError(
        f"{path} is not a run folder: got {', '.join(others[:3])}, no {RUN_FILE}. "
        f"Choose an empty or new folder with --out."
      )
    return
  found = _read_about(about)
  name, found_hash = found["recipe"], found["config_hash"]
  draws = found.get("draws_version", 1)
  if draws != DRAWS_VERSION:
    raise SymtuneError(
      f"{path} holds a run whose prompts were drawn by version {draws} of the draws; "
      f"this symtune uses version {DRAWS_VERSION}, which draws different prompts. "
      f"Choose another folder with --out, or remove this one."
    )
  if found_hash != config_hash:
    how = _describe_differences(found.get("config"), json.loads(config))
    raise SymtuneError(
      f"{path} holds another run: recipe {name}, configuration {found_hash}; this is "
      f"recipe {recipe}, configuration {config_hash}. {how} Choose another folder with "
      f"--out, or remove this one."
    )


def check_settings(path: pathlib.Path, config: str) -> None:
  """Refuses a run whose settings are others; data are not looked at.

  Args:
    path: the folder of the run.
    config: all settings as JSON.

  Raises:
    SymtuneError: says which settings differ, or the folder is damaged.
  """
  found, expected = _read_about(path / RUN_FILE).get("config"), json.loads(config)
  if found != expected:
    how = _describe_differences(found, expected)
    raise SymtuneError(
      f"{path} holds a run with other settings. {how} Give the settings that it was "
      "made with."
    )


def _read_about(about: pathlib.Path) -> dict[str, Any]:
  """What a run.json says."""
  try:
    found = json.loads(about.read_text(encoding="utf-8"))
    _ = found["recipe"], found["config_hash"]  # both are there
    check_object(found, str(about))
  except (ValueError, KeyError, TypeError) as error:
    raise SymtuneError(
      f"{about} is damaged ({error}). Choose another folder with --out."
    ) from error
  return found


def _describe_differences(before: object, now: object) -> str:
  """Which settings of two runs differ, as a sentence."""
  left, right = _flat(before), _flat(now)
  paths = [p for p in {**left, **right} if left.get(p) != right.get(p)]
  if not right or not paths:
    return "Data, vocabulary or the checkpoint that it starts from differ."
  shown = [f"{p} was {left.get(p)!r}, now {right.get(p)!r}" for p in paths[:_SHOWN]]
  more = f", and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
  return f"These settings differ: {'; '.join(shown)}{more}."


def _flat(value: object, path: str = "") -> dict[str, object]:
  """The numbers and texts of nested objects and lists, by their dotted path."""
  if isinstance(value, dict):
    items = [(str(key), inner) for key, inner in value.items()]
  elif isinstance(value, list):
    items = [(str(i), inner) for i, inner in enumerate(value)]
  else:
    return {path: value}
  return {
    name: leaf
    for key, inner in items
    for name, leaf in _flat(inner, f"{path}.{key}" if path else key).items()
  }
