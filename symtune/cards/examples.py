"""Stage 1b: rows -> Task. Read a card's rows from `<data dir>/<rows>.jsonl`.

One row is one JSON object on one line:

  {"text": "a fine film", "label": 1, "label_name": "positive", "split": "train"}

The text fields are those of the card. Other keys (such as `src`, where a row came from)
are ignored. Reading is strict: rows that do not match the card are an error that gives
their line numbers.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from etils import epath

from symtune.cards.card import SPLITS, Example, Task, TaskCard
from symtune.errors import SymtuneError

# No text of the 33 tasks comes near this. A longer line is most likely a file without
# line breaks, and would not fit into any prompt.
MAX_LINE_BYTES = 1_000_000
_SHOWN_LINES = 10

# The keys of a card that decide what its prompts look like and which rows they use.
# Titles, licences and sources are prose: correcting them must not change the episodes.
_IDENTITY = (
  "name",
  "version",
  "task_type",
  "fields",
  "template",
  "labels",
  "label_names",
  "instruction",
  "exemplar_splits",
  "query_splits",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadRow:
  """A line that does not match the card.

  Attributes:
    line: 1-based number of the line in the file.
    problem: What the line holds, what was expected, and how to fix it.
  """

  line: int
  problem: str


def read_task(card: TaskCard, data_dir: str | os.PathLike[str]) -> Task:
  """Reads a card's rows.

  Args:
    card: The card.
    data_dir: The folder that holds `<card.rows>.jsonl`; local, or `gs://...`.

  Returns:
    The task with all its rows, including those of splits that the card does not use.

  Raises:
    SymtuneError: If the file is missing, empty or not UTF-8; if a line is not a JSON
      object, lacks a key, or holds a wrong type, an empty text, an unknown split or a
      label that the card does not have; or if a class has no row in the splits that
      the card draws from. The message names the file and the first bad lines.
  """
  path = epath.Path(data_dir) / f"{card.rows}.jsonl"
  examples, bad = check_rows(card, path)
  if bad:
    raise SymtuneError(_describe_bad(card, path, bad))
  _check_classes(card, examples, path)
  return Task(card=card, examples=examples, fingerprint=fingerprint(card, examples))


def fingerprint(card: TaskCard, examples: Sequence[Example]) -> str:
  """Returns the SHA-256, in hex, over the card and its rows.

  It covers what decides the prompts: all of the card but its title, licence, source and
  file name; and the number, split, label and text fields of each row. The card and each
  row are hashed as one line of JSON with a fixed order, so the layout of the files does
  not matter.

  Raises:
    SymtuneError: If a text holds a lone surrogate, which UTF-8 cannot encode.
  """
  identity = {key: getattr(card, key) for key in _IDENTITY}
  if card.passage is not None:  # older cards keep their fingerprints
    identity["passage"] = card.passage
  digest = hashlib.sha256(_json_line(identity))
  for example in examples:
    texts = [example.fields[field] for field in card.fields]
    row = [example.row, example.split, example.label, *texts]
    try:
      digest.update(_json_line(row))
    except UnicodeEncodeError as error:
      raise SymtuneError(
        f"task {card.name!r}, row {example.row}: the text holds a lone surrogate "
        f"({error.object[error.start]!a}), which is not a character; remove it"
      ) from error
  return digest.hexdigest()


def _json_line(value: object) -> bytes:
  text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
  return text.encode("utf-8") + b"\n"


def check_rows(
  card: TaskCard, path: epath.Path
) -> tuple[tuple[Example, ...], tuple[BadRow, ...]]:
  """Reads every line of a row file, good or bad.

  Args:
    card: The card.
    path: The file.

  Returns:
    The good rows, and what is wrong with each of the others.

  Raises:
    SymtuneError: If the file is missing, cannot be read or is empty.
  """
  lines = _read_lines(card, path)
  truncated = bool(lines[-1])
  if not truncated:
    lines.pop()
  examples, bad = [], []
  for row, line in enumerate(lines):
    try:
      examples.append(_example(card, row, line))
    except SymtuneError as error:
      problem = str(error)
      if truncated and row == len(lines) - 1:
        problem += " (the file ends in the middle of this line: get it again)"
      bad.append(BadRow(line=row + 1, problem=problem))
  return tuple(examples), tuple(bad)


def _read_lines(card: TaskCard, path: epath.Path) -> list[bytes]:
  """The lines of a file without line ends; the last is empty if the file is whole."""
  try:
    # Split at b"\n" only: texts may hold other line separators, such as U+2028.
    lines = path.read_bytes().split(b"\n")
  except FileNotFoundError as error:
    raise SymtuneError(
      f"{path}: no such file; task {card.name!r} reads its rows from it. Put it there, "
      "or give the right data folder with --data"
    ) from error
  except OSError as error:
    raise SymtuneError(f"{path}: cannot be read: {error.strerror}") from error
  if lines == [b""]:
    raise SymtuneError(f"{path}: empty; expected one JSON object per line")
  return lines


def _describe_bad(card: TaskCard, path: epath.Path, bad: Sequence[BadRow]) -> str:
  first = f"{path}, line {bad[0].line} (task {card.name!r}): {bad[0].problem}"
  if len(bad) == 1:
    return first
  lines = ", ".join(str(row.line) for row in bad[1 : _SHOWN_LINES + 1])
  more = ", ..." if len(bad) > _SHOWN_LINES + 1 else ""
  return (
    f"{first}; {len(bad) - 1} more bad lines: {lines}{more}. `symtune data verify` "
    "reports each of them"
  )


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
  values = dict(pairs)
  if len(values) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise SymtuneError(f"the key {twice!r} occurs twice; keep one")
  return values


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys)


def _example(card: TaskCard, row: int, line: bytes) -> Example:
  """Returns one line as an example; errors do not name the line yet."""
  if len(line) > MAX_LINE_BYTES:
    raise SymtuneError(
      f"got a line of {len(line):,} bytes, expected at most {MAX_LINE_BYTES:,}; put "
      "each row on a line of its own, or shorten or drop it"
    )
  values = parse_json(line)
  if not isinstance(values, dict):
    raise SymtuneError(
      f"got {type(values).__name__}, expected a JSON object with the card's fields"
    )
  texts = {}
  for field in card.fields:
    text = _text(values, field)
    if not text or text.isspace():
      raise SymtuneError(f"key {field!r}: empty text; fill it or drop the row")
    texts[field] = text
  label = _whole_number(values, "label")
  if not 0 <= label < len(card.labels):
    raise SymtuneError(
      f"key 'label': got {label}, expected 0 to {len(card.labels) - 1}, the ids of "
      f"{', '.join(card.label_names)}"
    )
  label_name = _text(values, "label_name")
  if label_name != card.label_names[label]:
    raise SymtuneError(
      f"key 'label_name': got {label_name!r} for label {label}, which the card calls "
      f"{card.label_names[label]!r}; label ids differ between sources: renumber the "
      "labels of the rows, or reorder those of the card"
    )
  split = _text(values, "split")
  if split not in SPLITS:
    raise SymtuneError(f"key 'split': got {split!r}, allowed: {', '.join(SPLITS)}")
  return Example(row=row, fields=texts, label=label, split=split)


def parse_json(content: bytes) -> Any:
  """Returns the value of a line or a file of JSON.

  Raises:
    SymtuneError: it is not UTF-8 or not JSON, holds a key twice or a lone surrogate, is
      nested too deeply, or holds too long a number. The message does not name the file.
  """
  try:
    values = _DECODER.decode(content.decode("utf-8"))
    if b"\\u" in content:  # the only way to write half of a surrogate pair
      json.dumps(values, ensure_ascii=False).encode("utf-8")
    return values
  except UnicodeEncodeError as error:
    raise SymtuneError(
      f"the text holds a lone surrogate ({error.object[error.start]!a}), which is not "
      "a character; remove it"
    ) from error
  except UnicodeDecodeError as error:
    raise SymtuneError(
      f"not UTF-8 at byte {error.start} of the line; save the file as UTF-8"
    ) from error
  except json.JSONDecodeError as error:
    raise SymtuneError(
      f"not JSON: {error.msg} at column {error.colno}; expected one object per line"
    ) from error
  except RecursionError as error:
    raise SymtuneError("nested too deeply; expected an object of texts") from error
  except ValueError as error:  # Python refuses integers of more than 4,300 digits
    raise SymtuneError(f"holds a number that is too long ({error})") from error


def _value(values: dict[str, object], key: str) -> object:
  if key not in values:
    raise SymtuneError(f"key {key!r} is missing; the row has: {', '.join(values)}")
  return values[key]


def _text(values: dict[str, object], key: str) -> str:
  value = _value(values, key)
  if not isinstance(value, str):
    raise SymtuneError(f"key {key!r}: got {json.dumps(value)[:60]}, expected text")
  return value


def _whole_number(values: dict[str, object], key: str) -> int:
  value = _value(values, key)
  # JSON's true is not a whole number, though Python's True is an int.
  if not isinstance(value, int) or isinstance(value, bool):
    raise SymtuneError(
      f"key {key!r}: got {json.dumps(value)[:60]}, expected a whole number"
    )
  return value


def _check_classes(
  card: TaskCard, examples: Sequence[Example], path: epath.Path
) -> None:
  """Raises SymtuneError if the card cannot draw every class from its splits."""
  for key in ("exemplar_splits", "query_splits"):
    splits = getattr(card, key)
    present = {example.label for example in examples if example.split in splits}
    for label, name in enumerate(card.label_names):
      if label not in present:
        raise SymtuneError(
          f"{path} (task {card.name!r}): no row of class {name!r} in "
          f"{' or '.join(splits)}, the card's {key}; add rows, or drop the class or "
          "change the splits in the card"
        )
