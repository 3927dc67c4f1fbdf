"""Passages -> a folder that finds those most like a query; read without loading it.

passages.jsonl   document, title and text of each passage
offsets.npy      where the line of each passage starts, and where the last one ends
documents.npy    number of each passage's document
documents.json   their ids
bm25/            bm25s' own files, memory-mapped when read
index.json       settings, counts and the hash that every result carries
checksums.txt    of all these files
"""

import hashlib
import json
import mmap
import pathlib
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from symtune.bounded import read_json
from symtune.checksums import check_object, find_damage, object_to_json, write_checksums
from symtune.errors import SymtuneError
from symtune.files import disk_errors, write_whole
from symtune.retrieve.bm25 import (
  K1,
  METHOD,
  B,
  Bm25,
  NoWordsError,
  best,
  make_index,
)
from symtune.retrieve.documents import hash_file, read_lines
from symtune.retrieve.passages import WORDS, Passage, cut_passages

ABOUT = "index.json"
_PASSAGES, _OFFSETS = "passages.jsonl", "offsets.npy"
_OWNERS, _DOCUMENTS, _BM25 = "documents.npy", "documents.json", "bm25"
_VERSION = 1
_MAX_JSON = 4_000_000_000


class Found(NamedTuple):
  """A passage that was found.

  Attributes:
    number: of the passage in its index.
    score: BM25, above 0.
  """

  number: int
  score: float


class PassageIndex:
  """An index on disk, opened for reading.

  Attributes:
    hash: 16 hexadecimal digits of passages and settings.
    count: number of passages.
  """

  def __init__(self, folder: pathlib.Path):
    """Opens an index.

    Raises:
      SymtuneError: there is none, it is damaged, or an older version wrote it.
    """
    import bm25s  # starts JAX

    about = _read_about(folder)
    self.hash = str(about["hash"])
    self._texts = _map_file(folder / _PASSAGES)
    self._offsets = np.load(folder / _OFFSETS, mmap_mode="r")
    self._owners = np.load(folder / _OWNERS, mmap_mode="r")
    names = read_json(folder / _DOCUMENTS, _MAX_JSON)
    self._documents = {name: number for number, name in enumerate(names)}
    saved = bm25s.BM25.load(str(folder / _BM25), mmap=True)
    self._bm25 = Bm25(saved.vocab_dict, saved.scores)
    self.count = len(self._owners)

  def passage(self, number: int) -> Passage:
    """A passage by its number."""
    line = self._texts[self._offsets[number] : self._offsets[number + 1]]
    return Passage(*json.loads(line))

  def document_names(self) -> Collection[str]:
    """The ids of all documents."""
    return self._documents.keys()

  def search(self, query: str, k: int, forbidden: Collection[str] = ()) -> list[Found]:
    """The passages that are most like a query.

    Args:
      query: any text.
      k: how many.
      forbidden: documents of which no passage is returned; unknown ids are ignored.

    Returns:
      At most k passages, best first; of equal ones the first. Passages without a word
      in common with the query are not returned.
    """
    scores = self._bm25.scores(query)
    numbers = [self._documents[d] for d in forbidden if d in self._documents]
    if numbers:
      scores[np.isin(self._owners, numbers)] = 0
    return [Found(int(i), float(scores[i])) for i in best(scores, k)]

  def search_all(
    self,
    queries: Sequence[str],
    k: int,
    forbidden: Collection[str] = (),
    threads: int = 2,
  ) -> list[list[Found]]:
    """The same for many queries, some at a time."""
    with ThreadPoolExecutor(threads) as pool:
      return list(pool.map(lambda query: self.search(query, k, forbidden), queries))


def build_index(
  files: Sequence[pathlib.Path], folder: pathlib.Path, words: int = WORDS
) -> PassageIndex:
  """Indexes the passages of some files; a folder with the same index is left as it is.

  Args:
    files: text or JSONL files; read once to be hashed and once to be cut.
    folder: where the index goes; it appears when it is whole.
    words: of a passage.

  Returns:
    The index.

  Raises:
    SymtuneError: the files cannot be read or have no words, the folder holds something
      else, or the disk is full.
  """
  if words < 1:
    raise SymtuneError(f"index: got {words} words per passage, expected at least 1.")
  sources = [f"{file.name} {hash_file(file)}" for file in files]
  settings = {
    "version": _VERSION,
    "words": words,
    "k1": K1,
    "b": B,
    "method": METHOD,
    "sources": sources,
  }
  if folder.exists():
    _check_same(folder, settings)
    return PassageIndex(folder)
  partial = folder.with_name(f".{folder.name}.partial")
  shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed
  partial.mkdir(parents=True)
  try:
    with disk_errors(folder, 3 * sum(file.stat().st_size for file in files)):
      _write_files(partial, cut_passages(read_lines(files), words), settings)
      write_checksums(partial)
      partial.rename(folder)
  except NoWordsError as error:
    raise SymtuneError(f"{', '.join(map(str, files))}: {error}") from error
  finally:
    shutil.rmtree(partial, ignore_errors=True)
  return PassageIndex(folder)


def _write_files(
  folder: pathlib.Path, passages: Iterable[Passage], settings: dict[str, object]
) -> None:
  offsets, owners, documents = [0], [], {}
  digest = hashlib.sha256(json.dumps(settings).encode())

  def written() -> Iterator[str]:
    """Writes the passages as they go by to be indexed."""
    with (folder / _PASSAGES).open("wb") as file:
      for passage in passages:
        line = json.dumps(passage, ensure_ascii=False).encode() + b"\n"
        file.write(line)
        digest.update(line)
        offsets.append(offsets[-1] + len(line))
        owners.append(documents.setdefault(passage.document, len(documents)))
        yield passage.shown

  index = make_index(written())
  index.save(str(folder / _BM25), show_progress=False)
  np.save(folder / _OFFSETS, np.asarray(offsets, np.int64))
  np.save(folder / _OWNERS, np.asarray(owners, np.int32))
  write_whole(folder / _DOCUMENTS, json.dumps(list(documents), ensure_ascii=False))
  about = {
    **settings,
    "passages": len(owners),
    "documents": len(documents),
    "hash": digest.hexdigest()[:16],
  }
  write_whole(folder / ABOUT, object_to_json(about))


def _check_same(folder: pathlib.Path, settings: dict[str, object]) -> None:
  if not (folder / ABOUT).is_file():
    raise SymtuneError(
      f"{folder} exists and is no index. Choose a folder that does not exist yet."
    )
  about = _read_about(folder)
  differ = [name for name, value in settings.items() if about.get(name) != value]
  if differ:
    raise SymtuneError(
      f"{folder} holds an index with other {', '.join(differ)}. Choose another folder, "
      "or remove this one."
    )


def _read_about(folder: pathlib.Path) -> dict[str, object]:
  path = folder / ABOUT
  if not path.is_file():
    raise SymtuneError(
      f"{folder} is no index: it has no {ABOUT}. Make one with: symtune index FILE... "
      "--out FOLDER."
    )
  damage = find_damage(folder)
  if damage:
    raise SymtuneError(f"{damage}. Remove {folder} and index the files again.")
  about = read_json(path, _MAX_JSON)
  check_object(about, str(path))
  if about.get("version") != _VERSION:
    raise SymtuneError(
      f"{path}: got version {about.get('version')}, expected {_VERSION}. Index the "
      "files again."
    )
  return about


def _map_file(path: pathlib.Path) -> mmap.mmap:
  with path.open("rb") as file:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
