"""Checks of result rows in columns: what no probe would have written is named."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from symtune.probe.columns import MISSING, Lists, Words
from symtune.probe.made import FIXED_RULES
from symtune.probe.probe import AnswerKind

QUESTION = ("probe", "setting", "task", "seed", "query")
_CHECKPOINT = ("checkpoint", "step")
# The same in all rows of one checkpoint.
_OF_THE_MODEL = ("identity", "parameters", "family", "dtype")
_SCORES = ("log_likelihoods", "tokens")
_PRIORS = ("null_log_likelihoods", "content_free_log_prior", "domain_log_prior")


@runtime_checkable
class RowColumns(Protocol):
  """The fields of result rows, one array or column each (`results.Results`)."""

  def numbers(self, name: str) -> np.ndarray:
    """A field that is a number."""
    ...

  def words(self, name: str) -> Words:
    """A field that is a text or a tuple of texts."""
    ...

  def lists(self, name: str) -> Lists:
    """A field that is a tuple of numbers."""
    ...

  def __getitem__(self, index: int, /) -> Any:
    """One row."""
    ...


# The key of a row that is wrong, a mask of the rows, and what was expected.
_Check = tuple[str, np.ndarray, Callable[[Any], str]]


def find_problem(rows: RowColumns) -> tuple[int, str] | None:
  """The first row that contradicts itself, and what is wrong; None if none does.

  Args:
    rows: at least one row, with lists one after another as they were read.
  """
  for checks in (_sizes, _indices, _numbers, _answers, _models, _groups):
    for key, is_bad, expected in checks(rows):
      if is_bad.any():
        place = int(np.argmax(is_bad))
        row = rows[place]
        return place, f"key {key}: got {getattr(row, key)!r}, expected {expected(row)}"
  return None


def find_repeated(rows: RowColumns) -> tuple[int, int] | None:
  """Two rows with one checkpoint's answer to the same question; None if there are none.

  Returns:
    The numbers of the first and the second row.
  """
  names = (*_CHECKPOINT, *QUESTION)
  keys = [_codes(rows, name) for name in names]
  order = np.lexsort(keys)
  equal = np.ones(len(order) - 1, bool)
  for key in keys:
    equal &= key[order[1:]] == key[order[:-1]]
  if not equal.any():
    return None
  place = int(np.argmin(np.where(equal, order[1:], len(order))))
  return int(order[place]), int(order[place + 1])


def _codes(rows: RowColumns, name: str) -> np.ndarray:
  if name in ("step", "seed", "query", "parameters"):
    return rows.numbers(name)
  return rows.words(name).codes


def _sizes(rows: RowColumns) -> Iterator[_Check]:
  kinds = {str(kind) for kind in AnswerKind}
  is_known = rows.words("kind").mapped(lambda kind: kind in kinds)
  yield "kind", ~is_known, lambda row: " or ".join(sorted(kinds))
  count = rows.numbers("num_classes")
  yield "num_classes", count < 1, lambda row: "1 or more"
  choices = rows.words("choices")
  yield (
    "choices",
    choices.mapped(len) != count,
    lambda row: f"as many as num_classes, {row.num_classes}",
  )
  is_repeated = choices.mapped(lambda words: len(set(words)) < len(words))
  yield "choices", is_repeated, lambda row: "each choice once"
  rules = rows.words("references").mapped(len)
  wrong = (rules != 0) & ((rules != len(FIXED_RULES)) | (count != 1))
  yield "references", wrong, lambda row: f"none, or {len(FIXED_RULES)} without choices"
  ranked = _is_ranked(rows)
  for name in _SCORES:
    wrong = rows.lists(name).counts != np.where(ranked, count, 0)
    yield name, wrong, lambda row: _as_many(row, "one per choice")
  for name in _PRIORS:
    counts = rows.lists(name).counts
    wrong = (counts != 0) & ((counts != count) | ~ranked)
    yield name, wrong, lambda row: _as_many(row, "one per choice or none")


def _as_many(row: Any, ranked: str) -> str:
  if row.kind == AnswerKind.RANK:
    return f"{ranked}, of {row.num_classes}"
  return "none, as the answer was generated"


def _indices(rows: RowColumns) -> Iterator[_Check]:
  count = rows.numbers("num_classes")
  for name in ("label", "context", "prior", "prediction"):
    index = rows.numbers(name)
    wrong = (index >= count) | (index < (0 if name == "label" else MISSING))
    yield name, wrong, lambda row: f"the index of one of {row.num_classes} choices"


def _numbers(rows: RowColumns) -> Iterator[_Check]:
  for name in ("step", "query", "exemplars", "exemplars_asked", "prompt_hash"):
    yield name, rows.numbers(name) < 0, lambda row: "0 or more"
  more = rows.numbers("exemplars") > rows.numbers("exemplars_asked")
  yield "exemplars", more, lambda row: f"at most the {row.exemplars_asked} asked for"
  chance = rows.numbers("chance")
  yield "chance", ~((chance >= 0.0) & (chance <= 1.0)), lambda row: "0 to 1"
  for name in ("log_likelihoods", *_PRIORS):
    wrong = _any_item(rows.lists(name), ~np.isfinite(rows.lists(name).items))
    yield name, wrong, lambda row: "finite numbers"
  few = _any_item(rows.lists("tokens"), rows.lists("tokens").items < 1)
  yield "tokens", few, lambda row: "1 or more each"


def _any_item(lists: Lists, is_bad: np.ndarray) -> np.ndarray:
  """The rows with any bad item."""
  owners = np.repeat(np.arange(len(lists.counts)), lists.counts)
  return np.bincount(owners[is_bad], minlength=len(lists.counts)) > 0


def _answers(rows: RowColumns) -> Iterator[_Check]:
  prediction = rows.numbers("prediction")
  wrong = rows.numbers("correct") != (prediction == rows.numbers("label"))
  yield (
    "correct",
    wrong,
    lambda row: (
      f"{not row.correct} for prediction {row.prediction} and label {row.label}"
    ),
  )
  ranked = np.flatnonzero(_is_ranked(rows))
  scores = rows.lists("log_likelihoods")
  likeliest = (
    np.maximum.reduceat(scores.items, scores.starts[ranked])
    if len(ranked)
    else np.zeros(0)
  )
  chosen = prediction[ranked]
  is_low = scores.items[scores.starts[ranked] + np.maximum(chosen, 0)] < likeliest
  wrong = np.zeros(len(prediction), bool)
  wrong[ranked] = (chosen == MISSING) | is_low
  yield "prediction", wrong, lambda row: f"the likeliest of {row.log_likelihoods}"


def _models(rows: RowColumns) -> Iterator[_Check]:
  """One name and step stand for one model."""
  pairs = np.stack([_codes(rows, name) for name in _CHECKPOINT], axis=1)
  firsts, group = np.unique(pairs, axis=0, return_index=True, return_inverse=True)[1:]
  first = firsts[group.reshape(-1)]
  for name in _OF_THE_MODEL:
    values = _codes(rows, name)
    yield (
      name,
      values != values[first],
      lambda row: f"the same in all rows of {row.checkpoint}, step {row.step}",
    )


def _groups(rows: RowColumns) -> Iterator[_Check]:
  """A task is in one group, whichever checkpoint answers."""
  probes, tasks, groups = (rows.words(name) for name in ("probe", "task", "group"))
  keys = probes.codes.astype(np.int64) * len(tasks.values) + tasks.codes
  firsts, place = np.unique(keys, return_index=True, return_inverse=True)[1:]
  yield (
    "group",
    groups.codes != groups.codes[firsts[place]],
    lambda row: f"the same in all rows of probe {row.probe}, task {row.task}",
  )


def _is_ranked(rows: RowColumns) -> np.ndarray:
  return rows.words("kind").mapped(lambda kind: kind == AnswerKind.RANK)
