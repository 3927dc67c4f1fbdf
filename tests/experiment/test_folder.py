"""A run folder belongs to one configuration and one process."""

import json
import subprocess

import pytest

from symtune.data.draw.words import DRAWS_VERSION
from symtune.errors import SymtuneError
from symtune.experiment import folder
from symtune.experiment.folder import claim_folder


def _claim(path, config_hash="a" * 16):
  return claim_folder(
    path, recipe="toy", config_hash=config_hash, config='{"seed": 0}', gin="a.b = 1\n"
  )


def test_new_folder_records_what_it_is(tmp_path):
  with _claim(tmp_path / "run") as path:
    about = json.loads((path / "run.json").read_text())
    assert (about["recipe"], about["config_hash"]) == ("toy", "a" * 16)
    assert about["config"] == {"seed": 0}
    assert (path / "config.gin").read_text() == "a.b = 1\n"


def test_same_configuration_is_continued(tmp_path):
  with _claim(tmp_path / "run") as path:
    before = (path / "run.json").read_bytes()
  with _claim(tmp_path / "run") as path:
    assert (path / "run.json").read_bytes() == before


def test_folder_of_another_run_is_refused_and_left_alone(tmp_path):
  with _claim(tmp_path / "run") as path:
    before = sorted(p.name for p in path.iterdir())
  with (
    pytest.raises(SymtuneError, match="holds another run: recipe toy, configuration a"),
    _claim(tmp_path / "run", "b" * 16),
  ):
    pass
  assert sorted(p.name for p in path.iterdir()) == before


def test_another_run_is_told_by_its_settings(tmp_path):
  def claim(steps, config_hash):
    config = json.dumps({"seed": 0, "train": {"steps": steps, "rates": [1.0, 2.0]}})
    return claim_folder(
      tmp_path, recipe="toy", config_hash=config_hash, config=config, gin=""
    )

  with claim(10, "a"):
    pass
  with (
    pytest.raises(SymtuneError, match=r"differ: train\.steps was 10, now 20\. Choose"),
    claim(20, "b"),
  ):
    pass
  with pytest.raises(SymtuneError, match="Data, vocabulary or"), claim(10, "b"):
    pass


@pytest.mark.parametrize("version", [1, DRAWS_VERSION + 1])
def test_folder_of_other_draws_is_refused_with_the_reason(tmp_path, version):
  with _claim(tmp_path / "run") as path:
    about = json.loads((path / "run.json").read_text())
  del about["checksum"]  # so that it is no damage
  about["draws_version"] = version
  if version == 1:  # those folders do not name a version
    del about["draws_version"]
  (path / "run.json").write_text(json.dumps(about))
  expected = f"by version {version} of the draws.*version {DRAWS_VERSION}"
  with pytest.raises(SymtuneError, match=expected), _claim(tmp_path / "run"):
    pass


def test_folder_with_other_files_is_refused(tmp_path):
  (tmp_path / "thesis.txt").write_text("precious")
  with (
    pytest.raises(SymtuneError, match=r"got thesis\.txt, no run"),
    _claim(tmp_path),
  ):
    pass
  assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def _fail(path, name):
  """A run that writes one file and fails; None writes nothing."""
  with _claim(path):
    (path / "checkpoints").mkdir()
    if name is not None:
      (path / name).write_text("an answer")
    raise SymtuneError("the first check failed")


def test_a_run_that_fails_before_it_did_anything_leaves_the_folder_free(tmp_path):
  with pytest.raises(SymtuneError, match="the first check failed"):
    _fail(tmp_path / "run", None)
  with _claim(tmp_path / "run", "b" * 16) as path:  # the corrected settings
    assert json.loads((path / "run.json").read_text())["config_hash"] == "b" * 16


def test_a_run_that_fails_later_keeps_its_folder(tmp_path):
  with pytest.raises(SymtuneError, match="the first check failed"):
    _fail(tmp_path / "run", "results.jsonl")
  about = json.loads((tmp_path / "run" / "run.json").read_text())
  assert about["config_hash"] == "a" * 16


def test_file_is_refused(tmp_path):
  (tmp_path / "run").write_text("")
  with pytest.raises(SymtuneError, match="is a file"), _claim(tmp_path / "run"):
    pass


def test_damaged_run_file_is_refused(tmp_path):
  (tmp_path / "run.json").write_text('{"recipe": "t')
  with pytest.raises(SymtuneError, match=r"run\.json is damaged"), _claim(tmp_path):
    pass


def test_a_run_file_with_other_values_is_refused(tmp_path):
  with _claim(tmp_path / "run") as path:
    text = (path / "run.json").read_text()
  (path / "run.json").write_text(text.replace('"seed": 0', '"seed": 1'))
  with (
    pytest.raises(SymtuneError, match=r"run\.json is damaged: its checksum is"),
    _claim(path),
  ):
    pass


def test_second_process_is_refused(tmp_path):
  with (
    _claim(tmp_path / "run"),
    pytest.raises(SymtuneError, match="in use by another"),
    _claim(tmp_path / "run"),
  ):
    pass


def test_claim_killed_before_its_run_file_can_be_taken(tmp_path):
  path = tmp_path / "run"
  path.mkdir()
  (path / ".lock").write_text("")
  (path / "config.gin").write_text("half")
  (path / ".run.json.tmp").write_text("{")
  with _claim(path):
    assert (path / "run.json").is_file()
    assert (path / "config.gin").read_text() == "a.b = 1\n"


def test_commit_is_named_and_marked_when_files_differ(tmp_path, monkeypatch):
  package = tmp_path / "symtune" / "experiment"
  package.mkdir(parents=True)
  module = package / "folder.py"
  module.write_text("")
  monkeypatch.setattr(folder, "__file__", str(module))
  assert folder.git_commit() is None

  def git(*command):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(
      ["git", "-C", str(tmp_path), *identity, *command], check=True, capture_output=True
    )

  git("init")
  git("add", ".")
  git("commit", "-m", "one")
  commit = folder.git_commit()
  assert commit is not None
  assert len(commit) == 40
  module.write_text("changed")
  assert folder.git_commit() == commit + "+dirty"
