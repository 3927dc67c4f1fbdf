"""Every block of code of README.md and docs/ runs, or is checked as far as it can be.

A block whose first line is a comment "Needs ..." or "Takes ..." is not run: its Python
is compiled, and its commands are parsed with their options, recipes and settings. A
first comment that is the name of a file makes the block that file.
"""

import pathlib
import re
import shlex
import sys
import tomllib

import pytest
import typer
import yaml
from markdown_it import MarkdownIt

from symtune.align.settings import AlignRecipe, Study
from symtune.cards.resources import find_config
from symtune.cli.gin_config import load_settings, load_sweep, split_overrides
from symtune.cli.main import app, main
from symtune.experiment.arms import Arms
from symtune.experiment.recipe import Recipe
from symtune.experiment.sweep import Sweep
from symtune.instruct.distil.settings import Distillation
from symtune.instruct.generate.settings import SelfInstructRecipe
from symtune.ralm.settings import RalmRecipe
from symtune.regression.settings import Grid, RegressionRecipe

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
# Fewer questions, and a base in place of the run of the demonstration.
CHANGES = {
  'st.load("runs/demo")': 'st.load("microworld/base_at_chance.safetensors")',
  "max_queries=20": "max_queries=1",
  "max_queries=5": "max_queries=1",
  "--queries 20": "--queries 1",
}
TEXTS = ("text", "json", "{toctree}", "{include}", "{eval-rst}")
# Other programs, whose lines are not run.
PROGRAMS = ("cd", "export", "git", "seqio_cache_tasks", "wait")
# Commands with recipes of their own kind: its classes, and its folder in gin_configs.
RECIPES = {
  "regression": ((RegressionRecipe, Grid), "regression"),
  "ralm": ((RalmRecipe,), "ralm"),
  "instruct": ((SelfInstructRecipe, Distillation), "instruct"),
  "align": ((AlignRecipe, Study), "align"),
}
COMMANDS = typer.main.get_command(app)


def _blocks(path: pathlib.Path) -> list[tuple[str, str]]:
  """The language and the text of each block of a page."""
  tokens = MarkdownIt().parse(path.read_text(encoding="utf-8"))
  fences = [token for token in tokens if token.type == "fence"]
  return [(t.info.split(" ")[0], t.content) for t in fences]


def _first_comment(code: str) -> str:
  return code.partition("\n")[0].removeprefix("# ") if code.startswith("# ") else ""


def _find_command(words: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
  """The command that some words name, and its arguments."""
  command = COMMANDS
  while hasattr(command, "commands"):
    name, *words = words
    command = command.commands[name]
  return command, words


def _check(words: list[str]) -> None:
  """A command has these options, and its recipe or sweep these settings."""
  command, arguments = _find_command(words)
  context = command.make_context(words[0], arguments)  # as click does before a call
  settings = split_overrides(context.params.get("overrides") or [])
  if context.params.get("recipe"):
    kinds, folder = RECIPES.get(words[0], ((Recipe,), "recipes"))
    recipe, _ = load_settings(context.params["recipe"], kinds, folder=folder)
    name = recipe.recipe if isinstance(recipe, Grid) else context.params["recipe"]
    load_settings(name, kinds, settings, folder=folder)
  if words[0] == "sweep":
    load_sweep(context.params["name"])
  if words[0] == "t5x":
    for word in words:
      if word.startswith("--gin_file="):
        find_config(str(ROOT / "gin_configs" / word.partition("=")[2]), "recipes")


def _run(words: list[str], monkeypatch) -> None:
  monkeypatch.setattr(sys, "argv", ["symtune", *words])
  with pytest.raises(SystemExit) as stop:
    main()
  assert not stop.value.code, words


def _check_line(line: str) -> list[str] | None:
  """Checks a line of a shell; returns the words of a command of symtune."""
  words = shlex.split(line.removesuffix("&"), comments=True)
  while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
    words.pop(0)
  if not words or words[0] in PROGRAMS or "=$(" in line:
    for word in words:
      if word.startswith("COMMAND=symtune "):
        _check(shlex.split(word)[1:])
    return None
  if words[0] == "symtune":
    _check(words[1:])
    return words[1:]
  if words[0] == "make":
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
  elif words[0] == "pip":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"(?:symtune|\.)\[(.*?)\]", line):
      assert set(extras.split(",")) <= set(project["optional-dependencies"])
  else:
    assert (ROOT / words[0]).is_file(), line
  return None


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """An empty folder with 200 reviews of four classes."""
  texts = ("a mess", "too long", "fine work", "a joy")
  lines = [f'"{texts[i % 4]}, number {i}",{i % 4 + 1}' for i in range(200)]
  (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *lines]) + "\n")
  monkeypatch.chdir(tmp_path)
  return tmp_path


def _read_gin(code: str, path: pathlib.Path) -> None:
  path.write_text(code, encoding="utf-8")
  load_settings(str(path), (Recipe, Arms, Sweep, Grid))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_blocks_run_from_top_to_bottom(page, folder, monkeypatch):
  namespace = {}
  for language, code in _blocks(page):
    for old, new in CHANGES.items():
      code = code.replace(old, new)
    first = _first_comment(code)
    is_run = not first.startswith(("Needs ", "Takes "))
    if re.fullmatch(r"\w+\.\w+", first):
      (folder / first).write_text(code, encoding="utf-8")
    if language == "python":
      compiled = compile(code, str(page), "exec")
      if is_run:
        exec(compiled, namespace)
    elif language == "bash":
      for line in code.replace("\\\n", " ").splitlines():
        words = _check_line(line)
        if words and is_run:
          _run(words, monkeypatch)
    elif language == "gin":
      _read_gin(code, folder / "block.gin")
    elif language == "yaml":
      assert yaml.safe_load(code)
    else:
      assert language in TEXTS, language


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_commands_in_the_text_exist(page):
  text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
  for code in re.findall(r"`(symtune [^`]+)`", text):
    command, _ = _find_command(code.replace("|", " ").split()[1:])
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    for option in re.findall(r"--[a-z][\w-]*", code):
      assert option in known or option in ("--gin", "--gin_file"), code


def _marked(mark: str) -> list[str]:
  """Lines of the block of README.md that follows a mark."""
  found = re.search(rf"<!-- run: {mark} -->\n```\w*\n(.*?)```", README, re.DOTALL)
  assert found, mark
  return [line for line in found[1].splitlines() if line.strip()]


def test_a_question_to_two_models_takes_eight_lines():
  assert len(_marked("kiwi")) <= 8


def test_a_table_becomes_a_report_in_five_lines_or_one_command():
  lines = [x for x in _marked("table") if not x.startswith("import")]
  assert len(lines) <= 5
  commands = "\n".join(_marked("command")).replace("\\\n", " ").splitlines()
  assert [c.split()[1] for c in commands] == ["ask", "show"]
