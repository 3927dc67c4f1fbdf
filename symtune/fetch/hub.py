"""Rows of a public data set, from Parquet files on the hub or in a local folder.

Every data set is read from the hub's Parquet branch, so no loading script ever runs:

  hf://datasets/<id>@refs%2Fconvert%2Fparquet/<folder>/<split>/*.parquet

Without a network, a folder with the same paths can take the place of the hub.
"""

import functools
import hashlib
import pathlib
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from symtune.cards.card import TaskCard
from symtune.cards.download import PARQUET_BRANCH, Download, parse_column
from symtune.errors import SymtuneError
from symtune.files import cache_folder

HUB_ROOT = "hf://datasets"
# Longest wait for an answer of the hub, which may also stop in the middle of a file.
ANSWER_SECONDS = 30.0
# Seconds before each retry: short at first, about four minutes in all.
RETRY_SECONDS = (2.0, 8.0, 30.0, 60.0, 120.0)
_ROWS_AT_ONCE = 1_000
_PIECE_BYTES = 1 << 20
# HTTP statuses that a retry does not change: not signed in, forbidden, not found.
_FINAL_STATUS = (401, 403, 404)
_Result = TypeVar("_Result")


def download_of(card: TaskCard) -> tuple[str, Download]:
  """Returns the hub id and the download section of a card.

  Raises:
    SymtuneError: If the card does not say how its rows are made.
  """
  hub, download = card.source.hub, card.source.download
  if hub is None or download is None:
    raise SymtuneError(
      f"task {card.name!r}: its card does not say how to download the rows; put "
      f"{card.rows}.jsonl into the data folder, or add source.download to the card"
    )
  return hub, download


def resolve_revision(
  card: TaskCard,
  root: str = HUB_ROOT,
  waits: Sequence[float] = RETRY_SECONDS,
  answer_seconds: float = ANSWER_SECONDS,
) -> str:
  """Returns the newest commit of the Parquet branch of a card's data set.

  Args:
    card: The card.
    root: The hub, or a local folder used instead; a folder has no commits, so the
      branch name is returned.
    waits: Seconds to wait before each retry.
    answer_seconds: Longest wait for an answer.

  Raises:
    SymtuneError: If the extra [data] is missing or the hub cannot be reached.
  """
  hub, _ = download_of(card)
  if not root.startswith("hf://"):
    return PARQUET_BRANCH
  info = with_retries(lambda: _about(hub, PARQUET_BRANCH, answer_seconds), hub, waits)
  return str(info.sha)


