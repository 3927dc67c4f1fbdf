"""Shapes and types are checked in the first calls of each function in each test.

Checking every call would take a third of the suite's time. Importing this module
changes what `--jaxtyping-packages` decorates functions with, so it comes before them.
"""

import collections
import dataclasses
import functools
import inspect

import jaxtyping

_CHECKED_CALLS = 20
_calls = collections.Counter()  # of each function, in the test that runs
_check_all_calls = jaxtyping.jaxtyped


def forget() -> None:
  """The next calls of each function are its first ones."""
  _calls.clear()


def _check_first_calls(*, typechecker):
  """The decorator of functions and classes, in the place of `jaxtyping.jaxtyped`.

  A check is compiled when it is first needed. A function inside another one would be
  compiled anew every time the outer one runs; those without a shape in their signature
  are left as they are.
  """
  decorate = _check_all_calls(typechecker=typechecker)

  def check(function):
    if inspect.isclass(function):
      if dataclasses.is_dataclass(function) and "__init__" in vars(function):
        function.__init__ = check(function.__init__)
      return function
    if not inspect.isfunction(function):
      return decorate(function)  # a property, a class method
    inner = "<locals>" in function.__qualname__
    if inner and "jaxtyping" not in str(function.__annotations__):
      return function
    checked = functools.cache(lambda: decorate(function))
    key = id(function.__code__)

    @functools.wraps(function)
    def call(*args, **kwargs):
      _calls[key] += 1
      if _calls[key] > _CHECKED_CALLS:
        return function(*args, **kwargs)
      return checked()(*args, **kwargs)

    return call

  return check


jaxtyping.jaxtyped = _check_first_calls
