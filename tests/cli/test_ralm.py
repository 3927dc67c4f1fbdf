"""The commands index and ralm, on a small random model."""

import json

import pytest
from family_models import write_model
from typer.testing import CliRunner

from symtune.cli.main import app
from symtune.errors import SymtuneError
from symtune.model.decoder.config import DecoderConfig

TEXT = " \n = Otter = \n \n The otter swims in quick green rivers .\n"
ROWS = [{"id": "a", "text": "rivers are green"}, {"id": "b", "text": "a lamp"}]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """A model, a text, a corpus and questions."""
  folder = tmp_path_factory.mktemp("ralm")
  (folder / "model").mkdir()
  config = DecoderConfig(
    vocab_size=352,
    emb_dim=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    mlp_dim=16,
    max_positions=128,
    logits_via_embedding=True,
  )
  write_model(folder / "model", config, 0.5)
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


def test_ralm_measures_reports_and_goes_on(files, tmp_path):
  given = ["--model", files / "model", "--text", files / "text.txt"]
  given += ["--corpus", files / "corpus.jsonl", "--out", tmp_path / "run"]
  given += ["--gin.RalmRecipe.passage_tokens=16", "--window", "100"]
  given = ["wikitext2", *given, "--stride", "16", "--query-length", "8"]
  output = run(*given)
  rows = (tmp_path / "run" / "strides.jsonl").read_bytes()
  report = (tmp_path / "run" / "report.md").read_bytes()
  assert b"s=16, no passage" in report
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
  output = run(*given, "--corpus", index, "--out", tmp_path / "qa")
  assert "exact" in output
  assert len((tmp_path / "qa" / "answers.jsonl").read_text().splitlines()) == 2


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
