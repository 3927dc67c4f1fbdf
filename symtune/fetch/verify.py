"""Check a data folder: hashes against provenance.json, every line against its card."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from etils import epath

from symtune.cards.card import TaskCard
from symtune.cards.examples import BadRow, FoundRows, check_rows
from symtune.errors import SymtuneError
from symtune.fetch.provenance import Provenance, file_sha256, read_provenance


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileReport:
  """What was found about one task's row file.

  Attributes:
    task: Name of the card.
    path: The file.
    problem: What is wrong with the file as a whole, or None.
    bad: Lines that do not match the card.
    left_out: Number of rows that are not read: split "test", or no gold label.
    rows: Number of good rows, by split.
    classes: Number of good rows, by label name.
    duplicates: Number of good rows that repeat the input of an earlier row of their
      split.
    provenance: Its entry in provenance.json; None if it has no entry.
  """

  task: str
  path: str
  problem: str | None
  bad: tuple[BadRow, ...]
  left_out: int
  rows: Mapping[str, int]
  classes: Mapping[str, int]
  duplicates: int
  provenance: Provenance | None

  @property
  def good(self) -> bool:
    """Whether the file can be used as it is."""
    return self.problem is None and not self.bad


def check_folder(
  cards: Sequence[TaskCard],
  folder: epath.Path,
  *,
  hashes: bool = True,
  others: bool = False,
) -> tuple[FileReport, ...]:
  """Reads every row file of the cards and compares it with its provenance.

  Args:
    cards: The cards whose files are read.
    folder: The data folder, local or `gs://...`.
    hashes: Whether files are hashed as well.
    others: Whether to hash also the files that only provenance.json names.

  Returns:
    One report per card, in their order, then one per other file.

  Raises:
    SymtuneError: If provenance.json is damaged.
  """
  entries = read_provenance(folder)
  reports = [_check_file(card, folder, entries, hashes=hashes) for card in cards]
  if others:
    known = {f"{card.rows}.jsonl" for card in cards}
    reports += [_check_other(folder, e) for n, e in entries.items() if n not in known]
  return tuple(reports)


def _check_file(
  card: TaskCard,
  folder: epath.Path,
  entries: Mapping[str, Provenance],
  *,
  hashes: bool,
) -> FileReport:
  path = folder / f"{card.rows}.jsonl"
  entry = entries.get(path.name)
  found = FoundRows(examples=(), bad=(), left_out=0)
  problem = None
  try:
    found = check_rows(card, path)
    problem = _hash_problem(path, entry) if hashes else None
  except SymtuneError as error:
    problem = str(error)
  examples = found.examples
  inputs = {(e.split, card.input_text(e)) for e in examples}
  return FileReport(
    task=card.name,
    path=str(path),
    problem=problem,
    bad=found.bad,
    left_out=found.left_out,
    rows=collections.Counter(e.split for e in examples),
    classes=collections.Counter(card.label_names[e.label] for e in examples),
    duplicates=len(examples) - len(inputs),
    provenance=entry,
  )


def _check_other(folder: epath.Path, entry: Provenance) -> FileReport:
  """Checks the hash of a file that provenance.json names but no card does."""
  path = folder / entry.file
  if path.is_file():
    problem = _hash_problem(path, entry)
  else:
    problem = f"{path}: no such file, but provenance.json lists it. Get it again"
  return FileReport(
    task=entry.task,
    path=str(path),
    problem=problem,
    bad=(),
    left_out=0,
    rows={"as downloaded": entry.rows},
    classes={},
    duplicates=0,
    provenance=entry,
  )


def _hash_problem(path: epath.Path, entry: Provenance | None) -> str | None:
  if entry is None or not path.is_file():
    return None  # `check_rows` reports a missing file
  found = file_sha256(path)
  if found == entry.sha256:
    return None
  return (
    f"{path}: got SHA-256 {found[:12]}..., expected {entry.sha256[:12]}... as in "
    "provenance.json: the file changed after the download. Delete it and get it again"
  )