def read_split(
  card: TaskCard,
  split: str,
  *,
  revision: str,
  root: str = HUB_ROOT,
  waits: Sequence[float] = RETRY_SECONDS,
  answer_seconds: float = ANSWER_SECONDS,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
  """Yields (place, row) of one split, in file order.

  A row maps "label" and each field of the card to the data set's value. A class id is
  replaced by its name if the card lists names. Text that is not UTF-8 is replaced by
  empty bytes. Nothing is checked yet.

  Args:
    card: The card.
    split: The data set's own name of the split.
    revision: From `resolve_revision`.
    root: The hub, or a local folder used instead.
    waits: Seconds to wait before each retry.
    answer_seconds: Longest wait for an answer.

  Raises:
    SymtuneError: If the extra [data] is missing, or the split cannot be read or lacks
      a column that the card names.
  """
  hub, download = download_of(card)
  place = f"{hub}/{download.folder}/{split}"
  inside = f"{download.folder}/{split}/"
  if root.startswith("hf://"):
    find = functools.partial(_fetch, hub, inside, revision, answer_seconds)
  else:
    url = f"{root}/{hub}@{urllib.parse.quote(revision, safe='')}"
    find = functools.partial(_files, pathlib.Path(url) / inside)
  table = with_retries(lambda: _load(find()), place, waits)
  columns = {"label": download.label, **dict(download.columns)}
  wanted = {name: parse_column(column) for name, column in columns.items()}
  for column, _ in wanted.values():
    if column not in table.column_names:
      raise SymtuneError(
        f"{place}: no column {column!r}, which the card of {card.name!r} names; the "
        f"columns are {', '.join(table.column_names)}. Correct source.download in the "
        "card"
      )
  names = getattr(table.features[download.label], "names", None)
  if names is None or not all(isinstance(v, str) for v in download.values):
    names = ()  # the column already holds the values that the card lists
  table = table.select_columns(sorted({column for column, _ in wanted.values()}))
  for number, row in enumerate(_rows(table)):
    values = {name: _item(row[column], i) for name, (column, i) in wanted.items()}
    label = values["label"]
    if isinstance(label, int) and 0 <= label < len(names):
      values["label"] = names[label]
    yield f"{place}#{number}", values


def _rows(table: Any) -> Iterator[Mapping[str, Any]]:
  """The rows of a data set, read many at a time."""
  for start in range(0, len(table), _ROWS_AT_ONCE):
    stop = min(start + _ROWS_AT_ONCE, len(table))
    try:
      columns = table[start:stop]
    except UnicodeDecodeError:  # in at least one text: read the rows one by one
      yield from (_row(table, i) for i in range(start, stop))
      continue
    for values in zip(*columns.values(), strict=True):
      yield dict(zip(columns, values, strict=True))


def _row(table: Any, number: int) -> Mapping[str, Any]:
  row = {}
  for column in table.column_names:
    try:
      row[column] = table.select_columns([column])[number][column]
    except UnicodeDecodeError:
      row[column] = b""
  return row


def with_retries(
  work: Callable[[], _Result],
  place: str,
  waits: Sequence[float] = RETRY_SECONDS,
  sleep: Callable[[float], None] = time.sleep,
) -> _Result:
  """Returns what `work` returns; retries after each failure that may be temporary.

  Args:
    work: What to do; it may be called several times.
    place: What is read, for error messages.
    waits: Seconds to wait before each retry.
    sleep: Waits that long; an argument for tests.

  Raises:
    SymtuneError: If every try failed; without a retry, if the file does not exist or
      the hub denies access.
  """
  for wait in (*waits, None):
    try:
      return work()
    except SymtuneError:
      raise
    except FileNotFoundError as error:
      raise SymtuneError(
        f"{place}: no such data set, configuration or split ({_line(error)}). Check "
        "'hub' and 'download' in the card's source"
      ) from error
    # The client raises its own errors and those of the HTTP library it uses.
    except Exception as error:
      status = getattr(getattr(error, "response", None), "status_code", None)
      if status in _FINAL_STATUS:
        raise SymtuneError(
          f"{place}: the hub answered {status} ({_line(error)}). Check 'hub' in the "
          "card's source; a gated data set needs `huggingface-cli login`"
        ) from error
      if wait is None:
        raise SymtuneError(
          f"{place}: cannot be read after {len(waits) + 1} tries: {_line(error)}. Run "
          "the same command again: finished tasks are kept"
        ) from error
      sleep(wait)
  raise AssertionError("the last try returns or raises")


def _about(hub: str, revision: str, answer_seconds: float) -> Any:
  """What the hub says about a data set: its commit and its files."""
  try:
    import huggingface_hub
    import requests  # noqa: F401  needed next: say now if it is missing
  except ImportError as error:
    raise _missing_extra() from error
  # Without a timeout, the client waits for ever.
  return huggingface_hub.HfApi().dataset_info(
    hub, revision=revision, timeout=answer_seconds
  )


def _fetch(hub: str, inside: str, revision: str, answer_seconds: float) -> list[str]:
  """Copies a folder's Parquet files from the hub; files of earlier tries are kept."""
  files = sorted(
    found.rfilename
    for found in _about(hub, revision, answer_seconds).siblings or ()
    if found.rfilename.startswith(inside) and found.rfilename.endswith(".parquet")
  )
  key = hashlib.sha256(f"{hub}@{revision}/{inside}".encode()).hexdigest()[:20]
  folder = cache_folder(f"parquet-{key}")
  return [str(_copy(hub, file, revision, folder, answer_seconds)) for file in files]


def _copy(
  hub: str, file: str, revision: str, folder: pathlib.Path, answer_seconds: float
) -> pathlib.Path:
  """Copies one file; no pause in it may be longer than `answer_seconds`."""
  import huggingface_hub  # `_about` found the package
  import requests  # the extra [data] has it

  path = folder / pathlib.PurePosixPath(file).name
  if path.exists():
    return path
  api = huggingface_hub.HfApi()
  url = huggingface_hub.hf_hub_url(
    hub, file, repo_type="dataset", revision=revision, endpoint=api.endpoint
  )
  headers = huggingface_hub.utils.build_hf_headers()
  part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
  try:
    with requests.get(
      url, headers=headers, stream=True, timeout=answer_seconds
    ) as answer:
      answer.raise_for_status()
      with part.open("xb") as copy:
        for piece in answer.iter_content(_PIECE_BYTES):
          copy.write(piece)
    return part.replace(path)
  finally:
    part.unlink(missing_ok=True)


def _files(folder: pathlib.Path) -> list[str]:
  return [str(path) for path in sorted(folder.glob("*.parquet"))]


def _load(files: Sequence[str]) -> Any:
  """The data set that some local Parquet files hold."""
  try:
    import datasets
  except ImportError as error:
    raise _missing_extra() from error
  if not files:
    raise FileNotFoundError("it has no Parquet file")
  datasets.disable_progress_bars()
  return datasets.load_dataset("parquet", data_files=list(files), split="train")


def _item(value: Any, item: int | None) -> Any:
  if item is None:
    return value
  if isinstance(value, bytes):
    return value  # not UTF-8, see `read_split`
  return value[item] if isinstance(value, list) and item < len(value) else None


def _missing_extra() -> SymtuneError:
  return SymtuneError(
    "downloading needs the packages of the extra [data]: pip install 'symtune[data]'"
  )


def _line(error: Exception) -> str:
  return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
