"""New instructions -> classification or not -> instances -> what is kept of them.

Each stage is a file that grows by groups of instructions, asked together. The group of
a line that is missing is asked again as a whole, so that its batches are the same.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from symtune.files import write_whole
from symtune.instruct.generate.filters import Instance, judge_instances
from symtune.instruct.generate.generators import (
  Completion,
  Ended,
  Sampling,
)
from symtune.instruct.generate.parse import (
  parse_field,
  parse_input_first,
  parse_is_classification,
  parse_output_first,
)
from symtune.instruct.generate.propose import Workplace, seed_of
from symtune.instruct.generate.rows import (
  ClassRow,
  InstanceRow,
  Log,
  Rejected,
  SelectedRow,
)
from symtune.instruct.generate.settings import SelfInstructRecipe
from symtune.progress import Progress

CLASSES_FILE = "2_classes.jsonl"
INSTANCES_FILE = "3_instances.jsonl"
SELECTED_FILE = "4_selected.jsonl"
DATA_FILE = "data.jsonl"


def classify(work: Workplace, instructions: Sequence[str]) -> list[ClassRow]:
  """Asks of each instruction whether it is a classification task.

  Raises:
    SymtuneError: the file is damaged, or the generator fails.
  """

  def ask(start: int, group: Sequence[str]) -> list[ClassRow]:
    prompts = [work.templates.fill("classify", instruction=text) for text in group]
    seed = seed_of(work.recipe, "classify", start)
    answers = work.generator.complete(prompts, work.recipe.classify, seed)
    return [
      ClassRow(
        number=start + place,
        instruction=text,
        text=answer.text,
        is_classification=parse_is_classification(answer.text) is True,
        prompt_tokens=answer.prompt_tokens,
        tokens=answer.tokens,
      )
      for place, (text, answer) in enumerate(zip(group, answers, strict=True))
    ]

  log = Log(work.folder / CLASSES_FILE, ClassRow)
  names = list(enumerate(instructions))
  return _ask_all(work, log, "classifying", instructions, names, ask)


def write_instances(work: Workplace, classes: Sequence[ClassRow]) -> list[InstanceRow]:
  """Asks for the instances of each instruction, of classification tasks last.

  Raises:
    SymtuneError: the file is damaged, or the generator fails.
  """

  def ask(start: int, group: Sequence[ClassRow]) -> list[InstanceRow]:
    found: dict[int, InstanceRow] = {}
    for is_label_first in (False, True):
      rows = [row for row in group if row.is_classification is is_label_first]
      if rows:
        way = _ask_whole if work.generator.writes_lines else _ask_fields
        seed = seed_of(work.recipe, f"instances {is_label_first}", start)
        answers = way(work, [r.instruction for r in rows], is_label_first, seed)
        found |= {
          row.number: _instance_row(row, *answer)
          for row, answer in zip(rows, answers, strict=True)
        }
    return [found[row.number] for row in group]

  log = Log(work.folder / INSTANCES_FILE, InstanceRow)
  ordered = sorted(classes, key=lambda row: row.is_classification)
  names = [(row.number, row.instruction) for row in ordered]
  return _ask_all(work, log, "writing instances", ordered, names, ask)


def select(
  work: Workplace, classes: Sequence[ClassRow], written: Sequence[InstanceRow]
) -> list[SelectedRow]:
  """Judges all instances, and writes those that are kept into data.jsonl.

  Raises:
    SymtuneError: the file is damaged.
  """
  by_number = {row.number: row for row in written}
  rows = [
    _select(work.recipe, row, by_number[row.number])
    for row in sorted(classes, key=lambda row: row.number)
  ]
  log = Log(work.folder / SELECTED_FILE, SelectedRow)
  for place, row in enumerate(log.rows):
    if place >= len(rows) or row != rows[place]:
      raise log.damage(place, "what the stages before say")
  log.append(rows[len(log.rows) :])
  lines = [
    json.dumps(_task(row), ensure_ascii=False) + "\n" for row in rows if row.kept
  ]
  write_whole(work.folder / DATA_FILE, "".join(lines))
  return rows


def _task(row: SelectedRow) -> dict[str, Any]:
  """A task in the layout of Self-Instruct's own data."""
  return {
    "id": f"new_{row.number}",
    "instruction": row.instruction,
    "is_classification": row.is_classification,
    "instances": [dataclasses.asdict(instance) for instance in row.kept],
  }


