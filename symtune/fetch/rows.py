"""Rows of a public data set -> the uniform rows of a card, each kept or counted.

read    400   rows of the split
dropped   3   no gold label, empty, missing or broken text, line too long, duplicate
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
from symtune.cards.examples import MAX_LINE_BYTES
from symtune.errors import SymtuneError

_SHOWN_PLACES = 5


class Dropped(enum.StrEnum):
  """Why a row was left out."""

  NO_GOLD_LABEL = "no gold label"
  EMPTY_TEXT = "empty text"
  MISSING_TEXT = "missing text"
  BAD_TEXT = "text is no Unicode"
  TOO_LONG = "line too long"
  DUPLICATE = "duplicate input"
  OVER_CAP = "over the cap"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformRow:
  """One row as `<task>.jsonl` holds it.

  Attributes:
    fields: The text of each field of the card.
    label: Class id.
    split: Ours: train or validation.
    src: Where the row came from.
  """

  fields: Mapping[str, str]
  label: int
  split: str
  src: str

  def to_json(self, card: TaskCard) -> str:
    """Returns the row as one line of JSON, without its end."""
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
    read: Rows of the data set.
    kept: Those that stay, in their order.
    dropped: Number left out, by reason.
    places: The first few of each reason.
  """

  read: int
  kept: tuple[UniformRow, ...]
  dropped: Mapping[Dropped, int]
  places: Mapping[Dropped, tuple[str, ...]]


def make_rows(
  card: TaskCard, split: str, source: Iterable[tuple[str, Mapping[str, Any]]]
) -> SplitRows:
  """Turns the rows of one split into uniform rows; the first of equal inputs stays.

  Args:
    card: The card, which has a `source.download`.
    split: Ours: train or validation.
    source: (place, row) pairs, as `symtune.fetch.hub.read_split` yields them.

  Returns:
    The rows, and a count for every row that is left out.

  Raises:
    SymtuneError: If a label is none that the card lists: the card is wrong then, and
      dropping rows would hide it.
  """
  kept: list[UniformRow] = []
  places: dict[Dropped, list[str]] = collections.defaultdict(list)
  seen: set[str] = set()
  read = 0
  for place, values in source:
    read += 1
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
  """At most `limit` rows, drawn at random; those drawn keep their order.

  Args:
    rows: The rows of one split.
    limit: Most rows that stay.
    rng: Draws them; used up.

  Returns:
    The same rows if there are few enough, else fewer, the others counted.
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
  """The rows, a random share of which becomes the validation split.

  Args:
    rows: The training rows of a data set without a validation split.
    share: From 0 to below 1.
    rng: Draws them; used up.

  Returns:
    As many rows, in the same order.
  """
  count = round(len(rows) * share)
  chosen = set(rng.permutation(len(rows))[:count].tolist())
  return tuple(
    dataclasses.replace(row, split="validation") if i in chosen else row
    for i, row in enumerate(rows)
  )


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
      return Dropped.BAD_TEXT  # the data set's own bytes, which are not UTF-8
    if not isinstance(text, str):
      continue  # `_uniform` says so: another type is the card's mistake
    if not text or text.isspace():
      return Dropped.EMPTY_TEXT
    if any("\ud800" <= character <= "\udfff" for character in text):
      return Dropped.BAD_TEXT  # a lone surrogate, which no UTF-8 file can hold
  return None


def _is_too_long(card: TaskCard, row: UniformRow) -> bool:
  """Whether `read_task` would refuse the line."""
  # JSON needs at most six bytes a character: short rows need no second look.
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
