"""Rows of the stages -> numbers and tables: what was rejected, and what the data is."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64

from symtune.instruct.generate.models.server import ServerSettings
from symtune.instruct.generate.overlap import OverlapIndex, split_words
from symtune.instruct.generate.parse import parse_is_classification
from symtune.instruct.generate.rows import (
  ClassRow,
  InstanceRow,
  ProposalRow,
  SelectedRow,
)
from symtune.report.tables import Column, Table, show_percent

_MOST_WORDS = 20  # first words in the table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stages:
  """The rows of all stages.

  Attributes:
    proposals: requests for new instructions.
    classes: whether they are classification tasks.
    written: their instances.
    selected: what is kept of these.
  """

  proposals: Sequence[ProposalRow]
  classes: Sequence[ClassRow]
  written: Sequence[InstanceRow]
  selected: Sequence[SelectedRow]

  @property
  def data(self) -> list[SelectedRow]:
    """The instructions with an instance: what data.jsonl holds."""
    return [row for row in self.selected if row.kept]


def novelty(
  instructions: Sequence[str], seeds: Sequence[str]
) -> Float64[np.ndarray, " instructions"]:
  """1 minus the largest ROUGE-L of each instruction to any seed, 0 to 1."""
  index = OverlapIndex()
  for seed in seeds:
    index.add(seed)
  return np.asarray([1.0 - index.rouge_l(text).max() for text in instructions])


def first_words(instructions: Iterable[str]) -> list[tuple[str, int]]:
  """The first word of each instruction, the most frequent ones first.

  In most instructions this is the main verb: "Write", "Give". (The paper parses them.)
  """
  words = (split_words(text)[:1] or [""] for text in instructions)
  return collections.Counter(word for (word,) in words).most_common()


def funnel_table(stages: Stages) -> Table:
  """What each stage got, kept, and rejected by which rule."""
  candidates = [one for row in stages.proposals for one in row.candidates]
  answers = [parse_is_classification(row.text) for row in stages.classes]
  instances = sum(len(row.instances) for row in stages.written)
  kept = sum(len(row.kept) for row in stages.selected)
  empty = sum(not row.instances for row in stages.written)
  lines = [
    ("requests for instructions", len(stages.proposals)),
    ("candidates in their answers", len(candidates)),
    *_rejected(one.reason for one in candidates),
    ("new instructions", len(stages.classes)),
    (
      "... of these, classification tasks",
      sum(r.is_classification for r in stages.classes),
    ),
    ("... neither Yes nor No, taken as No", answers.count(None)),
    ("... no instance could be read", empty),
    ("instances in the answers", instances),
    *_rejected(one.reason for row in stages.selected for one in row.rejected),
    ("instances that are kept", kept),
    ("instructions with an instance", len(stages.data)),
  ]
  return Table(
    title="From requests to data",
    columns=(Column(title="what", is_number=False), Column(title="count")),
    rows=tuple((what, f"{count:,}") for what, count in lines),
  )


def data_table(stages: Stages, new: Float64[np.ndarray, " instructions"]) -> Table:
  """The numbers of the paper's table 1, and how new the instructions are.

  Args:
    stages: the rows of all stages.
    new: the novelty of each instruction of the data.
  """
  data = stages.data
  pairs = [one for row in data for one in row.kept]
  texts = [row.instruction for row in data]
  lines = [
    ("instructions", f"{len(data):,}"),
    ("... classification", f"{sum(row.is_classification for row in data):,}"),
    ("instances", f"{len(pairs):,}"),
    ("... without input", f"{sum(not one.input for one in pairs):,}"),
    ("words of an instruction, mean", _mean_words(texts)),
    ("words of an input, mean", _mean_words([p.input for p in pairs if p.input])),
    ("words of an output, mean", _mean_words([one.output for one in pairs])),
    ("different first words", f"{len(first_words(texts)):,}"),
    ("novelty: 1 - ROUGE-L to the nearest seed, mean", _mean(new)),
    ("... smallest", f"{new.min():.2f}" if len(new) else "-"),
  ]
  return Table(
    title="The data",
    columns=(Column(title="what", is_number=False), Column(title="value")),
    rows=tuple(lines),
  )


def word_table(stages: Stages) -> Table:
  """The most frequent first words of instructions."""
  texts = [row.instruction for row in stages.data]
  return Table(
    title="First words of the instructions",
    columns=(
      Column(title="word", is_number=False),
      Column(title="instructions"),
      Column(title="share in %"),
    ),
    rows=tuple(
      (word, f"{count:,}", show_percent(count / len(texts)))
      for word, count in first_words(texts)[:_MOST_WORDS]
    ),
  )


def cost_table(stages: Stages, server: ServerSettings) -> Table:
  """Tokens that the generator read and wrote, and their price."""
  parts = [
    ("instructions", stages.proposals),
    ("classification", stages.classes),
    ("instances", stages.written),
  ]
  counts = [
    (what, len(rows), sum(r.prompt_tokens for r in rows), sum(r.tokens for r in rows))
    for what, rows in parts
  ]
  totals = [sum(line[place] for line in counts) for place in (1, 2, 3)]
  counts.append(("all", totals[0], totals[1], totals[2]))
  return Table(
    title="What the generator was asked",
    columns=(
      Column(title="stage", is_number=False),
      Column(title="rows"),
      Column(title="tokens read"),
      Column(title="tokens written"),
      Column(title="price"),
    ),
    rows=tuple(
      (what, f"{rows:,}", f"{read:,}", f"{made:,}", _price(server, read, made))
      for what, rows, read, made in counts
    ),
  )


def _price(server: ServerSettings, read: int, written: int) -> str:
  is_free = not (server.price_read or server.price_written)
  return "-" if is_free else f"{server.cost(read, written):.4f}"


def _rejected(reasons: Iterable[str | None]) -> list[tuple[str, int]]:
  """A line for each reason that occurs, the most frequent ones first."""
  counts = collections.Counter(reason for reason in reasons if reason is not None)
  return [(f"... rejected: {reason}", count) for reason, count in counts.most_common()]


def _mean_words(texts: Sequence[str]) -> str:
  return _mean([len(text.split()) for text in texts], digits=1)


def _mean(values: Sequence[float] | np.ndarray, digits: int = 2) -> str:
  return f"{np.mean(values):.{digits}f}" if len(values) else "-"
