"""The microworld's base teaches a smaller network, which is asked about other tasks."""

import json
import shutil

import pytest
import rich.console

from symtune.cli.gin_config import load_settings
from symtune.errors import SymtuneError
from symtune.experiment.planning.slices import find_slice
from symtune.instruct.distil.run import prepare, run_distillation
from symtune.instruct.distil.settings import Distillation
from symtune.instruct.distil.student import TUNED, UNTUNED, Inputs
from symtune.instruct.rows import read_rows

STEPS = 60
SMALL = (
  f"TrainSettings.steps={STEPS}",
  "TrainSettings.save_every=50",
  "data/Source.num_tasks=24",
  "data/Source.instances=4",
  "evaluation/Source.num_tasks=24",
  "evaluation/Source.instances=2",
  "Teacher.is_asked=False",
  "T5Config.num_encoder_layers=1",
  "T5Config.dropout_rate=0.0",
)
FILES = ("teacher.jsonl", "rows.jsonl", "rejected.jsonl", "answers.jsonl", "report.md")


def _load(*more):
  settings = [*SMALL, *more]
  return load_settings(
    "distil_microworld", (Distillation,), settings, folder="instruct"
  )[0]


def _run(out, *more):
  prepared = prepare(_load(*more), Inputs())
  return run_distillation(prepared, out, rich.console.Console(quiet=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """The folder of a whole run, and its report."""
  out = tmp_path_factory.mktemp("distil") / "out"
  return out, _run(out)


def test_the_student_beats_its_untuned_self_on_tasks_held_out(finished):
  out, content = finished
  rows = read_rows(out / "answers.jsonl")
  right = {
    name: sum(row.exact for row in rows if row.model == name)
    for name in (UNTUNED, TUNED)
  }
  assert right[UNTUNED] == 0
  assert right[TUNED] > 8
  change = content.headlines[1].rows[0]
  assert change[1:3] == ("exact match", f"{TUNED} (minus {UNTUNED})")
  assert float(change[3].split("[")[1].split(",")[0]) > 0


def test_rows_and_report_name_the_teacher_and_its_licence(finished):
  out, content = finished
  rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
  assert {(row["teacher"], row["licence"]) for row in rows} == {
    ("microworld/base.safetensors", "Apache-2.0, as all of symtune")
  }
  assert len(rows) == 24 * 4
  assert "Apache-2.0, as all of symtune" in content.remarks[0]
  recipe = json.loads((out / "run.json").read_text())["config"]["recipe"]
  assert recipe["teacher"]["licence"] == "Apache-2.0, as all of symtune"
  taught, asked = (
    {json.loads(line)["task"] for line in (out / name).read_text().splitlines()}
    for name in ("rows.jsonl", "answers.jsonl")
  )
  assert not taught & asked


def test_killed_and_continued_gives_equal_bytes(finished):
  """Killed while the teacher writes; while the student is tuned; while it answers."""
  out, _ = finished
  whole = {name: (out / name).read_bytes() for name in FILES}
  for name, kept in (("teacher.jsonl", 0.6), ("answers.jsonl", 0.7)):
    data = whole[name][: int(len(whole[name]) * kept)]
    assert not data.endswith(b"\n")
    (out / name).write_bytes(data)
  for name in ("rows.jsonl", "rejected.jsonl", "report.md", "report.html"):
    (out / name).unlink()
  shutil.rmtree(out / "student" / "checkpoints" / f"{STEPS}")
  (out / "student" / "scores.sqlite").unlink()
  _run(out)
  assert {name: (out / name).read_bytes() for name in FILES} == whole


def test_another_teacher_or_folder_is_refused(finished):
  out, _ = finished
  with pytest.raises(SymtuneError, match="holds another run"):
    _run(out, "Sampling.max_tokens=9")
  path = out / "teacher.jsonl"
  text = path.read_text()
  lines = text.splitlines(keepends=True)
  path.write_text("".join([lines[1], lines[0], *lines[2:]]))
  with pytest.raises(
    SymtuneError, match=r"line 1: expected the answer of .* got that .* to instance 2"
  ):
    _run(out)
  path.write_text(text.replace('"tokens": ', '"tokens": 1', 1))
  with pytest.raises(SymtuneError, match="line 1: the checksum is not the line's"):
    _run(out)
  path.write_text(text)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    (["Teacher.licence=' '"], "Teacher.licence"),
    (["Teacher.model=nowhere"], "nowhere"),
    (["Teacher.model=baseline:echo"], "a baseline writes no texts"),
    (["Teacher.encoding=positive"], "Teacher.encoding positive: the data has no"),
    (["Distillation.held_out=3"], "held_out 3 and an evaluation, expected one"),
    (["data/Source.num_tasks=9999"], "got 9999 tasks to draw"),
    (["data/Source.path=x"], "got path 'x' and suite 'microworld_train'"),
    (["Instructions.path=x"], "without a path, expected one"),
    (["Distillation.max_inputs=3"], "longer than --max-inputs"),
    (
      ["Distillation.baselines=('baseline:copy',)"],
      "expected one of baseline:copy_inp",
    ),
    (["Distillation.baselines=('runs/x',)"], "got 'runs/x', expected names of rules"),
  ],
)
def test_wrong_settings_give_one_message_before_anything_is_asked(
  tmp_path, settings, message
):
  with pytest.raises(SymtuneError, match=message):
    _run(tmp_path / "out", *settings)
  assert not (tmp_path / "out" / "teacher.jsonl").exists()


def test_the_plan_counts_tokens(finished):
  out, _ = finished
  table = prepare(_load(), Inputs()).plan(find_slice("cpu-2"))
  stages = {row[0]: row for row in table.rows}
  assert stages["ask the teacher"][1] == "96 answers"
  assert stages["ask the teacher"][3] == f"{96 * 8}"
  lines = (out / "teacher.jsonl").read_text().splitlines()
  read = sum(json.loads(line)["prompt_tokens"] for line in lines)
  assert stages["ask the teacher"][2] == f"{read - 96:,}"  # without the ends
  assert stages["tune the student"][2] == f"{STEPS * 8 * 256:,}"