def _select(
  recipe: SelfInstructRecipe, row: ClassRow, written: InstanceRow
) -> SelectedRow:
  reasons = judge_instances(
    written.instances,
    is_truncated=written.ended == Ended.LENGTH,
    most=recipe.instances,
  )
  pairs = list(zip(written.instances, reasons, strict=True))
  return SelectedRow(
    number=row.number,
    instruction=row.instruction,
    is_classification=row.is_classification,
    kept=tuple(one for one, reason in pairs if reason is None),
    rejected=tuple(
      Rejected(input=one.input, output=one.output, reason=reason.value)
      for one, reason in pairs
      if reason is not None
    ),
  )


def _ask_all(
  work: Workplace,
  log: Log[Any],
  what: str,
  items: Sequence[Any],
  names: Sequence[tuple[int, str]],
  ask: Callable[[int, Sequence[Any]], list[Any]],
) -> list[Any]:
  """Asks all items, group by group, and returns the rows of the file.

  Args:
    work: what all stages work with.
    log: the file.
    what: what is done, for the progress.
    items: what is asked.
    names: number and instruction of each item's row.
    ask: (number of the first item, items of a group) -> their rows.
  """
  for place, row in enumerate(log.rows):
    if place >= len(names) or (row.number, row.instruction) != names[place]:
      raise log.damage(place, "the instructions of the stage before, in their order")
  size = work.recipe.requests
  with Progress(
    what, len(items), unit="instructions", console=work.console
  ) as progress:
    progress.skip(len(log.rows))
    for start in range(0, len(items), size):
      group = items[start : start + size]
      known = len(log.rows) - start
      if known < len(group):
        rows = ask(start, group)
        log.append(rows[known:])
        progress.advance(len(group) - known)
  return log.rows


# The texts that were written for an instruction, and the instances in them.
_Answer = tuple[list[Completion], list[Instance]]


def _ask_whole(
  work: Workplace, instructions: Sequence[str], is_label_first: bool, seed: int
) -> list[_Answer]:
  """All instances of an instruction in one text."""
  name, parse = "input_first", parse_input_first
  if is_label_first:
    name, parse = "output_first", parse_output_first
  prompts = [work.templates.fill(name, instruction=text) for text in instructions]
  sampling = _sampling(work.recipe, is_label_first)
  answers = work.generator.complete(prompts, sampling, seed)
  return [([answer], parse(answer.text)) for answer in answers]


def _ask_fields(
  work: Workplace, instructions: Sequence[str], is_label_first: bool, seed: int
) -> list[_Answer]:
  """One instance of an instruction, whose fields are asked for one after the other."""
  fill, sampling = work.templates.fill, _sampling(work.recipe, is_label_first)
  name = "one_label" if is_label_first else "one_input"
  prompts = [fill(name, instruction=text) for text in instructions]
  firsts = work.generator.complete(prompts, sampling, seed)
  fields = [parse_field(first.text) for first in firsts]
  asked = zip(instructions, fields, strict=True)
  if is_label_first:
    prompts = [fill("one_labelled_input", instruction=t, label=x) for t, x in asked]
  else:
    prompts = [fill("one_output", instruction=t, input=x or "none") for t, x in asked]
  seconds = work.generator.complete(prompts, sampling, (seed + 1) % 2**31)
  answers: list[_Answer] = []
  for first, second, field in zip(firsts, seconds, fields, strict=True):
    other = parse_field(second.text)
    given, output = (other, field) if is_label_first else (field, other)
    answers.append(([first, second], [Instance(input=given, output=output)]))
  return answers


def _sampling(recipe: SelfInstructRecipe, is_label_first: bool) -> Sampling:
  return recipe.output_first if is_label_first else recipe.input_first


def _instance_row(
  row: ClassRow, texts: Sequence[Completion], instances: Sequence[Instance]
) -> InstanceRow:
  is_cut = any(text.ended is Ended.LENGTH for text in texts)
  return InstanceRow(
    number=row.number,
    instruction=row.instruction,
    texts=tuple(text.text for text in texts),
    ended=(Ended.LENGTH if is_cut else texts[-1].ended).value,
    instances=tuple(instances),
    prompt_tokens=sum(text.prompt_tokens for text in texts),
    tokens=sum(text.tokens for text in texts),
  )
