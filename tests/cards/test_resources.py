import pytest

from symtune.cards.resources import find_config, resource_dir
from symtune.errors import SymtuneError


def test_a_checkout_uses_its_top_level_folder(tmp_path):
  (tmp_path / "pyproject.toml").touch()
  (tmp_path / "tasks").mkdir()
  (tmp_path / "symtune" / "_resources" / "tasks").mkdir(parents=True)
  assert resource_dir("tasks", tmp_path / "symtune") == tmp_path / "tasks"


def test_a_wheel_uses_its_own_copy_and_no_strangers_folder(tmp_path):
  (tmp_path / "tasks").mkdir()  # another package's, beside ours in site-packages
  inside = tmp_path / "symtune" / "_resources" / "tasks"
  inside.mkdir(parents=True)
  assert resource_dir("tasks", tmp_path / "symtune") == inside


def test_a_missing_folder_is_an_error_that_names_both_places(tmp_path):
  with pytest.raises(SymtuneError, match=r"gin_configs.*checkout.*_resources.*wheel"):
    resource_dir("gin_configs", tmp_path / "symtune")


def test_this_checkout_has_cards():
  assert (resource_dir("tasks") / "README.md").is_file()


def test_a_gin_file_is_found_by_its_path_or_its_name(tmp_path):
  mine = tmp_path / "mine.gin"
  mine.touch()
  assert find_config(str(mine), "recipes") == mine
  named = find_config("microworld_arms", "sweeps")
  assert named == resource_dir("gin_configs") / "sweeps" / "microworld_arms.gin"
  with pytest.raises(SymtuneError, match=r"no sweep at 'arms'.*microworld_arms"):
    find_config("arms", "sweeps")
