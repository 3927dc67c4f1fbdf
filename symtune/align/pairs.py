"""Preference rows: a prompt, the better and the worse answer, and who said so.

A file has one JSON object per line with the keys prompt, chosen, rejected and source,
all of them texts.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from symtune.align.gold import Batch, Positioned, lay_out_prompts, pad
from symtune.bounded import parse_json, read_bytes, split_lines
from symtune.checksums import checksum
from symtune.data.prompts import Prompt
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError
from symtune.experiment.tokens import Tokenizer
from symtune.files import write_whole
from symtune.model.decoder.generate import NO_TOKEN, Ends

_MAX_BYTES = 2_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreferenceRow:
  """One comparison.

  Attributes:
    prompt: what was asked.
    chosen: the answer that was preferred.
    rejected: the other one.
    source: who preferred it.
  """

  prompt: str
  chosen: str
  rejected: str
  source: str


_KEYS = tuple(field.name for field in dataclasses.fields(PreferenceRow))


def read_pairs(path: pathlib.Path) -> tuple[PreferenceRow, ...]:
  """Reads a file of preference rows; no line is skipped.

  Raises:
    SymtuneError: the file is missing, empty or not such a file; names the line.
  """
  *lines, last = split_lines(_read(path))
  lines = [*lines, last] if last else lines
  if not lines:
    raise SymtuneError(f"{path}: got no rows, expected at least one preference row.")
  return tuple(
    _parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)
  )


def pairs_checksum(path: pathlib.Path) -> str:
  """A checksum of a file of preference rows.

  Raises:
    SymtuneError: the file is missing.
  """
  return checksum(_read(path))


def _read(path: pathlib.Path) -> bytes:
  try:
    return read_bytes(path, _MAX_BYTES)
  except OSError as error:
    raise SymtuneError(
      f"{path}: cannot be read ({error.strerror or error}); expected a file of "
      "preference rows. Correct PairSettings.path."
    ) from error


def _parse(line: bytes, where: str) -> PreferenceRow:
  values = parse_json(line, where)
  if not isinstance(values, dict) or values.keys() != set(_KEYS):
    got = sorted(values) if isinstance(values, dict) else type(values).__name__
    raise SymtuneError(
      f"{where}: got {got!r:.120}, expected an object with the keys {list(_KEYS)}."
    )
  for key in _KEYS:
    if not isinstance(values[key], str) or not values[key].strip():
      raise SymtuneError(
        f"{where}: {key} is {values[key]!r:.60}; expected a text that is not empty."
      )
  if values["chosen"].split() == values["rejected"].split():
    raise SymtuneError(
      f"{where}: chosen and rejected are both {values['chosen']!r:.60}; expected "
      "different answers. Remove the row."
    )
  return PreferenceRow(**values)


def write_pairs(path: pathlib.Path, rows: Sequence[PreferenceRow]) -> None:
  """Writes a file of preference rows, whole or not at all."""
  lines = (json.dumps(dataclasses.asdict(row), ensure_ascii=False) for row in rows)
  write_whole(path, "".join(line + "\n" for line in lines))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairArrays:
  """Preference rows as ids.

  Attributes:
    prompts: padded on the right with 0.
    lengths: tokens of each prompt.
    answers: the chosen and the rejected answer, with their end and then `NO_TOKEN`.
  """

  prompts: Int[np.ndarray, "pairs prompt_length"]
  lengths: Int[np.ndarray, " pairs"]
  answers: Int[np.ndarray, "pairs 2 length"]

  def first(self, count: int) -> "PairArrays":
    """So many pairs, or all if there are fewer."""
    part = slice(count)
    return PairArrays(
      prompts=self.prompts[part],
      lengths=self.lengths[part],
      answers=self.answers[part],
    )

  def take(self, places: np.ndarray) -> Batch:
    """Some of the pairs, as a batch."""
    return {
      "prompts": self.prompts[places],
      "lengths": self.lengths[places],
      "answers": self.answers[places],
    }


def encode_pairs(
  rows: Sequence[PreferenceRow], tokenizer: Tokenizer, ends: Ends, where: str
) -> PairArrays:
  """Reads the texts of preference rows.

  Args:
    rows: at least one.
    tokenizer: vocabulary and lengths.
    ends: what ends an answer when it is sampled.
    where: the file, for messages.

  Raises:
    SymtuneError: a prompt or an answer is too long, an answer would end elsewhere when
      it is sampled, or the vocabulary makes both answers the same; names the line.
  """
  read = []
  for number, row in enumerate(rows, 1):
    prompt = Prompt(
      turns=((row.prompt,),),
      exemplar_labels=(),
      choices=(row.chosen, row.rejected),
      answer=0,
    )
    try:
      read.append(tokenizer.tokenize(prompt))
      for answer, ids in zip(prompt.choices, read[-1].choices, strict=True):
        _content(answer, ids.tolist(), ends)
    except SymtuneError as error:
      raise SymtuneError(f"{where}, line {number}: {error}") from error
  laid_out = lay_out_prompts([r.inputs for r in read], tokenizer.max_inputs)
  answers = pad([a for r in read for a in r.choices], tokenizer.max_targets, NO_TOKEN)
  return PairArrays(**laid_out, answers=answers.reshape(len(rows), 2, -1))


def encode_answer(answer: str, tokenizer: Tokenizer, ends: Ends) -> list[int]:
  """Ids of an answer as preference rows hold it, without its end.

  Raises:
    SymtuneError: it is too long, or would end elsewhere when it is sampled.
  """
  prompt = Prompt(turns=(("a",),), exemplar_labels=(), choices=(answer,), answer=0)
  return _content(answer, tokenizer.tokenize(prompt).choices[0].tolist(), ends)


def _content(answer: str, ids: list[int], ends: Ends) -> list[int]:
  """The ids without the end, where a policy would have ended the answer as well."""
  lasts = [[ends.eos_id], *map(list, ends.stops)]
  found = (
    (number, number - len(last))
    for number in range(1, len(ids) + 1)
    for last in lasts
    if ids[:number][-len(last) :] == last
  )
  end, start = next(found, (0, 0))
  if end != len(ids):
    raise SymtuneError(
      f"answer {answer!r:.60} has {len(ids)} tokens with its end, but a sampled answer "
      f"ends after {end or 'none'} of them: at EOS or, from decoder-only models, at a "
      "blank line that is tokenized alone. Leave out blank lines, and marks at the end."
    )
  return ids[:start]


class PairStream(Positioned):
  """Endless batches of pairs: every epoch has all of them once, in an order of its own.

  A pair's place depends on (seed, epoch) alone, so that a position is enough to resume.
  """

  def __init__(
    self, pairs: PairArrays, *, batch_size: int, seed: int, use: str
  ) -> None:
    """Starts at the first batch.

    Args:
      pairs: all pairs.
      batch_size: pairs of a batch.
      seed: of the order.
      use: what the batches are for; other uses have other orders.
    """
    super().__init__(0)
    self._pairs = pairs
    self._size = batch_size
    self._key = (seed, "pairs", use)
    self._order = (-1, np.zeros(0, np.int64))  # of an epoch

  def __next__(self) -> Batch:
    """The next batch: as `PairArrays.take` returns it."""
    places = [self._place(place) for place in self.advance(self._size)]
    return self._pairs.take(np.asarray(places))

  def _place(self, place: int) -> int:
    epoch, number = divmod(place, len(self._pairs.lengths))
    if self._order[0] != epoch:
      rng = keyed_generator(*self._key, epoch)
      self._order = (epoch, rng.permutation(len(self._pairs.lengths)))
    return int(self._order[1][number])
