"""`symtune instruct generate`, with a local server as the generator."""

import json
import pathlib
import signal
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from symtune.cards.resources import resource_dir
from symtune.cli.gin_config import load_settings
from symtune.cli.main import app, main
from symtune.instruct.generate.filters import KEYWORDS
from symtune.instruct.generate.models import server as server_module
from symtune.instruct.generate.settings import SelfInstructRecipe
from symtune.instruct.generate.stages import DATA_FILE

_KEY = "sk-very-secret"


@pytest.fixture
def arguments(server, writer, recipe, tmp_path, monkeypatch):
  """A whole command; the server writes as the writer of the tests does."""
  monkeypatch.setenv("TOY_KEY", _KEY)
  server.write = lambda prompt, seed: writer.write(prompt, np.random.default_rng(seed))
  address = f"http://127.0.0.1:{server.server_port}/v1"
  return [
    *("instruct", "generate", "self_instruct_smollm2", "--seeds", recipe.seeds),
    *("--generator", address, "--out", str(tmp_path / "out"), "--instructions", "6"),
    *("--gin.ServerSettings.model=toy", "--gin.ServerSettings.key_variable=TOY_KEY"),
    "--gin.ServerSettings.first_wait=0.01",
  ]


def test_a_server_writes_data_and_its_key_is_kept_secret(
  server, arguments, tmp_path, capfd
):
  server.steps += [(500, {}, b"busy"), (429, {"Retry-After": "0"}, b"")]
  done = CliRunner().invoke(app, arguments)
  assert done.exit_code == 0
  assert "report.html" in done.stdout
  lines = (tmp_path / "out" / DATA_FILE).read_text().splitlines()
  assert len(lines) >= 5
  assert all(json.loads(line)["instances"] for line in lines)
  assert {headers["Authorization"] for _, headers, _ in server.seen} == {
    f"Bearer {_KEY}"
  }
  written = [path.read_bytes() for path in (tmp_path / "out").rglob("*.*")]
  assert len(written) > 8
  assert not any(_KEY.encode() in content for content in written)
  assert _KEY not in done.output + "".join(capfd.readouterr())


def test_ctrl_c_says_how_to_go_on(arguments, monkeypatch, capsys):
  def interrupt(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(sys, "argv", ["symtune", *arguments])
  monkeypatch.setattr(server_module, "map_in_threads", interrupt)
  handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
  with pytest.raises(SystemExit) as stop:
    main()
  for number, handler in handlers.items():
    signal.signal(number, handler)
  assert stop.value.code == 130
  error = capsys.readouterr().err
  assert "kept in the run folder; the same command goes on from there." in error


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (["--gin.SelfInstructRecipe.shown=0"], "SelfInstructRecipe.shown is 0"),
    (["--gin.propose/Sampling.top_p=2.0"], "Sampling.top_p is 2.0"),
    (["--gin.ServerSettings.modelx=x"], "modelx"),
    (["--generator", "http://"], "address that is not of the form"),
    (["--generator", "no/such/model"], "no/such/model"),
    (["--generator", ""], "got no generator"),
    (["--seeds", "gone.jsonl"], "gone.jsonl: the seed tasks cannot be read"),
  ],
)
def test_wrong_settings_are_one_message_and_no_folder(
  server, arguments, tmp_path, monkeypatch, capsys, changes, message
):
  monkeypatch.setattr(sys, "argv", ["symtune", *arguments, *changes])
  with pytest.raises(SystemExit) as stop:
    main()
  assert stop.value.code == 2
  error = capsys.readouterr().err
  assert message in error
  assert "Traceback" not in error
  assert not server.seen
  assert not (tmp_path / "out").exists()


def test_the_papers_recipe_has_the_papers_settings():
  """All defaults are the paper's, and the recipe spells them out."""
  recipe, _ = load_settings("self_instruct", (SelfInstructRecipe,), folder="instruct")
  assert recipe == SelfInstructRecipe()
  assert (recipe.instructions, recipe.shown, recipe.shown_new) == (52_445, 8, 2)
  assert recipe.propose.stops == ("\n\n", "\n16", "16.", "16 .")
  assert (recipe.propose.temperature, recipe.propose.top_p) == (0.7, 0.5)
  assert (recipe.propose.presence_penalty, recipe.propose.max_tokens) == (2.0, 1024)
  assert (recipe.classify.temperature, recipe.classify.max_tokens) == (0.0, 3)
  assert (recipe.input_first.max_tokens, recipe.output_first.max_tokens) == (350, 300)
  assert recipe.input_first.presence_penalty == 1.5
  assert (recipe.most_alike, recipe.keywords) == (0.7, KEYWORDS)


def test_every_recipe_can_be_read():
  folder = pathlib.Path(resource_dir("gin_configs")) / "instruct"
  names = {path.stem for path in folder.glob("self_instruct*.gin")}
  assert names == {"self_instruct", "self_instruct_smollm2"}
  for name in names:
    recipe, gin = load_settings(name, (SelfInstructRecipe,), folder="instruct")
    assert recipe.name == name
    assert "propose/generators.Sampling" in gin
