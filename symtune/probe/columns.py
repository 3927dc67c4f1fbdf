"""Many rows of one dataclass as columns: numbers as arrays, texts as codes."""

import dataclasses
import itertools
import types
import typing
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer, Num

MISSING = -1  # stands for None among numbers that are otherwise not negative


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
  """A column of numbers.

  Attributes:
    array: one number per row.
    is_optional: whether `MISSING` stands for None.
  """

  array: Num[np.ndarray, " rows"] | np.ndarray
  is_optional: bool = False

  def take(self, rows: np.ndarray) -> "Numbers":
    """The numbers of some rows."""
    return dataclasses.replace(self, array=self.array[rows])

  def value(self, row: int) -> Any:
    """The number of one row, or None."""
    value = self.array[row].item()
    return None if self.is_optional and value == MISSING else value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
  """A column of values that repeat: texts, tuples of texts, or None.

  Attributes:
    codes: the number of each row's value.
    values: the different values.
  """

  codes: Integer[np.ndarray, " rows"]
  values: tuple[Any, ...]

  def take(self, rows: np.ndarray) -> "Words":
    """The values of some rows."""
    return dataclasses.replace(self, codes=self.codes[rows])

  def value(self, row: int) -> Any:
    """The value of one row."""
    return self.values[self.codes[row]]

  def ranks(self) -> Integer[np.ndarray, " rows"]:
    """Numbers in the order of the values, which must be sortable."""
    order = sorted(range(len(self.values)), key=self.values.__getitem__)
    rank_of = np.empty(len(order), np.int32)
    rank_of[order] = np.arange(len(order), dtype=np.int32)
    return rank_of[self.codes]

  def mapped(self, function: Any) -> np.ndarray:
    """A function of each row's value; it is called once per different value."""
    found = [function(value) for value in self.values]
    return np.array(found)[self.codes] if found else np.zeros(0, bool)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lists:
  """A column of lists of numbers, which lie one after another in one array.

  Attributes:
    items: the numbers of all lists.
    starts: where each row's list starts.
    counts: how many numbers it has.
  """

  items: Num[np.ndarray, " items"]
  starts: Integer[np.ndarray, " rows"]
  counts: Integer[np.ndarray, " rows"]

  def take(self, rows: np.ndarray) -> "Lists":
    """The lists of some rows."""
    return dataclasses.replace(self, starts=self.starts[rows], counts=self.counts[rows])

  def value(self, row: int) -> Any:
    """The list of one row, as a tuple."""
    start = self.starts[row]
    return tuple(self.items[start : start + self.counts[row]].tolist())

  def matrix(self, rows: np.ndarray, width: int) -> Num[np.ndarray, "rows width"]:
    """The lists of rows that all have `width` numbers."""
    return self.items[self.starts[rows][:, None] + np.arange(width)]


Column = Numbers | Words | Lists


class MistypedValue(Exception):
  """A value that its field cannot hold: number of the row, and what is wrong."""

  def __init__(self, row: int, problem: str):
    super().__init__(problem)
    self.row = row
    self.problem = problem


class Collector:
  """Collects rows block by block, so that they never exist all at once."""

  def __init__(self, row_type: type):
    """Makes empty columns for the fields of a dataclass.

    Args:
      row_type: its fields are int, float, bool or str, one of them or None, or tuples
        of numbers or of texts.
    """
    hints = typing.get_type_hints(row_type)
    names = [field.name for field in dataclasses.fields(row_type)]
    self._columns = {name: _OpenColumn(name, hints[name]) for name in names}
    self._count = 0

  def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
    """Adds rows, each with the values of all fields in the dataclass's order.

    Raises:
      MistypedValue: a value is not of its field's type.
    """
    columns = zip(*rows, strict=True)
    for column, values in zip(self._columns.values(), columns, strict=bool(rows)):
      try:
        column.add(values)
      except MistypedValue as error:
        raise MistypedValue(self._count + error.row, error.problem) from error
    self._count += len(rows)

  def columns(self) -> dict[str, Column]:
    """The column of each field."""
    return {name: column.closed() for name, column in self._columns.items()}


