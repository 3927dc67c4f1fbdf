"""Check whether a value from a file or a user matches its type annotation."""

import collections.abc
import dataclasses
import enum
import types
import typing
from typing import Any, TypeVar

from symtune.errors import SymtuneError, did_you_mean

_Choice = TypeVar("_Choice", bound=enum.Enum)


def find_mistyped(value: Any, hint: Any, name: str) -> str | None:
  """Describes the first part of a value that does not match its annotation.

  An int passes as a float, but a bool does not pass as an int. Dataclasses are checked
  field by field, tuples and sequences item by item; a sequence is a tuple or a list,
  not a text. Annotations of other kinds are not checked.

  Args:
    value: anything.
    hint: its annotation, such as `tuple[int, ...]`, or a dataclass.
    name: what to call it in the description, such as "TrainSettings.steps".

  Returns:
    "NAME: got VALUE (TYPE), expected HINT", or None if everything matches.
  """
  if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
    problems = [find_mistyped(value, option, name) for option in typing.get_args(hint)]
    return None if None in problems else _describe(value, hint, name)
  origin = typing.get_origin(hint)
  if origin in (tuple, collections.abc.Sequence):
    if not isinstance(value, tuple if origin is tuple else (tuple, list)):
      return _describe(value, hint, name)
    item, *_ = typing.get_args(hint)
    found = (find_mistyped(v, item, f"{name}[{i}]") for i, v in enumerate(value))
    return next((problem for problem in found if problem), None)
  if hint is Any or not isinstance(hint, type):
    return None
  if not _fits(value, hint):
    return _describe(value, hint, name)
  if dataclasses.is_dataclass(value):
    return _first_mistyped_field(value)
  return None


def check_types(settings: Any) -> None:
  """Refuses settings with a field that does not match its annotation.

  Args:
    settings: a dataclass; its `__post_init__` calls this before it compares values.

  Raises:
    SymtuneError: names the first such field.
  """
  problem = _first_mistyped_field(settings)
  if problem:
    raise SymtuneError(problem)


def _first_mistyped_field(value: Any) -> str | None:
  hints = typing.get_type_hints(type(value))
  title = type(value).__name__
  for field in dataclasses.fields(value):
    problem = find_mistyped(
      getattr(value, field.name), hints[field.name], f"{title}.{field.name}"
    )
    if problem:
      return problem
  return None


def _fits(value: Any, hint: type) -> bool:
  if hint in (int, float) and isinstance(value, bool):
    return False
  if hint is float:
    return isinstance(value, int | float)
  return isinstance(value, hint)


def _describe(value: Any, hint: Any, name: str) -> str:
  names = [h.__name__ for h in typing.get_args(hint) if isinstance(h, type)]
  expected = hint.__name__ if isinstance(hint, type) else str(hint)
  if isinstance(hint, types.UnionType) and len(names) == len(typing.get_args(hint)):
    expected = " | ".join(name.replace("NoneType", "None") for name in names)
  shown = repr(value)
  shown = shown if len(shown) <= 100 else f"{shown[:97]}..."
  return f"{name}: got {shown} ({type(value).__name__}), expected {expected}"


def parse_choice(choices: type[_Choice], value: object, where: str) -> _Choice:
  """The member of an enum that a value is, or is the value of.

  Args:
    choices: the enum.
    value: a member, or the value of one.
    where: the setting's name, for the message.

  Raises:
    SymtuneError: it is neither.
  """
  try:
    return choices(value)
  except ValueError as error:
    known = ", ".join(repr(str(member.value)) for member in choices)
    hint = did_you_mean(str(value), (str(member.value) for member in choices))
    raise SymtuneError(
      f"{where}: got {value!r}, expected one of {known}.{hint}"
    ) from error
