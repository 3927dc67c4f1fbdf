"""Stage 1b: rows -> Task. Read a card's rows from `<data dir>/<rows>.jsonl`.

One row is one JSON object on one line:

  {"text": "a fine film", "label": 1, "label_name": "positive", "split": "train"}

The text fields are those of the card. Other keys (as `src`, where a row came from) are
ignored. Reading is strict: the first row that is not as the card says stops it with
its line number.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence

from symtune.cards.card import SPLITS, Example, Task, TaskCard
from symtune.errors import SymtuneError

# The keys of a card that decide what its prompts look like and which rows they use.
# Titles, licences and sources are prose: correcting them must not reseed episodes.
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


def read_task(card: TaskCard, data_dir: str | os.PathLike[str]) -> Task:
  """Reads a card's rows.

  Args:
    card: The card.
    data_dir: The folder that holds `<card.rows>.jsonl`.

  Returns:
    The task with all its rows, also those of splits that the card does not use.

  Raises:
    SymtuneError: If the file is missing, empty or not UTF-8; if a line is not a JSON
      object, lacks a key, or holds a wrong type, an empty text, an unknown split or a
      label that the card does not have; or if a class has no row in the splits that
      the card draws from. The message names file and line.
  """
  path = pathlib.Path(data_dir) / f"{card.rows}.jsonl"
  examples = _read_rows(card, path)
  _check_classes(card, examples, path)
  return Task(card=card, examples=examples, fingerprint=fingerprint(card, examples))


def fingerprint(card: TaskCard, examples: Sequence[Example]) -> str:
  """Returns the SHA-256, in hex, over the card and its rows.

  It covers what decides prompts: of the card all but title, licence, source and file
  name; of the rows number, split, label and the card's fields. Both enter as JSON with
  a fixed order, one line each, so the result does not depend on how files are laid
  out.

  Raises:
    SymtuneError: If a text holds a lone surrogate, which no UTF-8 can hold.
  """
  identity = {key: getattr(card, key) for key in _IDENTITY}
  digest = hashlib.sha256(_json_line(identity))
  for example in examples:
    texts = [example.fields[field] for field in card.fields]
    row = [example.row, example.split, example.label, *texts]
    try:
      digest.update(_json_line(row))
    except UnicodeEncodeError as error:
      raise SymtuneError(
        f"task {card.name!r}, row {example.row}: the text holds a lone surrogate "
        f"({error.object[error.start]!a}), which is no character; remove it"
      ) from error
  return digest.hexdigest()


def _json_line(value: object) -> bytes:
  text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
  return text.encode("utf-8") + b"\n"


def _read_rows(card: TaskCard, path: pathlib.Path) -> tuple[Example, ...]:
  try:
    # Split at b"\n" only: texts may hold other line separators, as U+2028.
    lines = path.read_bytes().split(b"\n")
  except FileNotFoundError as error:
    raise SymtuneError(
      f"{path}: no such file; task {card.name!r} reads its rows there: put them there, "
      "or give the right data folder with --data"
    ) from error
  except OSError as error:
    raise SymtuneError(f"{path}: cannot be read: {error.strerror}") from error
  if lines[-1] == b"":
    lines.pop()
  if not lines:
    raise SymtuneError(f"{path}: empty; expected one JSON object a line")
  examples = []
  for row, line in enumerate(lines):
    try:
      examples.append(_example(card, row, line))
    except SymtuneError as error:
      raise SymtuneError(
        f"{path}, line {row + 1} (task {card.name!r}): {error}"
      ) from error.__cause__
  return tuple(examples)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
  values = dict(pairs)
  if len(values) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise SymtuneError(f"the key {twice!r} occurs twice; keep one")
  return values


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys)


def _example(card: TaskCard, row: int, line: bytes) -> Example:
  """Returns one line as an example; errors do not yet say where."""
  values = _parse(line)
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
      "rows or reorder the card"
    )
  split = _text(values, "split")
  if split not in SPLITS:
    raise SymtuneError(f"key 'split': got {split!r}, allowed: {', '.join(SPLITS)}")
  return Example(row=row, fields=texts, label=label, split=split)


def _parse(line: bytes) -> dict[str, object]:
  try:
    values = _DECODER.decode(line.decode("utf-8"))
  except UnicodeDecodeError as error:
    raise SymtuneError(
      f"not UTF-8 at byte {error.start} of the line; save the file as UTF-8"
    ) from error
  except json.JSONDecodeError as error:
    raise SymtuneError(
      f"not JSON: {error.msg} at column {error.colno}; expected one object a line"
    ) from error
  if not isinstance(values, dict):
    raise SymtuneError(
      f"got {type(values).__name__}, expected a JSON object with the keys of the card"
    )
  return values


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
  # JSON's true is no whole number, though Python's True is an int.
  if not isinstance(value, int) or isinstance(value, bool):
    raise SymtuneError(
      f"key {key!r}: got {json.dumps(value)[:60]}, expected a whole number"
    )
  return value


def _check_classes(
  card: TaskCard, examples: Sequence[Example], path: pathlib.Path
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
