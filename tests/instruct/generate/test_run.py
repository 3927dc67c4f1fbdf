"""All stages together, with a writer that needs no network."""

import contextlib
import dataclasses
import json
import pathlib

import pytest
import rich.console

from symtune.data.text.instructions import InstructionForm, read_instructions
from symtune.errors import SymtuneError
from symtune.instruct.generate.filters import Reason
from symtune.instruct.generate.models.server import ServerSettings
from symtune.instruct.generate.overlap import OverlapIndex
from symtune.instruct.generate.propose import FILE as PROPOSALS
from symtune.instruct.generate.propose import Workplace
from symtune.instruct.generate.rows import (
  ClassRow,
  InstanceRow,
  Log,
  ProposalRow,
  SelectedRow,
)
from symtune.instruct.generate.run import run_self_instruct, run_stages
from symtune.instruct.generate.seeds import read_seeds
from symtune.instruct.generate.stages import (
  CLASSES_FILE,
  DATA_FILE,
  INSTANCES_FILE,
  SELECTED_FILE,
)
from symtune.instruct.generate.templates import read_templates

FILES = (PROPOSALS, CLASSES_FILE, INSTANCES_FILE, SELECTED_FILE, DATA_FILE)
_QUIET = rich.console.Console(quiet=True)
_KINDS = (ProposalRow, ClassRow, InstanceRow, SelectedRow)


def _run(recipe, writer, out):
  """All stages without the report, whose figure takes the longest."""
  out.mkdir(exist_ok=True)
  work = Workplace(
    recipe=recipe,
    seeds=read_seeds(
      pathlib.Path(recipe.seeds), classification_only=recipe.classification_only
    ),
    templates=read_templates(),
    generator=writer,
    folder=out,
    console=_QUIET,
  )
  return run_stages(work)


def _report(recipe, writer, out):
  run_self_instruct(recipe, out, _QUIET, generator=writer)
  return (out / "report.md").read_text()


def _bytes(out):
  return {name: (out / name).read_bytes() for name in FILES}


@pytest.fixture
def whole(recipe, writer, tmp_path):
  """The folder of an uninterrupted run."""
  out = tmp_path / "whole"
  _run(recipe, writer, out)
  return out


@pytest.fixture
def rows(whole):
  return [Log(whole / n, k).rows for n, k in zip(FILES, _KINDS, strict=False)]


def test_as_many_instructions_as_were_asked_for(rows):
  proposals, classes, written, selected = rows
  kept = [c.instruction for r in proposals for c in r.candidates if not c.reason]
  assert len(kept) == len(set(kept)) == 12
  assert [row.instruction for row in classes] == kept
  assert [row.instruction for row in selected] == kept
  # Classification tasks are asked last, and everything keeps its number.
  asked = [classes[row.number].is_classification for row in written]
  assert asked == sorted(asked)
  assert any(asked)
  assert not all(asked)
  assert all(row.instruction == kept[row.number] for row in written)


def test_prompts_mix_seeds_with_new_instructions(rows, writer):
  first, later = rows[0][0], rows[0][-1]
  assert len(first.shown) == len(later.shown) == 8
  assert all(text.startswith("Seed") for text in first.shown)
  assert sum(not text.startswith("Seed") for text in later.shown) == 2
  lines = [f"{i}. {text}" for i, text in enumerate(first.shown, 1)]
  head = "Come up with a series of tasks:"
  assert writer.prompts[0] == "\n".join([head, *lines, "9."])


def test_every_candidate_is_kept_or_rejected_for_a_reason(rows):
  """Judged again from the beginning, one text after the other."""
  index, known = OverlapIndex(), []
  for text in [f"Seed {i}: name a {w}." for i, w in enumerate(_seed_words(rows))]:
    index.add(text)
    known.append(text)
  reasons = set()
  for candidate in [c for row in rows[0] for c in row.candidates]:
    reasons.add(candidate.reason)
    assert candidate.instruction[:1].isupper()
    if candidate.rouge_l is not None:
      scores = index.rouge_l(candidate.instruction)
      assert candidate.rouge_l == scores.max()
      assert candidate.nearest == known[scores.argmax()]
      assert (candidate.reason == Reason.SIMILAR) == (candidate.rouge_l > 0.7)
    if candidate.reason is None:
      index.add(candidate.instruction)
      known.append(candidate.instruction)
  assert {None, "similar", "keyword", "enough"} <= reasons


