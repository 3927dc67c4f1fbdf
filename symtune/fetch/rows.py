"""Rows of a public data set -> the uniform rows of a card; dropped rows are counted.

read    400   rows of the split
dropped   3   no gold label, empty, missing or invalid text, line too long, duplicate
              input, over the cap
kept    397   rows of <task>.jsonl
"""

import collections
import dataclasses
import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from symtune.cards.card import Example, TaskCard
from symtune.cards.download import Artefact
from symtune.cards.examples import MAX_LINE_BYTES
from symtune.errors import SymtuneError
from symtune.fetch.artefacts import clean_text

_SHOWN_PLACES = 5


class Dropped(enum.StrEnum):
  """Why a row was left out."""

  NO_GOLD_LABEL = "no gold label"
  EMPTY_TEXT = "empty text"
  MISSING_TEXT = "missing text"
  BAD_TEXT = "text is not Unicode"
  TOO_LONG = "line too long"
  DUPLICATE = "duplicate input"
  OVER_CAP = "over the cap"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformRow:
  """One row as `<task>.jsonl` holds it.

  Attributes:
    fields: The text of each field of the card.
    label: Class id.
    split: Our name of the split: train or validation.
    src: Where the row came from.
  """

  fields: Mapping[str, str]
  label: int
  split: str
  src: str

  def to_json(self, card: TaskCard) -> str:
    """Returns the row as one line of JSON, without the line end."""
    row = {
      **self.fields,
      "label": self.label,
      "label_name": card.label_names[self.label],
      "split": self.split,
      "src": self.src,
    }
    return json.dumps(row, ensure_ascii=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitRows:
  """What became of the rows of one split.

  Attributes:
    read: Number of rows in the data set.
    kept: The rows that are kept, in their original order.
    dropped: Number of rows left out, by reason.
    places: The first few rows left out, by reason.
  """

  read: int
  kept: tuple[UniformRow, ...]
  dropped: Mapping[Dropped, int]
  places: Mapping[Dropped, tuple[str, ...]]


def make_rows(
  card: TaskCard,
  split: str,
  source: Iterable[tuple[str, Mapping[str, Any]]],
  artefacts: Sequence[Artefact] = (),
) -> SplitRows:
  """Turns the rows of one split into uniform rows; keeps the first of equal inputs.

  Args:
    card: The card, which has a `source.download`.
    split: Our name of the split: train or validation.
    source: (place, row) pairs, as `symtune.fetch.hub.read_split` yields them.
    artefacts: What to undo in the texts.

  Returns:
    The rows, and the number of rows left out for each reason.

  Raises:
    SymtuneError: If a label is not in the card or a field is not text. The card is
      wrong then, and dropping the rows would hide it.
  """
  kept: list[UniformRow] = []
  places: dict[Dropped, list[str]] = collections.defaultdict(list)
  seen: set[str] = set()
  read = 0
  for place, values in source:
    read += 1
    values = {key: _clean(value, artefacts) for key, value in values.items()}
    reason = _problem(card, values)
    if reason is None:
      row = _uniform(card, split, place, values)
      text = card.input_text(
        Example(row=0, fields=row.fields, label=row.label, split=split)
      )
      if _is_too_long(card, row):
        reason = Dropped.TOO_LONG
      elif text in seen:
        reason = Dropped.DUPLICATE
      seen.add(text)
      if reason is None:
        kept.append(row)
    if reason is not None:
      places[reason].append(place)
  return SplitRows(
    read=read,
    kept=tuple(kept),
    dropped={reason: len(found) for reason, found in places.items()},
    places={reason: tuple(f[:_SHOWN_PLACES]) for reason, f in places.items()},
  )


def cap_rows(rows: SplitRows, limit: int, rng: np.random.Generator) -> SplitRows:
  """Keeps at most `limit` rows, drawn at random, in their original order.

  Args:
    rows: The rows of one split.
    limit: Largest number of rows to keep.
    rng: Draws the rows; do not use it again.

  Returns:
    The same rows if there are at most `limit`; otherwise those drawn, with the others
    counted as dropped.
  """
  excess = len(rows.kept) - limit
  if excess <= 0:
    return rows
  chosen = np.sort(rng.permutation(len(rows.kept))[:limit])
  return dataclasses.replace(
    rows,
    kept=tuple(rows.kept[i] for i in chosen),
    dropped={**rows.dropped, Dropped.OVER_CAP: excess},
  )


def hold_out(
  rows: Sequence[UniformRow], share: float, rng: np.random.Generator
) -> tuple[UniformRow, ...]:
  """Moves a random share of the rows to the validation split.

  Args:
    rows: The training rows of a data set without a validation split.
    share: Share of the rows to move, at least 0 and below 1.
    rng: Draws the rows; do not use it again.

  Returns:
    All rows, in the same order.
  """
  count = round(len(rows) * share)
  chosen = set(rng.permutation(len(rows))[:count].tolist())
  return tuple(
    dataclasses.replace(row, split="validation") if i in chosen else row
    for i, row in enumerate(rows)
  )


def _clean(value: Any, artefacts: Sequence[Artefact]) -> Any:
  return clean_text(value, artefacts) if isinstance(value, str) else value


def _problem(card: TaskCard, values: Mapping[str, Any]) -> Dropped | None:
  download = card.source.download
  assert download is not None
  if values["label"] is None or values["label"] in download.unlabelled:
    return Dropped.NO_GOLD_LABEL
  for field in card.fields:
    text = values[field]
    if text is None:
      return Dropped.MISSING_TEXT
    if isinstance(text, bytes):
      return Dropped.BAD_TEXT  # `read_split` gives bytes for text that is not UTF-8
    if not isinstance(text, str):
      continue  # another type is a mistake in the card, which `_uniform` reports
    if not text or text.isspace():
      return Dropped.EMPTY_TEXT
    if any("\ud800" <= character <= "\udfff" for character in text):
      return Dropped.BAD_TEXT  # a lone surrogate, which UTF-8 cannot encode
  return None


def _is_too_long(card: TaskCard, row: UniformRow) -> bool:
  """Whether `read_task` would refuse the line."""
  # JSON needs at most six bytes per character, so short rows need no closer check.
  if 8 * sum(map(len, row.fields.values())) < MAX_LINE_BYTES:
    return False
  return len(row.to_json(card).encode()) > MAX_LINE_BYTES


def _uniform(
  card: TaskCard, split: str, place: str, values: Mapping[str, Any]
) -> UniformRow:
  download = card.source.download
  assert download is not None
  if values["label"] not in download.values:
    raise SymtuneError(
      f"{place} (task {card.name!r}): got label {values['label']!r}, expected one of "
      f"{list(download.values)} or, without a gold label, {list(download.unlabelled)}. "
      "Correct 'values' or 'unlabelled' in the card's source.download"
    )
  for field in card.fields:
    if not isinstance(values[field], str):
      raise SymtuneError(
        f"{place} (task {card.name!r}): field {field!r} holds "
        f"{type(values[field]).__name__}, expected text. Correct 'columns' in the "
        "card's source.download"
      )
  return UniformRow(
    fields={field: values[field] for field in card.fields},
    label=download.values.index(values["label"]),
    split=split,
    src=place,
  )
