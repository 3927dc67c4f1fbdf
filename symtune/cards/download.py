"""How a card's rows are made from a public data set: columns, splits and labels."""

import dataclasses
import enum
import re

from symtune.cards import strict_yaml
from symtune.checks import parse_choice
from symtune.errors import SymtuneError

# The hub converts every data set to Parquet on this branch, even if the main branch
# holds a loading script; such scripts are never run.
PARQUET_BRANCH = "refs/convert/parquet"
_COLUMN = re.compile(r"([^\[\]]+)(?:\[(\d+)\])?")


class Artefact(enum.StrEnum):
  """A trace of how a data set was made, which `symtune data get` undoes."""

  HTML = "html"  # &amp; and &#39;
  BROKEN_HTML = "broken_html"  # the same, often without the "&": #39; and quot;
  BACKSLASH = "backslash"  # for a line break
  UNICODE = "unicode"  # the code of a character spelt out, as in JSON


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download:
  """Where a public data set holds the rows, and under which names.

  Attributes:
    folder: Folder of the configuration on the hub's Parquet branch.
    splits: (our split, their split) for each split that is read.
    columns: (our field, their column) for each field; `choices[2]` is the third item
      of a column that holds lists.
    label: Their label column.
    values: What that column holds for each class, in the order of the class ids: names
      of a class label or texts, or whole numbers.
    unlabelled: What it holds in rows without a gold label; such rows are left out.
    holdout: Share of the training rows that becomes the validation split, for data
      sets without one; 0 otherwise.
    artefacts: What is known to be wrong with the data set's texts.

  Raises:
    SymtuneError: If a value is out of range; the message names the key.
  """

  folder: str
  splits: tuple[tuple[str, str], ...]
  columns: tuple[tuple[str, str], ...]
  label: str
  values: tuple[str | int, ...]
  unlabelled: tuple[str | int, ...] = ()
  holdout: float = 0.0
  artefacts: tuple[Artefact, ...] = ()

  def __post_init__(self):
    for _, column in (*self.columns, ("label", self.label)):
      parse_column(column)
    if not 0 <= self.holdout < 1:
      raise SymtuneError(f"holdout: got {self.holdout}, expected 0 <= holdout < 1")
    if len(set(self.values)) != len(self.values):
      raise SymtuneError(f"values: got {list(self.values)}, expected each value once")
    if set(self.values) & set(self.unlabelled):
      raise SymtuneError("unlabelled: a value also stands for a class; list it once")


def parse_column(column: str) -> tuple[str, int | None]:
  """Returns the name and item of a column such as `choices[2]`; no item gives None.

  Raises:
    SymtuneError: If the text has another form.
  """
  match = _COLUMN.fullmatch(column)
  if match is None:
    raise SymtuneError(
      f"column {column!r}: expected a name, or a name and an item such as 'choices[2]'"
    )
  return match[1], None if match[2] is None else int(match[2])


def read_download(
  section: strict_yaml.Section, fields: tuple[str, ...], num_labels: int
) -> Download:
  """Reads the `download` section of a card.

  Args:
    section: The section.
    fields: The card's text fields.
    num_labels: The card's number of classes.

  Raises:
    SymtuneError: If keys or values are wrong; the message names file and key.
  """
  section.check_keys(
    ["folder", "splits", "columns", "label", "values"],
    ["unlabelled", "holdout", "artefacts"],
  )
  splits = section.section("splits").check_only(("train", "validation"))
  columns = section.section("columns").check_only(fields)
  missing = [field for field in fields if field not in dict(columns)]
  if missing:
    raise section.error("columns", f"got none for the fields {', '.join(missing)}")
  values = section.scalars("values")
  if len(values) != num_labels:
    raise section.error(
      "values", f"got {len(values)} values, expected {num_labels}, one per label"
    )
  try:
    return Download(
      folder=section.text("folder"),
      splits=splits,
      columns=columns,
      label=section.text("label"),
      values=values,
      unlabelled=(
        section.scalars("unlabelled") if "unlabelled" in section.values else ()
      ),
      holdout=section.share("holdout") if "holdout" in section.values else 0.0,
      artefacts=_artefacts(section) if "artefacts" in section.values else (),
    )
  except SymtuneError as error:
    raise SymtuneError(f"{section.path}: key 'source.download': {error}") from error


def _artefacts(section: strict_yaml.Section) -> tuple[Artefact, ...]:
  names = section.texts("artefacts")
  return tuple(parse_choice(Artefact, name, "artefacts") for name in names)
