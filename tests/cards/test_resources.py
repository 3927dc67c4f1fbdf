import pytest

from symtune.cards.resources import resource_dir
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
