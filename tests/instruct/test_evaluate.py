"""Rows, resuming, figures and reports; rules and a tiny model answer."""

import contextlib
import dataclasses
import json

import pytest
import rich.console
import typer.testing
from family_models import TINY, write_model

from symtune.cli.main import app
from symtune.data.text.instructions import Encoding, InstructionForm
from symtune.errors import SymtuneError
from symtune.instruct import evaluate as evaluation
from symtune.instruct.rows import read_rows
from symtune.instruct.run import EvalSettings, run_evaluation

RULES = ["baseline:copy_example", "baseline:copy_input", "baseline:reference"]


def _settings(folder, **changes):
  return EvalSettings(
    **{"data": folder, "form": InstructionForm.SUPER_NI, "max_targets": 4} | changes
  )


def _run(settings, models, out):
  return run_evaluation(settings, models, out, rich.console.Console(quiet=True))


def test_rules_have_their_hand_computed_scores(folder, tmp_path):
  content = _run(_settings(folder), RULES, tmp_path / "out")
  rows = read_rows(tmp_path / "out" / "answers.jsonl")
  assert len(rows) == 3 * 9
  right = {rule: [r.exact for r in rows if r.model == rule] for rule in RULES}
  # "fruit" is right for the apples: 1 of 2, 3 of 6, 0 of 1.
  assert sum(right[RULES[0]]) == 4
  assert sum(right[RULES[1]]) == 1
  assert all(right[RULES[2]])
  overall = {row[1]: row for row in content.headlines[0].rows}
  assert overall[RULES[0]][2:4] == ("3", "9")
  assert overall[RULES[0]][4].startswith("44.4 [")
  assert overall[RULES[1]][4].startswith("11.1 [")
  assert overall[RULES[2]][5].startswith("100.0 [")
  changes = {row[1:3]: row[3] for row in content.headlines[1].rows}
  assert changes["exact match", f"{RULES[2]} (minus {RULES[0]})"].startswith("+55.6 [")
  titles = [section.title for section in content.sections]
  assert any(title.startswith("By category") for title in titles)
  assert any(title.startswith("By task") for title in titles)
  page = (tmp_path / "out" / "report.html").read_text()
  assert "Cat dog." in page


class _Killed(Exception):
  pass


