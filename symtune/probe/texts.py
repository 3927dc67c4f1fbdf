"""The text of every question of a run, kept once beside the results.

`questions.jsonl.gz` has one line per question: the hash by which result rows name it
(`ResultRow.prompt_hash`), the parts of its prompt, its choices and the classes of its
exemplars. Questions are appended group by group, each group as a gzip member, which
carries a checksum. What is there already is not written again, so the file of a resumed
run equals that of an uninterrupted one.
"""

import dataclasses
import gzip
import io
import json
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from symtune.bounded import local_size
from symtune.data.prompts import TURN_SEPARATOR
from symtune.errors import SymtuneError
from symtune.probe.probe import ProbeItem

_MAX_BYTES = 20_000_000_000
_GZIP = 16 + zlib.MAX_WBITS
_BLOCK = 1 << 20
_LEVEL = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionText:
  """What a question showed.

  Attributes:
    prompt_hash: as `ResultRow.prompt_hash`.
    turns: text parts of each exemplar, the last of which is its label word, then of the
      query, which ends with its cue.
    choices: the label words.
    exemplar_labels: class id of each exemplar.
  """

  prompt_hash: int
  turns: tuple[tuple[str, ...], ...]
  choices: tuple[str, ...]
  exemplar_labels: tuple[int, ...]

  @property
  def text(self) -> str:
    """The whole prompt."""
    return TURN_SEPARATOR.join("".join(turn) for turn in self.turns)


class QuestionFile:
  """The questions of a results file, for appending."""

  def __init__(self, path: pathlib.Path):
    """Reads what is there; a member that a killed run left incomplete is removed.

    Args:
      path: the file; need not exist.

    Raises:
      SymtuneError: the file is damaged.
    """
    self._path = path
    self._known: set[int] = set()
    if path.exists():
      whole = 0
      for end, found in _members(path):
        self._known.update(values["prompt_hash"] for values in found)
        whole = end
      if whole < path.stat().st_size:
        os.truncate(path, whole)

  def add(
    self, items: Sequence[ProbeItem], hash_of: Callable[[ProbeItem], int]
  ) -> None:
    """Appends the questions that are not there yet; on disk when it returns.

    Args:
      items: the questions.
      hash_of: gives a question's hash.
    """
    lines = []
    for item in items:
      key = hash_of(item)
      if key not in self._known:
        self._known.add(key)
        lines.append(_to_line(key, item))
    if not lines:
      return
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", _LEVEL, buffer, mtime=0) as member:
      member.write("".join(lines).encode("utf-8"))
    with self._path.open("ab") as file:
      file.write(buffer.getvalue())
      file.flush()
      os.fsync(file.fileno())


def read_questions(path: pathlib.Path) -> dict[int, QuestionText]:
  """The questions of a run, by their hash; empty if there is no file.

  Args:
    path: the file.

  Raises:
    SymtuneError: the file is damaged.
  """
  if not path.exists():
    return {}
  return {
    values["prompt_hash"]: QuestionText(
      prompt_hash=values["prompt_hash"],
      turns=tuple(map(tuple, values["turns"])),
      choices=tuple(values["choices"]),
      exemplar_labels=tuple(values["exemplar_labels"]),
    )
    for _, found in _members(path)
    for values in found
  }


def _to_line(key: int, item: ProbeItem) -> str:
  values = {
    "prompt_hash": key,
    "turns": item.prompt.turns,
    "choices": item.prompt.choices,
    "exemplar_labels": item.prompt.exemplar_labels,
  }
  return json.dumps(values, ensure_ascii=False) + "\n"


def _members(path: pathlib.Path) -> Iterator[tuple[int, list[dict[str, Any]]]]:
  """Each whole member: where it ends, and its questions; an incomplete one is left out.

  Raises:
    SymtuneError: a member's checksum is wrong.
  """
  local_size(path, _MAX_BYTES)
  end, reader, parts = 0, zlib.decompressobj(_GZIP), []
  try:
    with path.open("rb") as file:
      while block := file.read(_BLOCK):
        while block:
          parts.append(reader.decompress(block))
          end += len(block) - len(reader.unused_data)
          block = b""
          if reader.eof:
            lines = b"".join(parts).split(b"\n")
            yield end, [json.loads(line) for line in lines if line]
            block = reader.unused_data
            reader, parts = zlib.decompressobj(_GZIP), []
  except (zlib.error, ValueError, KeyError, TypeError) as error:
    raise SymtuneError(
      f"{path} is damaged ({error}). Remove it: the next probe of this folder writes "
      "it again, and answers are kept."
    ) from error
