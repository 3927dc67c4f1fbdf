"""Read YAML and check its keys and types; errors name the file and the key."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from symtune.bounded import MAX_DEPTH, read_text
from symtune.errors import SymtuneError

# The C parser is several times faster. PyYAML's wheels have it; some builds do not.
_SafeLoader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_BYTES = 1_000_000
_MAX_DIGITS = 20
# What PyYAML lets through for values such as 2001-99-99 or a number of 5,000 digits.
_VALUE_ERRORS = (AttributeError, LookupError, OverflowError, TypeError, ValueError)


class _UniqueKeyLoader(_SafeLoader):
  """The safe loader, but it refuses a repeated key (PyYAML would keep the last one)."""

  def construct_mapping(self, node, deep=False):
    seen = set()
    for key_node, _ in node.value:
      if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
        raise yaml.MarkedYAMLError(
          problem=f"the key {key_node.value!r} occurs twice; keep one",
          problem_mark=key_node.start_mark,
        )
      seen.add(key_node.value if isinstance(key_node, yaml.ScalarNode) else None)
    return super().construct_mapping(node, deep=deep)


def _whole_number(loader: Any, node: yaml.ScalarNode) -> int:
  if len(node.value) > _MAX_DIGITS:
    raise yaml.MarkedYAMLError(
      problem=f"got a number of more than {_MAX_DIGITS} digits; put it in quotes if it "
      "is text",
      problem_mark=node.start_mark,
    )
  return loader.construct_yaml_int(node)


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:int", _whole_number)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """One mapping of a YAML file and its place in the file.

  Attributes:
    path: The file.
    prefix: The keys that lead to this mapping, such as "source.", or "" at the top.
    values: The content of the mapping.
  """

  path: pathlib.Path
  prefix: str
  values: Mapping[str, object]

  def error(self, key: str, problem: str) -> SymtuneError:
    """Returns (does not raise) an error that names this file and the key."""
    return SymtuneError(f"{self.path}: key {self.prefix + key!r}: {problem}")

  def check_keys(self, required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises SymtuneError if a required key is missing or a key is unknown."""
    allowed = [*required, *optional]
    for key in self.values:
      if key not in allowed:
        close = difflib.get_close_matches(str(key), allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise self.error(str(key), f"unknown key; {hint}allowed: {', '.join(allowed)}")
    for key in required:
      if key not in self.values:
        raise self.error(key, f"missing; required: {', '.join(required)}")

  def text(self, key: str) -> str:
    """Returns the text under `key`."""
    return self._text(key, self.values[key])

  def text_or_none(self, key: str) -> str | None:
    """Returns the text under `key`, or None where the file says null."""
    return None if self.values[key] is None else self.text(key)

  def texts(self, key: str) -> tuple[str, ...]:
    """Returns the list of texts under `key`."""
    value = self.values[key]
    if not isinstance(value, list):
      raise self.error(key, f"got {_shown(value)}, expected a list of texts")
    return tuple(self._text(f"{key}[{i}]", item) for i, item in enumerate(value))

  def count(self, key: str) -> int:
    """Returns the whole number of at least 0 under `key`."""
    value = self.values[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
      raise self.error(key, f"got {_shown(value)}, expected a whole number >= 0")
    return value

  def share(self, key: str) -> float:
    """Returns the number from 0 to 1 under `key`."""
    value = self.values[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
      raise self.error(key, f"got {_shown(value)}, expected a number from 0 to 1")
    if not 0 <= value <= 1:
      raise self.error(key, f"got {value}, expected a number from 0 to 1")
    return float(value)

  def scalars(self, key: str) -> tuple[str | int, ...]:
    """Returns the list of texts and whole numbers under `key`."""
    value = self.values[key]
    if not isinstance(value, list):
      raise self.error(key, f"got {_shown(value)}, expected a list")
    for i, item in enumerate(value):
      if isinstance(item, bool) or not isinstance(item, str | int):
        raise self.error(
          f"{key}[{i}]", f"got {_shown(item)}, expected text (in quotes) or a number"
        )
    return tuple(value)

  def check_only(self, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Returns this mapping as pairs of texts; its keys must be some of `names`."""
    self.check_keys([], names)
    if not self.values:
      raise SymtuneError(
        f"{self.path}: key {self.prefix.rstrip('.')!r}: empty, expected some of "
        f"{', '.join(names)}"
      )
    return tuple((name, self.text(name)) for name in names if name in self.values)

  def section(self, key: str) -> "Section":
    """Returns the mapping under `key`."""
    value = self.values[key]
    if not isinstance(value, dict):
      raise self.error(key, f"got {_shown(value)}, expected a mapping (key: value)")
    return Section(path=self.path, prefix=f"{self.prefix}{key}.", values=value)

  def _text(self, key: str, value: object) -> str:
    if not isinstance(value, str):
      raise self.error(
        key, f"got {_shown(value)}, expected text; put it in quotes if it is text"
      )
    return value


def _shown(value: object) -> str:
  """Returns a value and its type as an error message shows them."""
  text = repr(value)
  return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def read_yaml(path: str | os.PathLike[str]) -> Section:
  """Reads a YAML file whose top level is a mapping.

  Raises:
    SymtuneError: If the file is missing, is no regular file, is larger than a megabyte,
      is not UTF-8, is not valid YAML, is nested deeply, holds an anchor or an alias,
      repeats a key, or holds something other than a mapping.
  """
  path = pathlib.Path(path)
  try:
    text = read_text(path, _MAX_BYTES)
  except OSError as error:
    raise SymtuneError(f"{path}: cannot be read: {error.strerror}") from error
  try:
    _check_events(path, text)
    # A subclass of the safe loader: plain values only, no Python objects.
    values = yaml.load(text, Loader=_UniqueKeyLoader)
  except yaml.MarkedYAMLError as error:
    line = error.problem_mark.line + 1 if error.problem_mark else "?"
    raise SymtuneError(f"{path}, line {line}: not valid YAML: {error.problem}") from (
      error
    )
  except yaml.YAMLError as error:
    raise SymtuneError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from (
      error
    )
  except _VALUE_ERRORS as error:
    raise SymtuneError(
      f"{path}: a value cannot be read ({str(error)[:100]}). Put texts in quotes, and "
      "write dates and numbers as such"
    ) from error
  if not isinstance(values, dict):
    raise SymtuneError(f"{path}: got {_shown(values)}, expected a mapping (key: value)")
  return Section(path=path, prefix="", values=values)


def _check_events(path: pathlib.Path, text: str) -> None:
  """Refuses what would grow without end when it is loaded, or overflow the stack."""
  depth = 0
  for event in yaml.parse(text, Loader=_SafeLoader):
    line = event.start_mark.line + 1
    if getattr(event, "anchor", None):
      raise SymtuneError(
        f"{path}, line {line}: got the anchor or alias {event.anchor!r}, which symtune "
        "does not read. Write the value out, in quotes if it is text"
      )
    if isinstance(event, yaml.CollectionStartEvent):
      depth += 1
    elif isinstance(event, yaml.CollectionEndEvent):
      depth -= 1
    if depth > MAX_DEPTH:
      raise SymtuneError(
        f"{path}, line {line}: nested too deeply, more than {MAX_DEPTH} levels. Check "
        "the file"
      )
