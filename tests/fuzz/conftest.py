"""A command in this process, and valid files to damage."""

import pathlib
import re
import shutil
import sys
from collections.abc import Callable

import pytest
from fuzz_samples import make_samples

from symtune.cli.main import main


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> pathlib.Path:
  """A folder with a valid file of every type; tests damage copies."""
  here = tmp_path_factory.mktemp("samples")
  make_samples(here)
  return here


@pytest.fixture
def copy_of(samples, tmp_path) -> Callable[[str], pathlib.Path]:
  """Copies a sample and the files beside it; returns the folder."""

  def copy(file: str) -> pathlib.Path:
    here = tmp_path / "here"
    here.mkdir()
    top = pathlib.PurePath(file).parts[0]
    for path in samples.iterdir():
      if path.is_dir() and path.name == top:
        shutil.copytree(path, here / path.name)
      elif path.is_file():
        shutil.copyfile(path, here / path.name)
    return here

  return copy


@pytest.fixture
def run_cli(monkeypatch, capsys):
  """Runs a command in this process; gives exit code, output and errors."""

  def run(*arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["symtune", *arguments])
    code = 0
    try:
      main()
    except SystemExit as stop:
      code = stop.code or 0
    printed = capsys.readouterr()
    return int(code), printed.out, printed.err

  return run


@pytest.fixture
def refused(run_cli):
  """Asserts that a command is refused with one message, which it returns."""

  def check(*arguments: str, pattern: str = "") -> str:
    code, out, errors = run_cli(*arguments)
    message = " ".join(errors.split())
    assert code == 2, f"code {code}: {out[-300:]} {message[-300:]}"
    assert "Traceback" not in out + errors
    assert re.search(pattern, message), message
    return message

  return check
