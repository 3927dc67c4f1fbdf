"""A table of labelled texts -> Task: a DataFrame, or a CSV, TSV, JSONL or Parquet file.

The words of a label column become the classes, and every row may be an exemplar or a
query, unless a column says which split a row belongs to. A query is never among its own
exemplars. Nothing is dropped: a row without text or label is an error that names it.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symtune.bounded import (
  local_size,
  parse_json,
  read_bytes,
  read_json,
  split_lines,
)
from symtune.cards.card import (
  PRIVATE,
  ROW_KEYS,
  SPLITS,
  Example,
  Task,
  TaskCard,
  TaskType,
)
from symtune.cards.examples import fingerprint
from symtune.errors import SymtuneError

if TYPE_CHECKING:
  import pandas

_MAX_BYTES = 2_000_000_000
_TRAIN, _VALIDATION = SPLITS
# What other data sets call the split that questions are asked about.
_SPLIT_NAMES = {
  "train": _TRAIN,
  "validation": _VALIDATION,
  "valid": _VALIDATION,
  "dev": _VALIDATION,
  "test": _VALIDATION,
}
_MOST_CLASSES = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableSettings:
  """How a table is read as a task.

  Attributes:
    text: the columns with the text, in the order in which a prompt shows them.
    label: the column with the label.
    words: what a prompt calls the classes, by the value of the label column; None
      takes the values themselves.
    template: text with a `{column}` slot for each text column; None puts each column
      on a line of its own.
    instruction: what a person would be told to do; None names the label words.
    split: the column that says which rows are exemplars ("train") and which are
      queries ("validation", "valid", "dev" or "test"); None uses every row as both.
    name: name of the task; None takes the file's, or "table".
    title: name shown to people; None takes the name.
  """

  text: tuple[str, ...]
  label: str
  words: Mapping[str, str] | None = None
  template: str | None = None
  instruction: str | None = None
  split: str | None = None
  name: str | None = None
  title: str | None = None


def make_task(table: Any, settings: TableSettings) -> Task:
  """Makes a task of a table.

  Args:
    table: a pandas DataFrame, anything with `to_pandas` (a Hugging Face or Polars
      table), or the path of a .csv, .tsv, .jsonl, .json or .parquet file.
    settings: which columns are what.

  Returns:
    The task. Its classes are sorted: as numbers where all are numbers, else as text.

  Raises:
    SymtuneError: the file cannot be read, a column is missing, a row has no text, no
      label or an unknown split, or there are too few or too many classes.
  """
  where = os.fspath(table) if isinstance(table, str | os.PathLike) else "the table"
  frame = _read_frame(table)
  columns = [*settings.text, settings.label]
  columns += [settings.split] if settings.split is not None else []
  _check_columns(where, frame, columns)
  names = _labels_of(table, frame, settings.label)
  values = [_text_of(v) for v in names]
  classes = _sort_classes(where, settings, values)
  card = _make_card(where, settings, classes)
  places = {value: i for i, value in enumerate(classes)}
  examples = tuple(
    Example(
      row=row,
      fields={
        field: _filled(where, row, column, frame[column].iloc[row])
        for field, column in zip(card.fields, settings.text, strict=True)
      },
      label=places[value],
      split=_split(where, settings, frame, row),
    )
    for row, value in enumerate(values)
  )
  _check_classes(where, card, examples)
  return Task(card=card, examples=examples, fingerprint=fingerprint(card, examples))


def _read_frame(table: Any) -> "pandas.DataFrame":
  import pandas

  if isinstance(table, pandas.DataFrame):
    return table
  if isinstance(table, str | os.PathLike):
    return _read_file(pathlib.Path(table))
  if hasattr(table, "to_pandas"):
    return table.to_pandas()
  raise SymtuneError(
    f"got a table of type {type(table).__name__}, expected a pandas DataFrame, a table "
    "with to_pandas(), or the path of a .csv, .tsv, .jsonl, .json or .parquet file."
  )


def _read_file(path: pathlib.Path) -> "pandas.DataFrame":
  """A file as text columns; a .csv's values stay as they are written."""
  import pandas

  kind = path.suffix.lower()
  if kind not in (".csv", ".tsv", ".jsonl", ".json", ".parquet"):
    raise SymtuneError(
      f"{path}: got a file of type {kind or 'none'}, expected .csv, .tsv, .jsonl, "
      ".json (a list of objects) or .parquet. Rename the file or convert it."
    )
  if not path.exists():
    raise SymtuneError(f"{path}: no such file.")
  local_size(path, _MAX_BYTES)
  try:
    if kind in (".csv", ".tsv"):
      return pandas.read_csv(
        path,
        sep="\t" if kind == ".tsv" else ",",
        dtype=str,
        keep_default_na=False,
        encoding="utf-8-sig",
      )
    if kind == ".parquet":
      return pandas.read_parquet(path)
    return pandas.DataFrame(_read_objects(path, lines=kind == ".jsonl"))
  except SymtuneError:
    raise
  except ImportError as error:
    raise SymtuneError(
      f"{path}: Parquet files need pyarrow: pip install 'symtune[data]'."
    ) from error
  except Exception as error:  # of the parsers, whose errors have no common class
    first = (str(error).splitlines() or [""])[0]
    raise SymtuneError(
      f"{path}: cannot be read as {kind} ({type(error).__name__}: {first}). Write it "
      "again as UTF-8, with one header line if it is .csv or .tsv."
    ) from error


