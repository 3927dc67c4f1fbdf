"""Instruction data -> InstructionTasks: pairs, Super-NI, Alpaca and similar data.

Four public forms of local files are read:

  pairs          one per line: {"inputs": ..., "targets": ...}, as in Flan
  alpaca         a list or one per line: {"instruction", "input", "output"}
  self_instruct  one per line: {"instruction": ..., "instances": [{"input", "output"}]}
  super_ni       one task per file: Definition, Positive/Negative Examples, Instances

A row without an instruction, an instance or an output cannot be learned from. It is an
error that names file and line, unless such rows are to be left out and counted. The
input `<noinput>`, as Alpaca's and Self-Instruct's raw files write it, is an empty one.
"""

import codecs
import dataclasses
import enum
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from symtune.bounded import parse_json, read_bytes, split_lines
from symtune.data.text.task_files import find_files
from symtune.errors import SymtuneError

_MAX_FILE_BYTES = 4_000_000_000
_NO_INPUT = "<noinput>"


class InstructionForm(enum.StrEnum):
  """How a file of instruction data is laid out."""

  PAIRS = "pairs"
  ALPACA = "alpaca"
  SELF_INSTRUCT = "self_instruct"
  SUPER_NI = "super_ni"


class Encoding(enum.StrEnum):
  """What a prompt shows besides the instance; `instruction_prompts.py` has texts."""

  DEFINITION = "definition"  # the definition only
  POSITIVE = "positive"  # and two examples of right answers
  NEGATIVE = "negative"  # and two examples of wrong answers
  EXPLAINED = "explained"  # the definition, and two right answers with explanations
  EXAMPLES = "examples"  # two examples of right answers only
  ALPACA = "alpaca"  # the templates of Stanford Alpaca
  SELF_INSTRUCT = "self_instruct"  # "Task: ...", "Input: ...", "Output:"
  PLAIN = "plain"  # the input of a pair, which is a whole prompt
  STEP_BY_STEP = "step_by_step"  # the data's own, then "Let's think step by step."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
  """An example in the description of a Super-NI task; `explanation` may be empty."""

  input: str
  output: str
  explanation: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstructionRow:
  """One row.

  Attributes:
    instruction: what to do; empty for pairs, whose input includes it.
    input: what to do it with; may be empty.
    outputs: right answers, one of which is drawn as the target.
  """

  instruction: str
  input: str
  outputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstructionTask:
  """A file of instruction data.

  Attributes:
    name: stem of the file.
    form: layout of the file.
    rows: the rows, in file order.
    positive: examples of right answers (Super-NI).
    negative: examples of wrong answers (Super-NI).
    category: what kind of task it is: the first of `Categories` (Super-NI), or "".
    fingerprint: SHA-256 of the form and the file.
    left_out: number of rows left out for lack of an instruction or output.
  """

  name: str
  form: InstructionForm
  rows: tuple[InstructionRow, ...]
  positive: tuple[Shown, ...] = ()
  negative: tuple[Shown, ...] = ()
  category: str = ""
  fingerprint: str
  left_out: int = 0


def read_instructions(
  path: str | os.PathLike[str],
  form: InstructionForm,
  *,
  listed: str | os.PathLike[str] | None = None,
  instances: int | None = None,
  leave_out: bool = False,
) -> tuple[InstructionTask, ...]:
  """Reads a file, or `.json` and `.jsonl` files of a folder.

  Args:
    path: the file or folder.
    form: layout of the files.
    listed: a list of the folder's tasks to read, in this order
      (`task_files.read_names`); None reads all, sorted by name.
    instances: most rows of a task, the first ones; None keeps all.
    leave_out: leave out and count rows without instruction or output.

  Returns:
    One task per file.

  Raises:
    SymtuneError: nothing is there, a listed task is missing, or a file has the wrong
      form; names file and line.
  """
  tasks = [_read_file(file, form, leave_out) for file in find_files(path, listed)]
  return tuple(dataclasses.replace(t, rows=t.rows[:instances]) for t in tasks)


def _read_file(
  path: epath.Path, form: InstructionForm, leave_out: bool
) -> InstructionTask:
  content = read_bytes(path, _MAX_FILE_BYTES).removeprefix(codecs.BOM_UTF8)
  rows: list[InstructionRow] = []
  left_out = 0
  positive, negative, category = (), (), ""
  if form is InstructionForm.SUPER_NI:
    task = _object(parse_json(content, f"{path}"), f"{path}")
    found = _super_ni_rows(task, f"{path}")
    positive = _shown(task, "Positive Examples", f"{path}")
    negative = _shown(task, "Negative Examples", f"{path}")
    category = _category(task, f"{path}")
  else:
    found = _line_rows(content, path, form)
  for where, row in found:
    whole = row.outputs and all(text.strip() for text in row.outputs)
    if whole and (row.instruction.strip() or row.input.strip()):
      rows.append(row)
    elif leave_out:
      left_out += 1
    else:
      raise SymtuneError(
        f"{where}: no instruction or no output; complete or remove the row, or have "
        f"such rows left out and counted: Instructions.leave_out = True in a recipe, "
        f"--leave-out on the command line."
      )
  if not rows:
    raise SymtuneError(f"{path}: got no row with instruction and output.")
  digest = hashlib.sha256(f"{form}\n".encode() + content).hexdigest()
  return InstructionTask(
    name=path.stem,
    form=form,
    rows=tuple(rows),
    positive=positive,
    negative=negative,
    category=category,
    fingerprint=digest,
    left_out=left_out,
  )