def _seed_words(rows):
  shown = {text for row in rows[0] for text in row.shown if text.startswith("Seed")}
  assert len(shown) == 10
  return [text.split()[-1].removesuffix(".") for text in sorted(shown)]


def test_instances_are_read_judged_and_written_as_data(rows, whole):
  selected = rows[3]
  assert any(row.rejected for row in selected)
  for row, written in zip(
    selected, sorted(rows[2], key=lambda r: r.number), strict=True
  ):
    assert len(row.kept) + len(row.rejected) == len(written.instances)
    if row.is_classification:
      assert [one.output for one in written.instances] == ["a", "b"]
      assert all(one.input.startswith("Word: ") for one in written.instances)
    else:
      assert len(written.instances) == 5  # the sixth example is a stop string
  (task,) = read_instructions(whole / DATA_FILE, InstructionForm.SELF_INSTRUCT)
  assert len(task.rows) == sum(len(row.kept) for row in selected)


@pytest.mark.parametrize("after", [1, 5, 9, 15, 22, 30])
def test_an_interrupted_run_goes_on_to_the_same_bytes(recipe, writer, whole, after):
  out, other = whole.with_name("again"), type(writer)()
  for stop in (after, after + 3):
    other.fails_after = len(other.prompts) + stop
    with contextlib.suppress(KeyboardInterrupt):
      _run(recipe, other, out)
  assert len(other.prompts) > after
  other.fails_after = None
  _run(recipe, other, out)
  assert _bytes(out) == _bytes(whole)


@pytest.mark.parametrize("name", FILES[:4])
def test_a_killed_write_leaves_nothing_behind(recipe, writer, whole, name):
  """Some lines of a group and half of the next one, and no file of a later stage."""
  expected = _bytes(whole)
  lines = (whole / name).read_bytes().splitlines(keepends=True)
  (whole / name).write_bytes(b"".join(lines[:3]) + lines[3][:20])
  for later in FILES[FILES.index(name) + 1 :]:
    (whole / later).unlink()
  _run(recipe, writer, whole)
  assert _bytes(whole) == expected


def test_a_finished_run_asks_nothing(recipe, writer, whole):
  expected, count = _bytes(whole), len(writer.prompts)
  _run(recipe, writer, whole)
  assert len(writer.prompts) == count
  assert _bytes(whole) == expected


@pytest.mark.parametrize("name", FILES[:4])
def test_lines_that_do_not_follow_are_named(recipe, writer, whole, name):
  lines = (whole / name).read_bytes().splitlines(keepends=True)
  (whole / name).write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
  with pytest.raises(SymtuneError, match=f"{name}, line 1: expected"):
    _run(recipe, writer, whole)
  (whole / name).write_bytes(b"".join(lines) + lines[-1])
  with pytest.raises(SymtuneError, match=f"{name}, line {len(lines) + 1}: expected"):
    _run(recipe, writer, whole)
  (whole / name).write_bytes(b"".join(lines).replace(b"the", b"The", 1))
  with pytest.raises(SymtuneError, match="the checksum is not the line's"):
    _run(recipe, writer, whole)


def test_a_folder_keeps_its_settings_and_reports(recipe, writer, whole, tmp_path):
  out = tmp_path / "out"
  report = _report(recipe, writer, out)
  assert _bytes(out) == _bytes(whole)
  kept = sum(len(row.kept) for row in Log(out / SELECTED_FILE, SelectedRow).rows)
  assert f"| instances that are kept | {kept} |" in report
  assert "| new instructions | 12 |" in report
  assert (out / "report.png").stat().st_size > 1000
  assert "Samples: instructions that were rejected" in (out / "report.html").read_text()
  with pytest.raises(SymtuneError, match=r"most_alike was 0\.7, now 0\.6"):
    _report(dataclasses.replace(recipe, most_alike=0.6), writer, out)
  # How fast a server is asked, and at which price, changes no answer.
  server = ServerSettings(parallel=1, price_read=1e6)
  report = _report(dataclasses.replace(recipe, server=server), writer, out)
  log = Log(out / PROPOSALS, ProposalRow)
  read = sum(row.prompt_tokens for row in log.rows)
  assert f"| {read}.0000 |" in report.replace(",", "")


