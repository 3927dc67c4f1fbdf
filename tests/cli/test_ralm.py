"""The commands index and ralm, on a small random model."""

import copy
import dataclasses
import json
import shutil

import pytest
from family_models import TINY, write_model
from typer.testing import CliRunner

from symtune.cli.main import app
from symtune.cli.ralm.runs import read_model
from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer, Opened
from symtune.probe.answer.scorers import score_by_oracle
from symtune.probe.run import CheckpointLabel

TEXT = """ \n = Otter = \n \n The otter swims in quick green rivers .
 \n = Lamp = \n \n A lamp gives light .\n"""
ROWS = [{"id": "a", "text": "rivers are green"}, {"id": "b", "text": "a lamp"}]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """A model, a text, a corpus and questions."""
  folder = tmp_path_factory.mktemp("ralm")
  (folder / "model").mkdir()
  config = dataclasses.replace(TINY, vocab_size=352, max_positions=128)
  write_model(folder / "model", config, 0.5)
  shutil.copytree(folder / "model", folder / "other")
  (folder / "text.txt").write_text(TEXT)
  corpus = "\n".join(json.dumps(row) for row in ROWS)
  (folder / "corpus.jsonl").write_text(corpus)
  question = {"question": "what swims", "answers": ["otter"]}
  (folder / "questions.jsonl").write_text(json.dumps(question))
  return folder


def run(*arguments):
  done = CliRunner().invoke(app, ["ralm", *map(str, arguments)])
  if done.exception is not None:
    raise done.exception
  return done.stdout


def test_ralm_measures_reports_and_goes_on(files, tmp_path, monkeypatch):
  (tmp_path / "run").mkdir()
  monkeypatch.chdir(tmp_path / "run")
  given = ["wikitext2", "--model", files / "model", "--model", files / "other"]
  given += ["--text", files / "text.txt", "--out", "."]
  given += ["--corpus", files / "corpus.jsonl", "--query-length", "8"]
  given += ["--gin.RalmRecipe.passage_tokens=16", "--stride", "16"]
  with pytest.raises(SymtuneError, match="reads at most 128 tokens"):
    run(*given, "--window", "129")
  given += ["--window", "100"]  # in the same folder, which holds nothing yet
  output = run(*given)
  rows = (tmp_path / "run" / "strides.jsonl").read_bytes()
  report = (tmp_path / "run" / "report.md").read_bytes()
  assert b"s=16, no passage" in report
  # Killed while the second model read the second document, or at the end.
  lines = rows.splitlines(keepends=True)
  cells = [
    (row["model"], row["document"], row["passages"]) for row in map(json.loads, lines)
  ]
  for end in (cells.index(("other", "Lamp", 1)), len(lines)):
    (tmp_path / "run" / "strides.jsonl").write_bytes(b"".join(lines[:end]))
    assert run(*given) == output
    assert (tmp_path / "run" / "strides.jsonl").read_bytes() == rows
  assert (tmp_path / "run" / "report.md").read_bytes() == report
  with pytest.raises(SymtuneError, match="holds another run"):
    run(*given, "--fit", "extend")


def test_questions_are_answered_from_an_index(files, tmp_path):
  index = tmp_path / "index"
  made = CliRunner().invoke(
    app, ["index", str(files / "corpus.jsonl"), "--out", str(index)]
  )
  assert "2 passages" in made.output
  given = ["--model", files / "model", "--questions", files / "questions.jsonl"]
  given += ["--corpus", index, "--out", tmp_path / "qa"]
  with pytest.raises(SymtuneError, match="'nobody' is not in the corpus"):
    run(*given, "--forbid", "nobody")
  with pytest.raises(SymtuneError, match="got strides, leaks, which mean nothing"):
    run(*given, "--leaks", "forbid", "--stride", "4")
  assert "exact" in run(*given, "--passages", "1")
  for ending in ("md", "html"):
    assert "exact" in (tmp_path / "qa" / f"report.{ending}").read_text()
  assert len((tmp_path / "qa" / "answers.jsonl").read_text().splitlines()) == 2


def test_steps_of_a_run_are_models_of_their_own():
  label = CheckpointLabel(name="run", step=500, identity="a")
  opened = Opened(
    label=label, read=lambda: Answerer(label=label, score=score_by_oracle)
  )
  assert read_model(opened).label == dataclasses.replace(label, name="run (step 500)")
  start = dataclasses.replace(label, step=0)
  opened = Opened(
    label=start, read=lambda: Answerer(label=start, score=score_by_oracle)
  )
  assert read_model(opened).label == start


def test_another_vocabulary_is_another_identity(toy_vocab):
  label = CheckpointLabel(name="run", step=0, identity="a")
  read = lambda: Answerer(label=label, score=score_by_oracle)  # noqa: E731
  other = copy.copy(toy_vocab)
  other.fingerprint = "other"
  vocabs = (None, toy_vocab, other)
  opened = [Opened(label=label, read=read, vocab=vocab) for vocab in vocabs]
  assert len({read_model(one).label.identity for one in opened}) == 3


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "got no models, expected some. Give --model"),
    (["--model", "x", "--text", "y.txt"], "got no corpus"),
    (["--stride", "a,b"], "--stride: got 'a,b'"),
    (["--gin.RalmRecipe.seed=1"], "without a recipe"),
  ],
)
def test_bad_options_are_named(arguments, message, tmp_path):
  with pytest.raises(SymtuneError, match=message):
    run(*arguments, "--out", tmp_path / "out")
