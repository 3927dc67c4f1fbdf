"""A probe of a file of the user's own: asked by its name, refused where it is none."""

import pytest

from symtune.errors import SymtuneError
from symtune.probe.catalog import PROBES, make_probes
from symtune.probe.own import read_probes
from symtune.probe.probe import Probe

MINE = """
import dataclasses
from symtune.probe.ask import Question, TaskProbe

LIMIT = 3


@dataclasses.dataclass
class Note:
  text: str = "found by its module"


class MyProbe(TaskProbe):
  name = "my_probe"

  def questions(self, asker, seed, episode):
    label = episode.query.label
    return [Question(setting="mine", episode=episode, context=label, prior=label)]


class Again(MyProbe):
  pass


class Flips(MyProbe):
  name = "flipped_labels"


class Unnamed(MyProbe):
  name = None


class Needs(MyProbe):
  def __init__(self, size):
    self.size = size


class Other:
  name = "other"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  (tmp_path / "my_probe.py").write_text(MINE)
  (tmp_path / "broken.py").write_text("x = 1\ny = = 2\n")
  (tmp_path / "fails.py").write_text("x = 1\nimport no_such_module\n")
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_names_stay_names_and_files_become_probes():
  named, mine = read_probes("shots, my_probe.py:MyProbe")
  assert named == "shots"
  assert isinstance(mine, Probe)
  assert mine.name == "my_probe"
  made = make_probes((named, mine), None)
  assert [probe.name for probe in made] == ["shots", "my_probe"]
  assert make_probes([mine], None) == (mine,)


def test_a_file_may_lie_elsewhere(folder, tmp_path_factory, monkeypatch):
  monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
  (probe,) = read_probes(f"{folder}/my_probe.py:MyProbe")
  assert not isinstance(probe, str)


@pytest.mark.parametrize(
  ("option", "message"),
  [
    ("none.py:MyProbe", r"no file none\.py"),
    ("my_probe.py:MyProb", r"no class 'MyProb'\. Did you mean 'MyProbe'\?.*It has"),
    ("my_probe.py:LIMIT", "LIMIT is no class"),
    ("my_probe.py:Other", "Other is no probe, expected a class with a `name`"),
    ("my_probe.py:Unnamed", "Unnamed is no probe"),
    ("my_probe.py:Needs", r"Needs\(\) failed: TypeError: .*'size'"),
    ("my_probe.py:Flips", "another probe is called 'flipped_labels'"),
    ("my_probe.py:MyProbe,my_probe.py:Again", "another probe is called 'my_probe'"),
    ("broken.py:MyProbe", r"the file failed, line 2: SyntaxError"),
    ("fails.py:MyProbe", r"the file failed, line 2: ModuleNotFoundError"),
  ],
)
def test_what_is_no_probe_is_refused(option, message):
  with pytest.raises(SymtuneError, match=message):
    read_probes(option)


def test_a_name_never_runs_a_file(folder):
  """Recipes and notebooks give names to the catalog, which knows no files."""
  (folder / "my_probe.py").write_text("open('was_run', 'w').close()\n")
  with pytest.raises(SymtuneError, match="expected some of settings"):
    make_probes(["my_probe.py:MyProbe"], None)
  assert not (folder / "was_run").exists()


def test_the_catalog_has_every_name_that_a_shipped_probe_has():
  assert {make(None).name for make in PROBES.values()} <= set(PROBES)