def test_a_truncated_answer_is_discarded_whole(recipe, writer, tmp_path, monkeypatch):
  text = " Name the amber.\n10. Explain the long cut"
  monkeypatch.setattr(writer, "write", lambda prompt, rng: text)
  recipe = dataclasses.replace(recipe, patience=3)
  with pytest.raises(SymtuneError, match="no new instruction in 4 requests"):
    _run(recipe, writer, tmp_path / "out")
  log = Log(tmp_path / "out" / PROPOSALS, ProposalRow)
  assert {c.reason for row in log.rows for c in row.candidates} == {"truncated"}


def test_a_writer_that_repeats_itself_is_not_asked_for_ever(
  recipe, writer, tmp_path, monkeypatch
):
  def write(prompt, rng):
    return " Name the amber stone." if prompt.endswith("9.") else " No"

  monkeypatch.setattr(writer, "write", write)
  recipe = dataclasses.replace(recipe, patience=5)
  report = _report(recipe, writer, tmp_path / "out")
  assert "1 of 12 instructions were found: the last 5 requests brought none" in report
  assert "no instance could be read | 1 |" in report
  assert (tmp_path / "out" / DATA_FILE).read_text() == ""


def test_one_field_at_a_time(recipe, writer, tmp_path):
  """For a generator without line breaks, such as T5."""
  plain = type(writer)(writes_lines=False)
  report = _report(recipe, plain, tmp_path / "out")
  lines = (tmp_path / "out" / DATA_FILE).read_text().splitlines()
  tasks = [json.loads(line) for line in lines]
  assert len(tasks) > 6
  assert all(len(task["instances"]) == 1 for task in tasks)
  kinds = {task["is_classification"] for task in tasks}
  assert kinds == {True, False}
  labelled = [p for p in plain.prompts if "whose class label is" in p]
  assert all("Task: Classify" in prompt for prompt in labelled)
  assert any(prompt.endswith("Write the output.") for prompt in plain.prompts)
  assert "one field of one instance" in report


def _seeds(recipe, *lines):
  path = pathlib.Path(recipe.seeds)
  path.write_text("".join(line + "\n" for line in lines))
  return recipe


def test_classification_only(recipe, writer, tmp_path):
  rows = [
    {"instruction": f"Which {i} of them?", "is_classification": i % 2 == 0}
    for i in range(20)
  ]
  recipe = _seeds(recipe, *map(json.dumps, rows))
  recipe = dataclasses.replace(recipe, classification_only=True)
  _run(recipe, writer, tmp_path / "out")
  assert writer.prompts[0].startswith("Come up with a series of classification tasks.")
  assert "Which 1 of them?" not in "".join(writer.prompts)


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ('{"instruction": " "}', r"line 2: got no text under 'instruction'"),
    ('["a"]', r"line 2: got no text under 'instruction'"),
    ('{"instruction": "Go on.",', "line 2: not JSON"),
  ],
)
def test_bad_seeds_are_named(recipe, writer, tmp_path, line, message):
  recipe = _seeds(recipe, '{"instruction": "Name a river."}', line)
  with pytest.raises(SymtuneError, match=message):
    _report(recipe, writer, tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_missing_seeds_and_templates_are_named(recipe, writer, tmp_path):
  for changes, message in (
    ({"seeds": str(tmp_path / "gone.jsonl")}, r"gone.jsonl: the seed tasks cannot be"),
    ({"templates": str(tmp_path)}, r"propose.txt: the template cannot be read"),
    ({"classification_only": True}, r"line 1: .* under 'is_classification'"),
  ):
    with pytest.raises(SymtuneError, match=message):
      _report(dataclasses.replace(recipe, **changes), writer, tmp_path / "out")
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  "changes",
  [
    {"instructions": 0},
    {"shown": 0},
    {"shown_new": 8},
    {"requests": 0},
    {"patience": 0},
    {"most_alike": 0.0},
    {"keywords": ("",)},
    {"instances": 0},
  ],
)
def test_settings_without_sense_are_refused(recipe, changes):
  ((name, _),) = changes.items()
  with pytest.raises(SymtuneError, match=f"SelfInstructRecipe.{name} is"):
    dataclasses.replace(recipe, **changes)
