"""`symtune t5x`: what it starts, with which settings, and what it says if it cannot."""

import importlib
import pathlib
import subprocess
import sys

import pytest

from symtune.bridges import t5x_main
from symtune.cards.resources import resource_dir
from symtune.cli import t5x
from symtune.errors import SymtuneError


def test_t5xs_flags_are_passed_on_and_gin_files_are_found():
  gin_dir = str(resource_dir("gin_configs"))
  flags = ["--gin_file=recipes/t5x/flan_t5_small.gin", "--gin.BATCH_SIZE=4"]
  assert t5x_main.t5x_arguments(flags) == [f"--gin_search_paths={gin_dir}", *flags]
  mine = ["--gin_search_paths=a,b", *flags]
  assert t5x_main.t5x_arguments(mine)[0] == f"--gin_search_paths=a,b,{gin_dir}"
  apart = [flags[0], "--gin_search_paths", "a,b", flags[1]]
  assert t5x_main.t5x_arguments(apart) == [f"--gin_search_paths=a,b,{gin_dir}", *flags]


def test_a_clone_in_the_working_directory_is_no_installed_t5x(tmp_path, monkeypatch):
  for folder in ("t5x/t5x", "airio/airio/core", "clone/airio/core"):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "__init__.py").touch()
  for name in ("t5x", "airio"):
    monkeypatch.delitem(sys.modules, name, raising=False)
  monkeypatch.setattr(sys, "path", [str(tmp_path)])
  assert t5x_main.missing_modules(["t5x", "airio"]) == ["t5x", "airio"]
  monkeypatch.setattr(sys, "path", [str(tmp_path / "t5x"), str(tmp_path / "clone")])
  importlib.invalidate_caches()
  assert t5x_main.missing_modules(["t5x", "airio"]) == []


def test_options_become_environment_variables(tmp_path):
  found = t5x.t5x_environment({"HOME": "h"}, str(tmp_path), "gs://b/v.model", 3)
  assert found == {
    "HOME": "h",
    "SYMTUNE_DATA": str(tmp_path),
    "SYMTUNE_VOCAB": "gs://b/v.model",
    "SYMTUNE_SEED": "3",
  }
  kept = t5x.t5x_environment({"SYMTUNE_DATA": "x"}, None, None, None)
  assert kept == {"SYMTUNE_DATA": "x"}


@pytest.mark.parametrize(
  ("data", "vocab", "option"), [("/no", None, "--data"), (None, "/no", "--vocab")]
)
def test_a_missing_path_names_its_option(data, vocab, option):
  with pytest.raises(SymtuneError, match=f"{option}: /no"):
    t5x.t5x_environment({}, data, vocab, None)


def test_without_t5x_one_line_says_what_to_install(tmp_path):
  command = t5x.t5x_command("train", ["--gin_file=x.gin"])
  assert command[:3] == [sys.executable, "-m", t5x.BRIDGE]
  code = (
    "import importlib.util as u, sys; find = u.find_spec\n"
    "u.find_spec = lambda name: None if name == 'airio' else find(name)\n"
    "import runpy; sys.argv = ['x', 'train']\n"
    f"runpy.run_module({t5x.BRIDGE!r}, run_name='__main__')\n"
  )
  root = pathlib.Path(t5x.__file__).parents[2]
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, cwd=root
  )
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1
  assert "airio" in done.stderr
  assert "symtune[t5x]" in done.stderr


def test_another_mode_is_refused():
  with pytest.raises(SymtuneError, match="got mode 'fly', expected one of"):
    t5x_main.main(["fly"])
  with pytest.raises(SymtuneError, match="got mode ''"):
    t5x_main.main([])


@pytest.mark.parametrize(
  ("mode", "count", "flags", "message"),
  [
    (
      "train",
      "8",
      ["--gin_file=x.gin"],
      "SLURM started 8 processes.*--multiprocess_gpu",
    ),
    ("train", "8", ["--nomultiprocess_gpu"], "SLURM started 8 processes"),
    ("train", "8", ["--multiprocess_gpu"], None),
    ("train", "8", ["--multiprocess_gpu=true", "--process_index=1"], None),
    ("train", "1", [], None),
    ("train", None, [], None),
    ("eval", "8", ["--multiprocess_gpu"], "SLURM started 8 processes.*Start one"),
    ("infer", "2", [], "SLURM started 2 processes.*Start one"),
  ],
)
def test_processes_that_do_not_join_are_refused(mode, count, flags, message):
  environment = {} if count is None else {"SLURM_STEP_NUM_TASKS": count}
  if message is None:
    t5x_main.check_processes(mode, flags, environment)
    return
  with pytest.raises(SymtuneError, match=message):
    t5x_main.check_processes(mode, flags, environment)
