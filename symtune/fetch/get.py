"""Public data sets -> a data folder: one row file per task, and provenance.json.

A task is finished when its row file has the hash that provenance.json says. The entry
is written first, so a row file without an entry is not from here. Wherever the command
stops, running it again does the remaining tasks.
"""

import collections
import dataclasses
import datetime
import enum
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from etils import epath

from symtune.cards.card import TaskCard
from symtune.data.limits import MAX_EXAMPLES_PER_TASK
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError
from symtune.fetch import hub
from symtune.fetch.provenance import (
  Provenance,
  SplitCounts,
  add_entry,
  file_sha256,
  read_provenance,
  write_anywhere,
)
from symtune.fetch.rows import (
  SplitRows,
  UniformRow,
  cap_rows,
  hold_out,
  make_rows,
)
from symtune.progress import Progress

_T = TypeVar("_T")
_ROWS_PER_TELLING = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class GetSettings:
  """How rows are taken from a data set.

  Attributes:
    seed: Decides which rows the cap keeps and which are held out.
    max_training_rows: Largest number of training rows per task; 25,000 in the paper.
    root: The hub, or a local folder used instead.
    retry_seconds: Seconds to wait before each retry of a failed read.
    answer_seconds: Longest wait for an answer of the hub.
    unescape: Whether artefacts that a card names, such as `&amp;`, are undone.
  """

  seed: int = 0
  max_training_rows: int = MAX_EXAMPLES_PER_TASK
  root: str = hub.HUB_ROOT
  retry_seconds: tuple[float, ...] = hub.RETRY_SECONDS
  answer_seconds: float = hub.ANSWER_SECONDS
  unescape: bool = True

  def __post_init__(self):
    if self.max_training_rows < 1:
      raise SymtuneError(
        f"max training rows: got {self.max_training_rows}, expected at least 1."
      )


def get_tasks(
  cards: Sequence[TaskCard],
  folder: epath.Path,
  settings: GetSettings,
  report: Callable[[str], None],
  clock: Callable[[], float] = time.monotonic,
) -> None:
  """Downloads the rows of every card that the folder does not have yet.

  Args:
    cards: The cards.
    folder: The data folder, local or `gs://...`; made if missing.
    settings: How rows are taken.
    report: Called with one line per task when the task is finished.
    clock: The time in seconds, for the progress on standard error.

  Raises:
    SymtuneError: If a data set cannot be read or does not fit its card, or if the
      folder holds a row file that is not from here. Finished tasks are kept.
  """
  for card in cards:
    hub.download_of(card)  # all cards first: a mistake should not cost a download
  with Progress("downloading", unit="rows", clock=clock) as progress:
    for number, card in enumerate(cards, start=1):
      head = f"[{number}/{len(cards)}] {card.name}"
      progress.describe(f"downloading {head}")
      report(f"{head}: {_get_task(card, folder, settings, progress)}")


def _get_task(
  card: TaskCard, folder: epath.Path, settings: GetSettings, progress: Progress
) -> str:
  """Downloads the rows of one card unless they are there; says which."""
  entries = read_provenance(folder)
  file = f"{card.rows}.jsonl"
  state = _state(folder / file, entries.get(file), card, settings)
  if state is _State.FINISHED:
    return "already there"
  entry, content = _make(card, settings, progress)
  folder.mkdir(parents=True, exist_ok=True)
  add_entry(folder, entry)
  write_anywhere(folder / file, content)
  again = " (replaces a file with another hash)" if state is _State.DAMAGED else ""
  return f"{describe(entry)}{again}"


def describe(entry: Provenance) -> str:
  """Returns one line: the rows kept, and the rows left out by reason."""
  dropped = collections.Counter[str]()
  for counts in entry.splits.values():
    dropped.update(counts.dropped)
  reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
  return f"{entry.rows:,} rows" + (f"; left out: {reasons}" if reasons else "")


