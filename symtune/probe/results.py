"""The rows of results.jsonl: question, answer, and the run that they are from.

Every line ends with a checksum of what stands before it, so that damage is named and
never counted: `{"checkpoint": "after", ..., "crc32": "8f1d2c3b"}`.
"""

import dataclasses
import itertools
import json
import operator
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import orjson

from symtune.bounded import local_size
from symtune.errors import SymtuneError
from symtune.probe.columns import (
  Collector,
  Column,
  Lists,
  MistypedValue,
  Numbers,
  Words,
)
from symtune.probe.row_checks import find_problem, find_repeated

SCHEMA_VERSION = 6
CHECKSUM = "crc32"
_FIRST_WITH_CHECKSUM = 5
_MAX_BYTES = 20_000_000_000
_BLOCK = 64  # lines parsed before their values become columns; more are slower


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultRow:
  """One answered question.

  Attributes:
    schema_version: version of this format.
    checkpoint: name of the checkpoint in tables, such as "before".
    step: training step of the checkpoint.
    identity: what answered: a hash of the weights and settings, or a baseline's name.
    parameters: number of parameters of the model; None for a scorer without any.
    family: models of one family differ in size alone, as far as that is known: their
      architecture and a hash of their vocabulary; None for a scorer without a model.
    dtype: type in which the model computed, such as "float32"; None for a scorer
      without a model.
    probe: name of the probe.
    setting: name of the setting inside the probe.
    task: name of the task.
    seed: seed of exemplars, format and symbols.
    query: row of the query in the task's file, or number of the generated question.
    prompt_hash: 48 bits of the SHA-256 of the whole prompt, its choices and its kind:
      equal for equal questions, whichever probe asks them.
    shares: names of what the task has in common with other tasks, such as a category.
    group: name of the task's group in its suite, or None; one for all rows of a task.
    kind: "rank" or "generate" (`probe.AnswerKind`).
    num_classes: number of choices.
    label: index of the right choice.
    context: index of the choice that the exemplars imply, or None.
    prior: index of the choice that the meaning of the words implies, or None.
    prediction: index of the likeliest or of the generated choice; None if the generated
      text is not a choice.
    correct: whether the prediction is the right choice.
    chance: accuracy of a uniform guess, 1 / num_classes; 0 for an open question.
    text: the generated text, or None.
    log_likelihoods: log p(choice and EOS | prompt) in nats, one per choice; empty if
      the answer was generated.
    tokens: number of tokens of each choice, with EOS; empty for a generated answer.
    null_log_likelihoods: log p(choice and EOS | cue alone), one per choice; empty
      without its calibration prompts. `report.rules` uses it and the next two.
    content_free_log_prior: log of the mean probability of each choice for queries
      without content; empty without its calibration prompts.
    domain_log_prior: the same for queries of random words of the task.
    choices: the label words.
    references: for an open question, what rules without any insight would answer, one
      text for each of `made.FIXED_RULES`; empty for others.
    natural: the task's own label words, where the prompt shows others and the answer
      was generated; empty otherwise.
    exemplars: number of exemplars that the model saw.
    exemplars_asked: number of exemplars before the prompt was shortened to fit.
    config_hash: hash of settings, data and vocabulary.
    data_fingerprint: SHA-256 of the task's card and rows, and of the version of the
      draws.
    vocab_hash: hash of the vocabulary.
    symtune_version: version of symtune.
    git_commit: commit of symtune, or None.
  """

  schema_version: int
  checkpoint: str
  step: int
  identity: str
  parameters: int | None
  family: str | None
  dtype: str | None
  probe: str
  setting: str
  task: str
  seed: int
  query: int
  prompt_hash: int
  shares: tuple[str, ...]
  group: str | None
  kind: str
  num_classes: int
  label: int
  context: int | None
  prior: int | None
  prediction: int | None
  correct: bool
  chance: float
  text: str | None
  log_likelihoods: tuple[float, ...]
  tokens: tuple[int, ...]
  null_log_likelihoods: tuple[float, ...]
  content_free_log_prior: tuple[float, ...]
  domain_log_prior: tuple[float, ...]
  choices: tuple[str, ...]
  references: tuple[str, ...]
  natural: tuple[str, ...]
  exemplars: int
  exemplars_asked: int
  config_hash: str
  data_fingerprint: str
  vocab_hash: str
  symtune_version: str
  git_commit: str | None

  @property
  def pair_key(self) -> tuple[str, str, str, int, int]:
    """The same for the same question to two checkpoints."""
    return (self.probe, self.setting, self.task, self.seed, self.query)


