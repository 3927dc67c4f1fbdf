"""The prompts of Self-Instruct: small text files with places for what is asked.

A folder with files of these names takes their place (`SelfInstructRecipe.templates`).
The wording and the examples are symtune's own; the layouts are the paper's.
"""

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping

from symtune.bounded import read_text
from symtune.errors import SymtuneError

FOLDER = pathlib.Path(__file__).parent / "templates"
# The places of each template.
PLACES = {
  "propose": ("tasks",),
  "propose_classification": ("tasks",),
  "propose_one": ("tasks",),
  "classify": ("instruction",),
  "input_first": ("instruction",),
  "output_first": ("instruction",),
  "one_input": ("instruction",),
  "one_output": ("instruction", "input"),
  "one_label": ("instruction",),
  "one_labelled_input": ("instruction", "label"),
}
_PLACE = re.compile(r"\{(\w+)\}")
_MAX_BYTES = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Templates:
  """All templates.

  Attributes:
    texts: by name, without the white space at their end.
  """

  texts: Mapping[str, str]

  def fill(self, name: str, **values: str) -> str:
    """A template with values in its places.

    Args:
      name: of the template.
      **values: what stands in its places; braces in a value stay as they are.
    """
    return _PLACE.sub(lambda place: values[place[1]], self.texts[name])

  @property
  def fingerprint(self) -> str:
    """SHA-256 of all templates."""
    return hashlib.sha256(repr(sorted(self.texts.items())).encode()).hexdigest()


def read_templates(folder: pathlib.Path = FOLDER) -> Templates:
  """Reads the templates of a folder.

  Raises:
    SymtuneError: one is missing, or has other places than `PLACES`.
  """
  return Templates(texts={name: _read(folder / f"{name}.txt") for name in PLACES})


def _read(path: pathlib.Path) -> str:
  wanted = PLACES[path.stem]
  try:
    text = read_text(path, _MAX_BYTES).rstrip()
  except OSError as error:
    raise SymtuneError(
      f"{path}: the template cannot be read ({error.strerror}). A folder of templates "
      f"has the files {', '.join(f'{name}.txt' for name in PLACES)}."
    ) from error
  found = _PLACE.findall(text)
  if sorted(found) != sorted(wanted):
    raise SymtuneError(
      f"{path}: got the places {found}, expected each of "
      f"{', '.join(f'{{{name}}}' for name in wanted)} once."
    )
  return text