def _read_objects(path: pathlib.Path, *, lines: bool) -> list[dict[str, Any]]:
  """The objects of a JSON list, or of one line each."""
  if not lines:
    found = read_json(path, _MAX_BYTES)
    if not isinstance(found, list):
      raise SymtuneError(f"{path}: got no JSON list, expected a list of objects.")
  else:
    found = []
    for number, line in enumerate(split_lines(read_bytes(path, _MAX_BYTES)), start=1):
      if line.strip():
        try:
          found.append(parse_json(line))
        except SymtuneError as error:
          raise SymtuneError(f"{path}, line {number}: {error}") from error
  for number, value in enumerate(found, start=1):
    if not isinstance(value, dict):
      raise SymtuneError(
        f"{path}, row {number}: got {type(value).__name__}, expected an object."
      )
  return found


def _check_columns(
  where: str, frame: "pandas.DataFrame", columns: Sequence[str]
) -> None:
  missing = [column for column in columns if column not in frame.columns]
  if missing:
    raise SymtuneError(
      f"{where}: no column {', '.join(map(repr, missing))}; the columns are "
      f"{', '.join(map(str, frame.columns))}. Name the columns with text and label."
    )
  if not len(frame):
    raise SymtuneError(f"{where}: no rows, expected at least two of each class.")
  for column in columns:
    if list(frame.columns).count(column) > 1:
      raise SymtuneError(f"{where}: two columns are called {column!r}; rename one.")


def _labels_of(table: Any, frame: "pandas.DataFrame", column: str) -> list[Any]:
  """The labels; a Hugging Face data set that numbers its classes also names them."""
  names = getattr((getattr(table, "features", None) or {}).get(column), "names", None)
  values = frame[column].tolist()
  if names is None:
    return values
  return [names[v] if isinstance(v, int) and 0 <= v < len(names) else v for v in values]


def _text_of(value: Any) -> str:
  """A cell as text: 4 and 4.0 are "4"; what is missing is ""."""
  if value is None or (isinstance(value, float) and np.isnan(value)):
    return ""
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return " ".join(str(value).split())


def _filled(where: str, row: int, column: str, value: Any) -> str:
  text = str(value) if isinstance(value, str) else _text_of(value)
  if not text.strip():
    raise SymtuneError(
      f"{where}, row {row + 1} after the header: column {column!r} is empty. Fill it "
      "or drop the row."
    )
  return text.strip()


def _sort_classes(
  where: str, settings: TableSettings, values: Sequence[str]
) -> list[str]:
  for row, value in enumerate(values):
    if not value:
      raise SymtuneError(
        f"{where}, row {row + 1} after the header: column {settings.label!r} is empty. "
        "Fill it or drop the row."
      )
  found = set(values)
  if settings.words is not None:
    unknown = sorted(found - settings.words.keys())
    if unknown:
      raise SymtuneError(
        f"{where}: column {settings.label!r} has {', '.join(unknown[:5])}, which the "
        f"given words ({', '.join(settings.words)}) do not name. Name every class."
      )
    return [value for value in settings.words if value in found]
  if not 2 <= len(found) <= _MOST_CLASSES:
    raise SymtuneError(
      f"{where}: column {settings.label!r} has {len(found)} different values, expected "
      f"2 to {_MOST_CLASSES} classes. Name the column with the label."
    )
  try:
    return sorted(found, key=float)
  except ValueError:
    return sorted(found)


def _make_card(where: str, settings: TableSettings, classes: Sequence[str]) -> TaskCard:
  fields = tuple(_field(column) for column in settings.text)
  words = tuple((settings.words or {}).get(value, value) for value in classes)
  name = settings.name or _name(where)
  template = settings.template
  if template is None:
    template = "\n".join(f"{{{field}}}" for field in fields)
  else:
    for column, field in zip(settings.text, fields, strict=True):
      template = template.replace(f"{{{column}}}", f"{{{field}}}")
  queries = _TRAIN if settings.split is None else _VALIDATION
  listed = f"{', '.join(words[:-1])} or {words[-1]}"
  try:
    return TaskCard(
      name=name,
      title=settings.title or name,
      version=1,
      task_type=TaskType.MISCELLANEOUS,
      fields=fields,
      template=template,
      labels=words,
      label_names=tuple(classes),
      instruction=settings.instruction or f"Is this {listed}?",
      exemplar_splits=(_TRAIN,),
      query_splits=(queries,),
      rows=name,
      source=PRIVATE,
      licence="private",
    )
  except SymtuneError as error:
    raise SymtuneError(f"{where}: {error}") from error


def _name(where: str) -> str:
  """A file's name as the name of a task."""
  stem = pathlib.PurePath(where).stem if where != "the table" else "table"
  return re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "table"


def _field(column: str) -> str:
  """A column's name as that of a field."""
  field = re.sub(r"[^A-Za-z0-9_]+", "_", column).strip("_") or "text"
  return f"{field}_text" if field in ROW_KEYS else field


def _split(
  where: str, settings: TableSettings, frame: "pandas.DataFrame", row: int
) -> str:
  if settings.split is None:
    return _TRAIN
  value = _text_of(frame[settings.split].iloc[row]).lower()
  if value not in _SPLIT_NAMES:
    raise SymtuneError(
      f"{where}, row {row + 1} after the header: column {settings.split!r} has "
      f"{value!r}, expected one of {', '.join(_SPLIT_NAMES)}."
    )
  return _SPLIT_NAMES[value]


def _check_classes(where: str, card: TaskCard, examples: Sequence[Example]) -> None:
  """Refuses a class without a row that can be an exemplar."""
  shown = {e.label for e in examples if e.split in card.exemplar_splits}
  for label, name in enumerate(card.label_names):
    if label not in shown:
      raise SymtuneError(
        f"{where}: class {name!r} has no row in the split {_TRAIN!r}, so no prompt "
        "could show it. Move some rows there."
      )
  if not any(e.split in card.query_splits for e in examples):
    raise SymtuneError(f"{where}: no row is in a split that questions are asked about.")
