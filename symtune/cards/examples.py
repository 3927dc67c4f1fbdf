"""Stage 1b: rows -> Task. Read a card's rows from `<data dir>/<rows>.jsonl`.

One row is one JSON object on one line:

  {"text": "a fine film", "label": 1, "label_name": "positive", "split": "train"}

The text fields are those of the card. Other keys (such as `src`, where a row came from)
are ignored. Reading is strict: rows that do not match the card are an error that gives
their line numbers. Only rows of the split "test", which no card uses, and rows without
a gold label (-1) in a split that the card does not use are left out and counted.
"""

import codecs
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence

from etils import epath

from symtune.bounded import parse_json, read_bytes, split_lines
from symtune.cards.card import SPLITS, Example, Task, TaskCard
from symtune.errors import SymtuneError

# No text of the 33 tasks comes near this. A longer line is most likely a file without
# line breaks, and would not fit into any prompt.
MAX_LINE_BYTES = 1_000_000
_MAX_FILE_BYTES = 4_000_000_000
_SHOWN_LINES = 10
_UNUSED_SPLIT = "test"
_NO_GOLD_LABEL = -1

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundRows:
  """What a row file holds.

  Attributes:
    examples: The good rows, in file order.
    bad: What is wrong with each of the others.
    left_out: Number of rows that are not read; see `Task.left_out`.
  """

  examples: tuple[Example, ...]
  bad: tuple[BadRow, ...]
  left_out: int


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
  found = check_rows(card, path)
  if found.bad:
    raise SymtuneError(_describe_bad(card, path, found.bad))
  _check_classes(card, found.examples, path)
  return Task(
    card=card,
    examples=found.examples,
    fingerprint=fingerprint(card, found.examples),
    left_out=found.left_out,
  )


def fingerprint(card: TaskCard, examples: Sequence[Example]) -> str:
  """Returns the SHA-256, in hex, over the card and its rows.

  It covers what decides the prompts: all of the card but its title, licence, source,
  file name and what it shares; and the number, split, label and text fields of each
  row. The card and each row are hashed as one line of JSON with a fixed order, so the
  layout of the files does not matter.

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


def check_rows(card: TaskCard, path: epath.Path) -> FoundRows:
  """Reads every line of a row file, good or bad.

  Args:
    card: The card.
    path: The file.

  Raises:
    SymtuneError: If the file is missing, cannot be read, is empty or holds a list.
  """
  lines = _read_lines(card, path)
  truncated = bool(lines[-1])
  if not truncated:
    lines.pop()
  examples, bad = [], []
  left_out = 0
  for row, line in enumerate(lines):
    try:
      example = _example(card, row, line)
      if example is None:
        left_out += 1
      else:
        examples.append(example)
    except SymtuneError as error:
      problem = str(error)
      if truncated and row == len(lines) - 1:
        problem += " (the file ends in the middle of this line: get it again)"
      bad.append(BadRow(line=row + 1, problem=problem))
  return FoundRows(examples=tuple(examples), bad=tuple(bad), left_out=left_out)


def _read_lines(card: TaskCard, path: epath.Path) -> list[bytes]:
  """The lines of a file without line ends; the last is empty if the file is whole."""
  try:
    content = read_bytes(path, _MAX_FILE_BYTES)
  except FileNotFoundError as error:
    raise SymtuneError(
      f"{path}: no such file; task {card.name!r} reads its rows from it. Put it there, "
      "or give the right data folder with --data"
    ) from error
  except OSError as error:
    raise SymtuneError(f"{path}: cannot be read: {error.strerror}") from error
  if not content.strip():
    raise SymtuneError(f"{path}: empty; expected one JSON object per line")
  if content.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":
    raise SymtuneError(
      f"{path}: got a JSON list, expected one JSON object per line. Rewrite it, for "
      f"example with: jq -c '.[]' LIST > {path.name}"
    )
  return split_lines(content)


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


def _example(card: TaskCard, row: int, line: bytes) -> Example | None:
  """One line as an example, None if it is left out; errors do not name the line yet."""
  if len(line) > MAX_LINE_BYTES:
    raise SymtuneError(
      f"got a line of {len(line):,} bytes, expected at most {MAX_LINE_BYTES:,}; put "
      "each row on a line of its own, or shorten or drop it"
    )
  if not line.strip():
    raise SymtuneError("not JSON: the line is empty; remove it")
  values = parse_json(line)
  if not isinstance(values, dict):
    raise SymtuneError(
      f"got {type(values).__name__}, expected a JSON object with the card's fields"
    )
  split = _text(values, "split")
  if split == _UNUSED_SPLIT:
    return None
  if split not in SPLITS:
    raise SymtuneError(f"key 'split': got {split!r}, allowed: {', '.join(SPLITS)}")
  label = _whole_number(values, "label")
  if label == _NO_GOLD_LABEL:
    if split not in (*card.exemplar_splits, *card.query_splits):
      return None
    raise SymtuneError(
      f"key 'label': got -1, no gold label, in the split {split!r}, which the card "
      f"uses; drop the row, or call its split {_UNUSED_SPLIT!r}, which is left out"
    )
  texts = {}
  for field in card.fields:
    text = _text(values, field)
    if not text or text.isspace():
      raise SymtuneError(f"key {field!r}: empty text; fill it or drop the row")
    texts[field] = text
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
  return Example(row=row, fields=texts, label=label, split=split)


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