_FIELDS = tuple(field.name for field in dataclasses.fields(ResultRow))
_values_of = operator.itemgetter(*_FIELDS)


class Results(Sequence[ResultRow]):
  """Many result rows, kept as columns; a single row is made when it is asked for."""

  def __init__(
    self, columns: Mapping[str, Column], places: np.ndarray | None = None
  ) -> None:
    """Wraps columns.

    Args:
      columns: one per field of `ResultRow`.
      places: which rows of the columns these are; None takes all.
    """
    self._columns = columns
    self._places = places

  def __len__(self) -> int:
    steps = self._columns["step"]
    assert isinstance(steps, Numbers)
    return len(steps.array) if self._places is None else len(self._places)

  @overload
  def __getitem__(self, index: int) -> ResultRow: ...
  @overload
  def __getitem__(self, index: slice) -> "Results": ...
  def __getitem__(self, index: int | slice) -> "ResultRow | Results":
    places = np.arange(len(self)) if self._places is None else self._places
    if isinstance(index, slice):
      return Results(self._columns, places[index])
    place = int(places[index])
    return ResultRow(**{name: c.value(place) for name, c in self._columns.items()})

  def __iter__(self) -> Iterator[ResultRow]:
    return (self[i] for i in range(len(self)))

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Results) and list(self) == list(other)

  def take(self, rows: np.ndarray) -> "Results":
    """Some of the rows, by number or by a mask, without copying any."""
    places = np.arange(len(self)) if self._places is None else self._places
    return Results(self._columns, places[rows])

  def numbers(self, name: str) -> np.ndarray:
    """A field that is a number; None is -1 (`columns.MISSING`)."""
    column = self._column(name)
    assert isinstance(column, Numbers)
    return column.array

  def words(self, name: str) -> Words:
    """A field that is a text or a tuple of texts."""
    column = self._column(name)
    assert isinstance(column, Words)
    return column

  def lists(self, name: str) -> Lists:
    """A field that is a tuple of numbers."""
    column = self._column(name)
    assert isinstance(column, Lists)
    return column

  def with_answers(self, prediction: np.ndarray) -> "Results":
    """The same questions with other answers.

    Args:
      prediction: index of the answered choice of each row, or -1 for none.
    """
    columns = {name: self._column(name) for name in self._columns}
    columns["prediction"] = Numbers(array=prediction, is_optional=True)
    columns["correct"] = Numbers(array=prediction == self.numbers("label"))
    return Results(columns)

  def _column(self, name: str) -> Column:
    column = self._columns[name]
    return column if self._places is None else column.take(self._places)


def collect(rows: Sequence[ResultRow]) -> Results:
  """Rows as columns; what is in columns already stays as it is."""
  if isinstance(rows, Results):
    return rows
  collector = Collector(ResultRow)
  collector.add([tuple(vars(row).values()) for row in rows])
  return Results(collector.columns())


def to_json(row: ResultRow) -> str:
  """One line of JSON without a newline: sorted keys, then the checksum.

  Floats have the fewest digits that give the same number again.
  """
  return add_checksum(json.dumps(vars(row), sort_keys=True, ensure_ascii=False))


def add_checksum(text: str) -> str:
  """An object's line of JSON, with the checksum of its other keys as its last one."""
  head = text.removesuffix("}")
  return head + _tail(head.encode("utf-8")).decode("ascii")