def recipe_hash(card: TaskCard, settings: GetSettings) -> str:
  """Returns the SHA-256 of all that decides a task's rows except the data set."""
  download = card.source.download
  assert download is not None
  how = dataclasses.asdict(download)
  if not (download.artefacts and settings.unescape):
    del how["artefacts"]  # nothing is undone
  parts = [
    how,
    [card.source.hub, list(card.fields), list(card.label_names), card.template],
    [settings.seed, settings.max_training_rows],
  ]
  return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class _State(enum.Enum):
  MISSING = enum.auto()
  DAMAGED = enum.auto()
  FINISHED = enum.auto()


def _state(
  path: epath.Path, entry: Provenance | None, card: TaskCard, settings: GetSettings
) -> _State:
  """What is there; a file that was not made in this way is an error."""
  if not path.exists():
    return _State.MISSING
  if entry is None:
    raise SymtuneError(
      f"{path}: the file exists but is not from `symtune data get`: provenance.json "
      "does not list it. Move it away, or choose another folder with --to"
    )
  if entry.recipe != recipe_hash(card, settings):
    raise SymtuneError(
      f"{path}: made by another version of the card {card.name!r}, or with other "
      "settings. Delete it to get it again, or choose another folder with --to"
    )
  whole = path.stat().length == entry.bytes and file_sha256(path) == entry.sha256
  return _State.FINISHED if whole else _State.DAMAGED


def _make(
  card: TaskCard, settings: GetSettings, progress: Progress
) -> tuple[Provenance, bytes]:
  hub_id, download = hub.download_of(card)
  artefacts = download.artefacts if settings.unescape else ()
  revision = hub.resolve_revision(
    card, settings.root, settings.retry_seconds, settings.answer_seconds
  )
  rows: list[UniformRow] = []
  splits: dict[str, SplitCounts] = {}
  for split, theirs in download.splits:
    source = hub.read_split(
      card,
      theirs,
      revision=revision,
      root=settings.root,
      waits=settings.retry_seconds,
      answer_seconds=settings.answer_seconds,
    )
    found = make_rows(card, split, _counted(source, progress), artefacts)
    if split == "train":
      rng = keyed_generator(settings.seed, "cap", card.rows)
      found = cap_rows(found, settings.max_training_rows, rng)
    splits[split] = _counts(theirs, found)
    rows.extend(found.kept)
  if download.holdout:
    rng = keyed_generator(settings.seed, "holdout", card.rows)
    rows = list(hold_out(rows, download.holdout, rng))
  _check_classes(card, rows)
  content = "".join(row.to_json(card) + "\n" for row in rows).encode()
  entry = Provenance(
    task=card.name,
    file=f"{card.rows}.jsonl",
    hub=hub_id,
    folder=download.folder,
    revision=revision,
    root=settings.root,
    licence=card.licence,
    date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    seed=settings.seed,
    recipe=recipe_hash(card, settings),
    rows=len(rows),
    bytes=len(content),
    sha256=hashlib.sha256(content).hexdigest(),
    splits=splits,
    unescaped=tuple(str(artefact) for artefact in artefacts),
  )
  return entry, content


def _counted(source: Iterable[_T], progress: Progress) -> Iterator[_T]:
  """The same items, told many at a time."""
  for number, item in enumerate(source, start=1):
    yield item
    if number % _ROWS_PER_TELLING == 0:
      progress.advance(_ROWS_PER_TELLING)


def _counts(source: str, found: SplitRows) -> SplitCounts:
  return SplitCounts(
    source=source,
    read=found.read,
    kept=len(found.kept),
    dropped={str(reason): count for reason, count in found.dropped.items()},
    places={str(reason): places for reason, places in found.places.items()},
  )


def _check_classes(card: TaskCard, rows: Sequence[UniformRow]) -> None:
  """Refuses what `read_task` would refuse: a class without rows in a used split."""
  for splits in (card.exemplar_splits, card.query_splits):
    present = {row.label for row in rows if row.split in splits}
    missing = [n for i, n in enumerate(card.label_names) if i not in present]
    if missing:
      raise SymtuneError(
        f"task {card.name!r}: the data set has no row of {', '.join(missing)} in "
        f"{' or '.join(splits)}. Correct source.download in the card, or raise the cap"
      )
