"""Stages -> report.md, report.html and report.png, with samples of the data."""

import functools
from collections.abc import Sequence

import numpy as np

from symtune.instruct.generate.figure import draw_data
from symtune.instruct.generate.propose import Workplace
from symtune.instruct.generate.statistics import (
  Stages,
  cost_table,
  data_table,
  funnel_table,
  novelty,
  word_table,
)
from symtune.report.lab.content import Content, Drawing, Section, of_table
from symtune.report.lab.page import write_content
from symtune.report.tables import Column, Table

STEM = "report"
_SHOWN = 24  # rows of the tables of samples
_LONGEST_TEXT = 240  # characters of a text in a table


def write_report(work: Workplace, stages: Stages) -> Content:
  """Writes the report into the folder of the run.

  Args:
    work: the recipe, its seeds and its generator.
    stages: the rows of all stages.

  Returns:
    What the report says.

  Raises:
    SymtuneError: the disk is full.
  """
  texts = [row.instruction for row in stages.data]
  new = novelty(texts, work.seeds.instructions)
  headlines = (funnel_table(stages), data_table(stages, new))
  sections = [of_table(table) for table in headlines]
  if stages.data:
    drawing = Drawing(
      file=f"{STEM}.png",
      alt="First words, lengths and novelty of the instructions",
      draw=functools.partial(draw_data, stages, new),
    )
    sections.append(Section(parts=(drawing,)))
    sections.append(of_table(_sample_table(stages)))
  sections.append(of_table(_rejected_table(stages)))
  if stages.data:
    sections.append(of_table(word_table(stages)))
  sections.append(of_table(cost_table(stages, work.recipe.server)))
  content = Content(
    title="Self-Instruct",
    remarks=tuple(f"{remark}\n" for remark in _remarks(work, stages)),
    sections=tuple(sections),
    results=None,
    headlines=headlines,
  )
  write_content(work.folder / STEM, content)
  return content


def _remarks(work: Workplace, stages: Stages) -> list[str]:
  """What a reader has to know before the tables."""
  recipe, found, seeds = work.recipe, len(stages.classes), work.seeds.instructions
  remarks = [
    f"Written by {work.generator.name} after {len(seeds)} seed tasks, which are not in "
    "the data. The rules find texts that are malformed or alike; whether an output "
    "is right, no rule knows: read the samples."
  ]
  if found < recipe.instructions:
    remarks.append(
      f"{found} of {recipe.instructions} instructions were found: the last "
      f"{recipe.patience} requests brought none."
    )
  if not work.generator.writes_lines:
    remarks.append(
      "The generator writes no line breaks, so it was asked for one instruction, and "
      "for one field of one instance, at a time."
    )
  return remarks


def _sample_table(stages: Stages) -> Table:
  """Some instructions with their first instance, evenly spread."""
  rows = [
    (
      row.instruction,
      "yes" if row.is_classification else "no",
      row.kept[0].input,
      row.kept[0].output,
    )
    for row in _spread(stages.data)
  ]
  titles = ("instruction", "classification", "input", "output")
  return _text_table("Samples: the first instance of some instructions", titles, rows)


def _rejected_table(stages: Stages) -> Table:
  """Some rejected instructions, evenly spread."""
  candidates = [one for row in stages.proposals for one in row.candidates]
  rows = [
    (
      one.instruction,
      one.reason or "",
      "" if one.rouge_l is None else f"{one.rouge_l:.2f}",
      one.nearest or "",
    )
    for one in _spread([one for one in candidates if one.reason is not None])
  ]
  titles = ("instruction", "rejected", "ROUGE-L", "to this instruction")
  return _text_table("Samples: instructions that were rejected", titles, rows)


def _spread(rows: Sequence) -> list:
  count = min(_SHOWN, len(rows))
  places = np.linspace(0, len(rows) - 1, count).round().astype(int)
  return [rows[place] for place in places]


def _text_table(
  title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]
) -> Table:
  return Table(
    title=title,
    columns=tuple(Column(title=one, is_number=False) for one in titles),
    rows=tuple(tuple(_short(cell) for cell in row) for row in rows),
  )


def _short(text: str) -> str:
  """The beginning of a text, in one line."""
  line = " ".join(text.split())
  return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}…"