@pytest.mark.parametrize("asked_before", [1, 2, 4, 5])
def test_killed_and_continued_gives_equal_bytes(
  folder, tmp_path, tiny_model, monkeypatch, asked_before
):
  monkeypatch.setattr(evaluation, "BLOCK", 4)
  settings = _settings(folder, encodings=(Encoding.DEFINITION, Encoding.NEGATIVE))
  models = [tiny_model, RULES[0]]
  _run(settings, models, tmp_path / "whole")
  whole = (tmp_path / "whole" / "answers.jsonl").read_bytes()
  append, calls = evaluation.append_text, []

  def append_a_part(path, text):
    calls.append(text)
    if len(calls) == asked_before:  # killed in the middle of a line
      append(path, text[: len(text) * 2 // 3])
      raise _Killed
    append(path, text)

  out = tmp_path / "cut"
  with monkeypatch.context() as patched, contextlib.suppress(_Killed):
    patched.setattr(evaluation, "append_text", append_a_part)
    _run(settings, models, out)
  assert len(calls) == asked_before
  assert (out / "answers.jsonl").read_bytes() != whole
  _run(settings, models, out)
  assert (out / "answers.jsonl").read_bytes() == whole
  assert (out / "report.md").read_bytes() == (tmp_path / "whole/report.md").read_bytes()


def test_models_can_be_added_and_foreign_rows_are_refused(folder, tmp_path):
  out = tmp_path / "out"
  path = out / "answers.jsonl"
  _run(_settings(folder), RULES[:1], out)
  first = path.read_bytes()
  _run(_settings(folder), RULES[:2], out)
  assert path.read_bytes().startswith(first)
  with pytest.raises(SymtuneError, match="holds another run"):
    _run(_settings(folder, instances=1), RULES[:2], out)
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b"".join([lines[1], *lines[2:]]))
  with pytest.raises(SymtuneError, match=r"line 1: .*expected instance 1 of"):
    _run(_settings(folder), RULES[:2], out)
  path.write_bytes(b"".join([*lines, lines[8]]))
  with pytest.raises(SymtuneError, match="line 19: got more answers"):
    _run(_settings(folder), RULES[:2], out)
  path.write_bytes(first.replace(b'"exact": false', b'"exact": true', 1))
  with pytest.raises(SymtuneError, match="changed after it was written"):
    _run(_settings(folder), RULES[:2], out)


def test_long_prompts_lose_examples_and_never_the_instance(
  folder, tmp_path, tiny_model, small_vocab
):
  """The limit leaves room for the definition and one example of task001_kind."""
  text = (
    "Definition: Is it a fruit or an animal?\n\n Positive Example 1 -\nInput: a pear.\n"
    " Output: fruit.\n\nNow complete the following example -\nInput: an apple.\nOutput:"
  )
  limit = len(small_vocab.encode(text)) + 1
  names = tmp_path / "names.txt"
  names.write_text("task001_kind\n")
  settings = _settings(
    folder, tasks=names, encodings=(Encoding.NEGATIVE,), max_inputs=limit
  )
  content = _run(settings, [tiny_model], tmp_path / "out")
  rows = read_rows(tmp_path / "out" / "answers.jsonl")
  assert [(r.examples, r.examples_asked, r.lost_definition) for r in rows] == [
    (1, 3, False),
    (1, 3, False),
  ]
  assert content.headlines[0].rows[0][-1] == "2"
  with pytest.raises(
    SymtuneError, match=r"task001_kind, instance 1: .*--max-inputs, 9"
  ):
    _run(_settings(folder, max_inputs=9), [tiny_model], tmp_path / "short")


def test_a_native_model_answers_in_batches(folder, tmp_path, tiny_model):
  from symtune.lab.models import load

  _run(_settings(folder), [tiny_model], tmp_path / "out")
  rows = read_rows(tmp_path / "out" / "answers.jsonl")
  model = load(tiny_model, max_targets=4)
  prompt = (
    "Definition: Repeat the words.\n\nNow complete the following example -\n"
    "Input: cat dog.\nOutput:"
  )
  assert rows[-1].text == model.generate(prompt)


def test_a_native_decoder_answers(folder, tmp_path):
  config = dataclasses.replace(TINY, vocab_size=352, max_positions=200)
  (tmp_path / "decoder").mkdir()
  write_model(tmp_path / "decoder", config, 0.3)
  settings = _settings(
    folder, encodings=(Encoding.DEFINITION, Encoding.STEP_BY_STEP), instances=2
  )
  _run(settings, [str(tmp_path / "decoder")], tmp_path / "out")
  rows = read_rows(tmp_path / "out" / "answers.jsonl")
  assert len(rows) == 2 * 5
  assert {row.dtype for row in rows} == {"float32"}


def test_near_duplicates_are_reported(folder, tmp_path):
  names, train = tmp_path / "test.txt", tmp_path / "train.txt"
  names.write_text("task001_kind\ntask003_copy\n")
  train.write_text("task002_more\n")
  task = json.loads((folder / "task002_more.json").read_text())
  task["Definition"] = ["Is it a fruit, or an animal"]
  (folder / "task002_more.json").write_text(json.dumps(task))
  settings = _settings(folder, tasks=names, train_tasks=train)
  content = _run(settings, RULES[:1], tmp_path / "out")
  tables = {s.title: s.parts[0] for s in content.sections if s.title}
  pairs = tables["Test tasks that are nearly the same as a training task"]
  assert pairs.rows == (("task001_kind", "task002_more", "100.0", "0.0"),)
  (without,) = [t for name, t in tables.items() if name.startswith("Without near")]
  assert without.rows[0][2:4] == ("1", "1")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--model", "baseline:copyinput"], "baseline:copy_input"),
    (["--model", RULES[0], "--form", "superni"], "--form"),
    (["--model", RULES[0], "--encoding", "plain"], "--encoding plain"),
    (["--model", RULES[0], "--model", RULES[0]], "each once"),
    (["--model", RULES[0], "--form", "alpaca"], "task001_kind.json"),
    (["--model", "nowhere"], "nowhere"),
    (["--model", RULES[0], "--train-tasks", "train.txt"], "--train-tasks train.txt"),
    (["--model", RULES[0], "--tasks", "nowhere.txt"], "cannot be read"),
  ],
)
def test_wrong_input_gives_one_message(folder, tmp_path, options, message):
  out = tmp_path / "out"
  command = ["instruct", "eval", "--data", str(folder), "--out", str(out), *options]
  done = typer.testing.CliRunner().invoke(app, command)
  assert isinstance(done.exception, SymtuneError)
  assert message in str(done.exception)
  assert not (out / "answers.jsonl").exists()


def test_command(folder, tmp_path):
  out = tmp_path / "out"
  command = ["instruct", "eval", "--data", str(folder), "--out", str(out)]
  done = typer.testing.CliRunner().invoke(app, [*command, "--model", RULES[2]])
  assert done.exit_code == 0, done.exception
  assert "report.html" in done.output
  assert "exact match" in done.output