class _OpenColumn:
  """A column that still grows."""

  def __init__(self, name: str, hint: Any):
    self._name, self._hint = name, hint
    options = set(
      typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    )
    self._is_optional = type(None) in options
    (self._type,) = options - {type(None)}
    self._is_tuple = typing.get_origin(self._type) is tuple
    self._item = typing.get_args(self._type)[0] if self._is_tuple else self._type
    self._codes: dict[Hashable, int] = {}
    self._arrays: list[np.ndarray] = []
    self._counts: list[np.ndarray] = []

  def add(self, values: tuple[Any, ...]) -> None:
    self._check(values)
    try:
      if self._item is str:
        keys = list(map(tuple, values)) if self._is_tuple else values
        self._arrays.append(self._encode(keys))
      elif self._is_tuple:
        self._counts.append(np.fromiter(map(len, values), np.int32, len(values)))
        self._arrays.append(
          np.array(list(itertools.chain.from_iterable(values)), self._dtype)
        )
      else:
        filled = [MISSING if value is None else value for value in values]
        self._arrays.append(np.array(filled, self._dtype))
    except OverflowError as error:
      raise MistypedValue(
        next(i for i, value in enumerate(values) if _is_beyond_64_bits(value)),
        f"key {self._name}: got an integer beyond 64 bits",
      ) from error

  def closed(self) -> Column:
    dtype = np.int32 if self._item is str else self._dtype
    whole = np.concatenate([np.zeros(0, dtype), *self._arrays])
    if self._item is str:
      return Words(codes=whole, values=tuple(self._codes))
    if self._is_tuple:
      counts = np.concatenate([np.zeros(0, np.int32), *self._counts])
      starts = np.cumsum(counts, dtype=np.int64) - counts
      return Lists(items=whole, starts=starts, counts=counts)
    return Numbers(array=whole, is_optional=self._is_optional)

  @property
  def _dtype(self) -> type:
    return {int: np.int64, float: np.float64, bool: np.bool_}[self._item]

  def _encode(self, keys: Sequence[Hashable]) -> np.ndarray:
    codes = self._codes
    if len(keys) and keys.count(keys[0]) == len(keys):  # most are; this is faster
      return np.full(len(keys), codes.setdefault(keys[0], len(codes)), np.int32)
    return np.array([codes.setdefault(key, len(codes)) for key in keys], np.int32)

  def _check(self, values: tuple[Any, ...]) -> None:
    """Types are compared per column: a set of a few types instead of many calls."""
    kinds = set(map(type, values))
    allowed = {list, tuple} if self._is_tuple else _accepted(self._type)
    if self._is_optional:
      allowed = allowed | {type(None)}
    if not kinds <= allowed:
      row = next(i for i, value in enumerate(values) if type(value) not in allowed)
      raise self._mistyped(row, values[row])
    if self._is_tuple:
      inside = _accepted(self._item)
      if not set(map(type, itertools.chain.from_iterable(values))) <= inside:
        row = next(i for i, v in enumerate(values) if not set(map(type, v)) <= inside)
        raise self._mistyped(row, values[row])
    elif self._is_optional and self._item is int:
      for row, value in enumerate(values):
        if value is not None and value < 0:
          raise self._mistyped(row, value)

  def _mistyped(self, row: int, value: Any) -> MistypedValue:
    expected = getattr(self._hint, "__name__", str(self._hint))
    if self._is_tuple:
      expected = f"a list of {self._item.__name__}"
    elif self._is_optional:
      expected = f"null or {self._type.__name__}"
      expected += " of 0 or more" if self._item is int else ""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    return MistypedValue(
      row,
      f"key {self._name}: got {shown} ({type(value).__name__}), expected {expected}",
    )


def _is_beyond_64_bits(value: Any) -> bool:
  numbers = value if isinstance(value, list | tuple) else [value]
  return any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in numbers)


def _accepted(item: type) -> set[type]:
  return {int, float} if item is float else {item}
