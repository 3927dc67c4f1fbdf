"""A task as token ids: every input tokenized once, kept on disk and memory-mapped.

One folder for each (task, rows, vocabulary), so nothing is ever out of date:

  <cache>/<task>-<16 digits>/tokens.npy     ids of all inputs, one after another
                             ends.npy       where each input ends
                             meta.json      what it was made from
                             checksums.txt  of these files, compared when it is opened

A damaged folder is made again.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np
from jaxtyping import Int64, Integer

from symtune.cards.card import Task
from symtune.checksums import find_damage, write_checksums
from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError
from symtune.files import disk_errors

_SCHEMA = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenTask:
  """The texts of a task's rows, as ids.

  Attributes:
    tokens: ids of every row's input text, one after another, without EOS.
    ends: where each row's ids end in `tokens`.
    folder: where the arrays lie; None if they are in memory only.
  """

  tokens: Integer[np.ndarray, "_tokens"]
  ends: Int64[np.ndarray, "rows"]
  folder: pathlib.Path | None

  def __reduce_ex__(self, protocol):
    """Another process opens the files again instead of copying the arrays."""
    if self.folder is None:
      return super().__reduce_ex__(protocol)
    return _open, (self.folder,)


def tokenize_task(
  task: Task, vocab: Vocab, cache_dir: str | os.PathLike[str] | None = None
) -> TokenTask:
  """The ids of a task, from the cache if they are there.

  Args:
    task: card and rows.
    vocab: the vocabulary.
    cache_dir: folder of the cache, made if missing; None keeps the ids in memory.

  Returns:
    The task as ids.

  Raises:
    SymtuneError: the disk is full.
  """
  if cache_dir is None:
    return _tokenize(task, vocab, None)
  rows = np.asarray([e.row for e in task.examples], np.int64).tobytes()
  parts = [str(_SCHEMA), task.fingerprint, vocab.fingerprint]
  key = hashlib.sha256("\n".join(parts).encode() + rows).hexdigest()
  folder = pathlib.Path(cache_dir) / f"{task.card.name}-{key[:16]}"
  problem = _find_problem(folder, key) if folder.is_dir() else None
  if problem is not None:
    print(f"token cache: {problem}. It is made again.", file=sys.stderr)
    _discard(folder)
  if not folder.is_dir():
    _write(_tokenize(task, vocab, folder), task, key)
  return _open(folder)


def token_dtype(vocab: Vocab) -> type[np.integer]:
  """Type in which ids are kept: two bytes where they suffice."""
  return np.uint16 if vocab.size <= 2**16 else np.int32


def _tokenize(task: Task, vocab: Vocab, folder: pathlib.Path | None) -> TokenTask:
  ids = [vocab.encode(task.card.input_text(e)) for e in task.examples]
  dtype = token_dtype(vocab)
  return TokenTask(
    tokens=np.concatenate([np.zeros(0, dtype), *ids]).astype(dtype),
    ends=np.cumsum([len(i) for i in ids], dtype=np.int64),
    folder=folder,
  )


def _write(made: TokenTask, task: Task, key: str) -> None:
  """Writes a folder under a temporary name and renames it; another's may win."""
  assert made.folder is not None
  parent = made.folder.parent
  parent.mkdir(parents=True, exist_ok=True)
  # Process ids repeat themselves across hosts that share a folder; these names do not.
  temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{made.folder.name}.", dir=parent))
  temporary.chmod(parent.stat().st_mode)  # it is made for its owner alone
  meta = {"key": key, "task": task.card.name, "fingerprint": task.fingerprint}
  try:
    with disk_errors(made.folder, made.tokens.nbytes + made.ends.nbytes):
      np.save(temporary / "tokens.npy", made.tokens)
      np.save(temporary / "ends.npy", made.ends)
      (temporary / "meta.json").write_text(json.dumps(meta))
      write_checksums(temporary)
    temporary.rename(made.folder)
  except OSError:
    if not made.folder.is_dir():
      raise
    # Another process was faster; its files are the same.
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _find_problem(folder: pathlib.Path, key: str) -> str | None:
  """What is wrong with a folder of the cache, or None."""
  problem = find_damage(folder)
  if problem is None:
    meta = folder / "meta.json"
    found = json.loads(meta.read_text()).get("key") if meta.is_file() else None
    problem = None if found == key else f"{folder} is of another task"
  return problem


def _discard(folder: pathlib.Path) -> None:
  """Removes a folder; another process may do the same at this moment."""
  aside = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
  with contextlib.suppress(FileNotFoundError):
    folder.rename(aside / folder.name)
  shutil.rmtree(aside, ignore_errors=True)


def _open(folder: pathlib.Path) -> TokenTask:
  try:
    tokens = np.load(folder / "tokens.npy", mmap_mode="r", allow_pickle=False)
    ends = np.load(folder / "ends.npy", mmap_mode="r", allow_pickle=False)
    if len(tokens) != (ends[-1] if len(ends) else 0):
      raise ValueError("the arrays do not belong together")
  except (OSError, ValueError) as error:
    raise SymtuneError(
      f"token cache: {folder} cannot be read ({error}). Delete that folder."
    ) from error
  return TokenTask(
    tokens=tokens.view(np.ndarray),  # slices of a plain array cost a tenth
    ends=ends.view(np.ndarray),
    folder=folder,
  )