def read_results(path: pathlib.Path) -> Results:
  """Reads and checks results.jsonl.

  Args:
    path: the file.

  Returns:
    Its rows, in order.

  Raises:
    SymtuneError: there is no file, or a row is damaged, has another schema version,
      contradicts itself, or occurs twice; names file, line and key.
  """
  collector = Collector(ResultRow)
  try:
    local_size(path, _MAX_BYTES)
    with path.open("rb") as file:
      numbered = enumerate(file, start=1)
      while block := list(itertools.islice(numbered, _BLOCK)):
        collector.add([_parse(line, path, number) for number, line in block])
  except FileNotFoundError as error:
    raise SymtuneError(
      f"no results at {path}. Probe a checkpoint first: symtune run or symtune probe."
    ) from error
  except MistypedValue as error:
    raise _bad_row(path, error.row, error.problem) from error
  results = Results(collector.columns())
  if len(results):
    _check(path, results)
  return results


def _check(path: pathlib.Path, results: Results) -> None:
  found = find_problem(results)
  if found is not None:
    raise _bad_row(path, *found)
  repeated = find_repeated(results)
  if repeated is not None:
    first, again = repeated
    raise SymtuneError(
      f"{path}, line {again + 1}: got the question of line {first + 1} again, expected "
      f"each question once per checkpoint. Remove one of the lines."
    )


def _bad_row(path: pathlib.Path, row: int, problem: str) -> SymtuneError:
  return SymtuneError(
    f"{path}, line {row + 1}: {problem}. Probe again, into another folder."
  )


def _tail(head: bytes) -> bytes:
  """How a line goes on that begins with `head`."""
  return b', "%s": "%08x"}' % (CHECKSUM.encode("ascii"), zlib.crc32(head))


_TAIL_LENGTH = len(_tail(b""))
_TORN = (
  "incomplete, as a killed run leaves it. Run the probe again; it removes an "
  "incomplete last line by itself and asks its question."
)


def _parse(line: bytes, path: pathlib.Path, number: int) -> tuple[Any, ...]:
  body = line.removesuffix(b"\n")
  try:
    if _tail(body[:-_TAIL_LENGTH]) == body[-_TAIL_LENGTH:]:
      values = _loads(body)
      row = _values_of(values)
      if len(row) + 1 == len(values) and row[0] == SCHEMA_VERSION:
        return row
  except (ValueError, KeyError, RecursionError):
    pass  # described below
  damage = _describe_damage(body) if body != line else _TORN
  raise SymtuneError(f"{path}, line {number}: {damage}")


def _loads(body: bytes) -> Any:
  try:
    return orjson.loads(body)  # three times as fast as json
  except ValueError:  # json reads NaN too, which the checks of values then name
    return json.loads(body.decode("utf-8"))


def _describe_damage(body: bytes) -> str:
  """What is wrong with a line that is not as `to_json` writes it."""
  try:
    values = json.loads(body.decode("utf-8"))
  except (ValueError, RecursionError) as error:
    return (
      f"malformed JSON ({error}). Restore the line, or remove the file and probe "
      f"again; cached answers are not computed twice."
    )
  if not isinstance(values, dict):
    return f"got {type(values).__name__}, expected an object."
  version = values.get("schema_version")
  if version != SCHEMA_VERSION and _is_whole(body, values):
    return (
      f"got schema_version {version!r}, expected {SCHEMA_VERSION}. Read the file with "
      f"the release of symtune that wrote it."
    )
  if CHECKSUM in values and not _is_whole(body, values):
    return (
      f"got {CHECKSUM} {values[CHECKSUM]!r}, which is not the line's: it was changed "
      f"after it was written. Restore it, or remove the file and probe again; cached "
      f"answers are not computed twice."
    )
  missing = [name for name in (*_FIELDS, CHECKSUM) if name not in values]
  unknown = [name for name in values if name not in (*_FIELDS, CHECKSUM)]
  return (
    f"missing keys {missing}, unknown keys {unknown}, expected exactly those of schema "
    f"version {SCHEMA_VERSION}."
  )


def _is_whole(body: bytes, values: dict[str, Any]) -> bool:
  """Whether the line fits its checksum; the first versions have none."""
  if CHECKSUM not in values and isinstance(values.get("schema_version"), int):
    return values["schema_version"] < _FIRST_WITH_CHECKSUM
  return _tail(body[:-_TAIL_LENGTH]) == body[-_TAIL_LENGTH:]
