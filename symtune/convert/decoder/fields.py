"""A config's fields, each of which has to be understood, checked or known as harmless.

A field that nobody reads may change what a model answers. So what was not taken by the
end is refused by name.
"""

from collections.abc import Collection, Mapping
from typing import Any

from symtune.errors import SymtuneError
from symtune.model.config import MAX_LAYERS, MAX_SIZE

_MAX_NUMBER = 10**15


class Fields:
  """The fields of one JSON object, which remembers those that were taken.

  A field that is null counts as absent, as for Transformers, except for `take`.
  """

  def __init__(self, where: str, content: Mapping[str, Any]):
    """Wraps an object.

    Args:
      where: the file, or the object inside it, for messages.
      content: the object.
    """
    self.where = where
    self._content = content
    self._taken: set[str] = set()

  def has(self, name: str) -> bool:
    """Whether the field is present and not null; does not take it."""
    return self._content.get(name) is not None

  def take(self, name: str, default: Any = None) -> Any:
    """Returns a field's value, whatever it is, or the default if it is absent."""
    self._taken.add(name)
    return self._content.get(name, default)

  def count(self, name: str, default: int | None = None) -> int:
    """Returns a positive whole number.

    Raises:
      SymtuneError: it is none, is too large, or is absent and has no default.
    """
    value = self._present(name, default)
    limit = MAX_LAYERS if name.endswith(("_layers", "n_layer")) else MAX_SIZE
    if type(value) is not int or not 1 <= value <= limit:
      raise SymtuneError(
        f"{self.where}: {name} is {value!r}, expected a whole number from 1 to "
        f"{limit:,}."
      )
    return value

  def number(self, name: str, default: float | None = None) -> float:
    """Returns a number.

    Raises:
      SymtuneError: it is none, is too large, or is absent and has no default.
    """
    value = self._present(name, default)
    if type(value) not in (int, float) or not abs(value) <= _MAX_NUMBER:
      raise SymtuneError(
        f"{self.where}: {name} is {value!r:.60}, expected a number up to "
        f"{_MAX_NUMBER:,}."
      )
    return float(value)

  def flag(self, name: str, default: bool) -> bool:
    """Returns true or false.

    Raises:
      SymtuneError: it is neither.
    """
    value = self._present(name, default)
    if type(value) is not bool:
      raise SymtuneError(f"{self.where}: {name} is {value!r}, expected true or false.")
    return value

  def fixed(self, name: str, expected: Any) -> None:
    """Checks a field that has one value only in this network, if it is present.

    Raises:
      SymtuneError: it has another value.
    """
    value = self._present(name, expected)
    # JSON has one kind of zero, but 0 == False in Python.
    if value != expected or isinstance(value, bool) != isinstance(expected, bool):
      raise SymtuneError(
        f"{self.where}: {name} is {value!r}, expected {expected!r}: symtune's network "
        "computes nothing else."
      )

  def inner(self, name: str) -> "Fields | None":
    """Returns the fields of an object inside this one, or None if it is absent.

    Raises:
      SymtuneError: it is no object.
    """
    value = self.take(name)
    if value is None:
      return None
    if not isinstance(value, dict):
      raise SymtuneError(f"{self.where}: {name} is {value!r}, expected an object.")
    return Fields(f"{self.where}: {name}", value)

  def finish(self, harmless: Collection[str] = ()) -> None:
    """Refuses fields that were neither taken nor are known to change nothing.

    Args:
      harmless: names of fields that do not change what the network computes.

    Raises:
      SymtuneError: names the fields and their values.
    """
    left = sorted(self._content.keys() - self._taken - set(harmless))
    left = [name for name in left if self._content[name] is not None]
    if left:
      shown = ", ".join(f"{name} = {self._content[name]!r:.60}" for name in left)
      raise SymtuneError(
        f"{self.where} has fields that symtune does not understand and that may change "
        f"what the model answers: {shown}. If they do not, remove them from a copy of "
        "the file; if they do, ask the model with --checkpoint transformers:FOLDER."
      )

  def _present(self, name: str, default: Any) -> Any:
    value = self.take(name)
    value = default if value is None else value
    if value is None:
      raise SymtuneError(
        f"{self.where} lacks {name}. Download it again, or write the value of the "
        "model's family into a copy."
      )
    return value
