"""Values are compared with their annotations, down to the items of dataclasses."""

import dataclasses
import enum
from collections.abc import Sequence

import pytest

from symtune.checks import check_types, find_mistyped
from symtune.errors import SymtuneError


class Color(enum.StrEnum):
  RED = "red"


@dataclasses.dataclass(frozen=True)
class Inner:
  size: int


@dataclasses.dataclass(frozen=True)
class Outer:
  inner: Inner
  names: tuple[str, ...] = ()
  rate: float = 0.0
  color: Color = Color.RED
  limit: int | None = None
  seeds: Sequence[int] = ()


@pytest.mark.parametrize(
  "value",
  [
    Outer(Inner(1)),
    Outer(Inner(1), ("a",), 1, Color.RED, 3),
    Outer(Inner(1), seeds=[1, 2]),
    Outer(Inner(1), seeds=(1,)),
  ],
)
def test_fitting_values_pass(value):
  assert find_mistyped(value, Outer, "outer") is None


@pytest.mark.parametrize(
  ("value", "problem"),
  [
    (Outer(Inner(1.5)), "Inner.size: got 1.5 (float), expected int"),
    (Outer(Inner(True)), "Inner.size: got True (bool), expected int"),
    (Outer(3), "Outer.inner: got 3 (int), expected Inner"),
    (Outer(Inner(1), ["a"]), "Outer.names: got ['a'] (list), expected tuple[str, ...]"),
    (Outer(Inner(1), ("a", 2)), "Outer.names[1]: got 2 (int), expected str"),
    (Outer(Inner(1), rate="x"), "Outer.rate: got 'x' (str), expected float"),
    (Outer(Inner(1), color="red"), "Outer.color: got 'red' (str), expected Color"),
    (Outer(Inner(1), limit="x"), "Outer.limit: got 'x' (str), expected int | None"),
    (Outer(Inner(1), seeds=[1, "2"]), "Outer.seeds[1]: got '2' (str), expected int"),
    (
      Outer(Inner(1), seeds="12"),
      "Outer.seeds: got '12' (str), expected collections.abc.Sequence[int]",
    ),
    (None, "outer: got None (NoneType), expected Outer"),
  ],
)
def test_first_misfit_is_described(value, problem):
  assert find_mistyped(value, Outer, "outer") == problem


def test_types_are_checked_or_refused():
  check_types(Outer(Inner(1)))
  with pytest.raises(SymtuneError, match=r"^Inner\.size: got 'a' \(str\), expected"):
    check_types(Outer(Inner("a")))
