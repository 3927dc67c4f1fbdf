"""The rows of results.jsonl: question, answer, and the run that they are from."""

import dataclasses
import json
import pathlib
from typing import Any

from symtune.bounded import parse_json, read_text
from symtune.checks import find_mistyped
from symtune.errors import SymtuneError

SCHEMA_VERSION = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultRow:
  """One answered question.

  Attributes:
    schema_version: version of this format.
    checkpoint: name of the checkpoint in tables, such as "before".
    step: training step of the checkpoint.
    identity: what answered: a hash of the weights and settings, or a baseline's name.
    parameters: number of parameters of the model; None for a scorer without any.
    dtype: type in which the model computed, such as "float32"; None for a scorer
      without a model.
    probe: name of the probe.
    setting: name of the setting inside the probe.
    task: name of the task.
    seed: seed of exemplars, format and symbols.
    query: row of the query in the task's file, or number of the generated question.
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
    exemplars: number of exemplars that the model saw.
    exemplars_asked: number of exemplars before the prompt was shortened to fit.
    config_hash: hash of settings, data and vocabulary.
    data_fingerprint: SHA-256 of the task's card and rows, and of the version of the
      draws.
    vocab_hash: hash of the vocabulary.
    git_commit: commit of symtune, or None.
  """

  schema_version: int
  checkpoint: str
  step: int
  identity: str
  parameters: int | None
  dtype: str | None
  probe: str
  setting: str
  task: str
  seed: int
  query: int
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
  exemplars: int
  exemplars_asked: int
  config_hash: str
  data_fingerprint: str
  vocab_hash: str
  git_commit: str | None

  @property
  def pair_key(self) -> tuple[str, str, str, int, int]:
    """The same for the same question to two checkpoints."""
    return (self.probe, self.setting, self.task, self.seed, self.query)


_MAX_BYTES = 20_000_000_000
_FIELDS = tuple(field.name for field in dataclasses.fields(ResultRow))


def to_json(row: ResultRow) -> str:
  """One line of JSON without a newline: sorted keys, floats with the fewest digits."""
  return json.dumps(dataclasses.asdict(row), sort_keys=True, ensure_ascii=False)


def read_results(path: pathlib.Path) -> list[ResultRow]:
  """Reads and checks results.jsonl.

  Args:
    path: the file.

  Returns:
    Its rows, in order.

  Raises:
    SymtuneError: there is no file, or a row is malformed, has another schema version,
      or occurs twice; names file and line.
  """
  try:
    text = read_text(path, _MAX_BYTES)
  except FileNotFoundError as error:
    raise SymtuneError(
      f"no results at {path}. Probe a checkpoint first: symtune run or symtune probe."
    ) from error
  if not text:
    return []
  rows: list[ResultRow] = []
  seen: dict[tuple[Any, ...], int] = {}
  # Not splitlines(): text may hold other characters that it takes for line ends.
  for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
    row = _parse(line, f"{path}, line {number}")
    key = (row.checkpoint, row.step, *row.pair_key)
    if key in seen:
      raise SymtuneError(
        f"{path}, line {number}: got the question of line {seen[key]} again, expected "
        f"each question once per checkpoint. Remove one of the lines."
      )
    seen[key] = number
    rows.append(row)
  return rows


def _parse(line: str, where: str) -> ResultRow:
  try:
    values = parse_json(line, allow_nan=True)
  except SymtuneError as error:
    raise SymtuneError(
      f"{where}: malformed JSON ({error}). Run the probe again; it removes an "
      f"incomplete last line by itself."
    ) from error
  if not isinstance(values, dict):
    raise SymtuneError(f"{where}: got {type(values).__name__}, expected an object.")
  version = values.get("schema_version")
  if version != SCHEMA_VERSION:
    raise SymtuneError(
      f"{where}: got schema_version {version!r}, expected {SCHEMA_VERSION}. Read the "
      f"file with the release of symtune that wrote it."
    )
  missing = [name for name in _FIELDS if name not in values]
  unknown = [name for name in values if name not in _FIELDS]
  if missing or unknown:
    raise SymtuneError(
      f"{where}: missing keys {missing}, unknown keys {unknown}, expected exactly "
      f"those of schema version {SCHEMA_VERSION}."
    )
  lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
  row = ResultRow(**{**values, **lists})
  problem = find_mistyped(row, ResultRow, "row") or _find_contradiction(row)
  if problem:
    raise SymtuneError(f"{where}: {problem}. Probe again, into another folder.")
  return row


def _find_contradiction(row: ResultRow) -> str | None:
  wanted = row.num_classes if row.kind == "rank" else 0
  sizes = (len(row.choices), len(row.log_likelihoods), len(row.tokens))
  if row.num_classes < 1 or sizes != (row.num_classes, wanted, wanted):
    return (
      f"got {sizes[0]} choices, {sizes[1]} log_likelihoods and {sizes[2]} tokens for "
      f"num_classes {row.num_classes} of kind {row.kind}, expected {row.num_classes}, "
      f"{wanted} and {wanted}"
    )
  if row.correct != (row.prediction == row.label):
    return (
      f"got correct {row.correct} with prediction {row.prediction} and label "
      f"{row.label}, which is a contradiction"
    )
  return None