def _line_rows(
  content: bytes, path: epath.Path, form: InstructionForm
) -> Iterator[tuple[str, InstructionRow]]:
  """Pairs (place, row) of a file with a JSON object per line or a list of objects."""
  if content.lstrip()[:1] == b"[":
    items = parse_json(content, f"{path}")
    places = [(f"{path}, item {i + 1}", item) for i, item in enumerate(items)]
  else:
    lines = split_lines(content)
    places = [
      (where := f"{path}, line {i + 1}", parse_json(line, where))
      for i, line in enumerate(lines if lines[-1] else lines[:-1])
    ]
  for where, item in places:
    values = _object(item, where)
    if form is InstructionForm.PAIRS:
      yield (
        where,
        InstructionRow(
          instruction="",
          input=_text(values, "inputs", where),
          outputs=(_text(values, "targets", where),),
        ),
      )
      continue
    instruction = _text(values, "instruction", where)
    instances = [values]
    if form is InstructionForm.SELF_INSTRUCT and "instances" in values:
      # Without an instance there is no output: named, or left out and counted.
      instances = _list(values, "instances", where) or [{"input": "", "output": ""}]
    for instance in instances:
      instance = _object(instance, where)
      yield (
        where,
        InstructionRow(
          instruction=instruction,
          input=_given(instance, where),
          outputs=(_text(instance, "output", where),),
        ),
      )


def _super_ni_rows(
  task: Mapping[str, Any], where: str
) -> Iterator[tuple[str, InstructionRow]]:
  definition = task.get("Definition")
  if isinstance(definition, list):  # newer files hold a list of one text
    definition = "\n".join(str(part) for part in definition)
  if not isinstance(definition, str):
    raise SymtuneError(f"{where}: key 'Definition' is missing; is it a Super-NI task?")
  for i, instance in enumerate(_list(task, "Instances", where)):
    place = f"{where}, instance {i + 1}"
    instance = _object(instance, place)
    outputs = instance.get("output")
    outputs = [outputs] if isinstance(outputs, str) else outputs
    if not isinstance(outputs, list) or not all(isinstance(o, str) for o in outputs):
      raise SymtuneError(
        f"{place}: key 'output': got {json.dumps(outputs)[:60]}, expected text or a "
        f"list of texts. Write numbers in quotes."
      )
    yield (
      place,
      InstructionRow(
        instruction=definition,
        input=_given(instance, place),
        outputs=tuple(outputs),
      ),
    )


def _category(task: Mapping[str, Any], where: str) -> str:
  """The first category, as the published evaluation groups tasks; "" without any."""
  given = task.get("Categories") or [""]
  first = given[0] if isinstance(given, list) else given
  if not isinstance(first, str):
    raise SymtuneError(f"{where}: key 'Categories': got {first!r:.40}, expected text.")
  return first


def _shown(task: Mapping[str, Any], key: str, where: str) -> tuple[Shown, ...]:
  if key not in task:
    return ()
  shown = []
  for i, item in enumerate(_list(task, key, where)):
    place = f"{where}, {key} {i + 1}"
    item = _object(item, place)
    output, explanation = item.get("output"), item.get("explanation") or ""
    if isinstance(output, list) and output:
      output = output[0]
    if not isinstance(output, str) or not isinstance(explanation, str):
      raise SymtuneError(
        f"{place}: got output {output!r:.40} and explanation {explanation!r:.40}, "
        f"expected text; complete the example or remove it."
      )
    shown.append(
      Shown(input=_text(item, "input", place), output=output, explanation=explanation)
    )
  return tuple(shown)


def _object(value: Any, where: str) -> Mapping[str, Any]:
  if not isinstance(value, dict):
    raise SymtuneError(f"{where}: got {type(value).__name__}, expected a JSON object.")
  return value


def _list(values: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
  value = values.get(key)
  if not isinstance(value, list):
    raise SymtuneError(f"{where}: key {key!r}: expected a list.")
  return value


def _given(values: Mapping[str, Any], where: str) -> str:
  text = _text(values, "input", where)
  return "" if text.strip().casefold() == _NO_INPUT else text


def _text(values: Mapping[str, Any], key: str, where: str) -> str:
  """The text under a key; null is no text."""
  if key not in values:
    raise SymtuneError(
      f"{where}: key {key!r} is missing; the object has "
      f"{', '.join(values) or 'no keys'}."
    )
  value = values[key]
  if value is None:
    return ""
  if not isinstance(value, str):
    kind = "a list" if isinstance(value, list) else type(value).__name__
    raise SymtuneError(
      f"{where}: key {key!r}: got {kind}, {json.dumps(value)[:60]}, expected one text. "
      f"Write it in quotes; several right answers need several rows."
    )
  return value
