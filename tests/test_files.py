"""Files are whole or as they were."""

import os
import pathlib
import threading

import pytest

from symtune.errors import SymtuneError
from symtune.files import cache_folder, locked, write_whole


def test_text_and_bytes_are_written_as_they_are(tmp_path):
  write_whole(tmp_path / "a", "é\n")
  write_whole(tmp_path / "b", b"\x00\xff")
  assert (tmp_path / "a").read_bytes() == "é\n".encode()
  assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_an_old_file_is_replaced_and_nothing_else_is_left(tmp_path):
  path = tmp_path / "a"
  write_whole(path, "old and long")
  write_whole(path, "new")
  assert path.read_text() == "new"
  assert list(tmp_path.iterdir()) == [path]


def test_writers_do_not_share_a_temporary_file(tmp_path, monkeypatch):
  path, names = tmp_path / "a", []
  sync = os.fsync

  def fsync(handle):
    names.extend(p.name for p in tmp_path.iterdir())
    if len(names) == 1:  # another writer comes, while the first one has not renamed
      write_whole(path, "second")
    sync(handle)

  monkeypatch.setattr(os, "fsync", fsync)
  write_whole(path, "first")
  assert path.read_text() == "first"
  assert len(set(names)) == 2
  assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
  write_whole(tmp_path / "a", "old")

  def fail(self, target):
    raise OSError("disk full")

  monkeypatch.setattr(pathlib.Path, "replace", fail)
  with pytest.raises(OSError, match="disk full"):
    write_whole(tmp_path / "a", "new")
  assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
  seen = []

  def wait():
    with locked(tmp_path / "lock"):
      seen.append("second")

  with locked(tmp_path / "lock"):
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.2)
    seen.append("first")
  thread.join()
  assert seen == ["first", "second"]


def test_a_key_has_one_cache_folder_that_others_cannot_enter(tmp_path, monkeypatch):
  monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
  folder = cache_folder("a")
  assert folder == cache_folder("a") != cache_folder("b")
  assert [p.stat().st_mode & 0o777 for p in (folder, folder.parent)] == [0o700] * 2
  assert folder.parent.parent == tmp_path


def test_a_cache_folder_of_another_user_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
  cache_folder("a").parent.rename(tmp_path / "elsewhere")
  (tmp_path / f"symtune-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
  with pytest.raises(SymtuneError, match="set TMPDIR"):
    cache_folder("a")
