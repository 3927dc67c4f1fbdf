"""Files are whole or as they were."""

import errno
import os
import pathlib
import resource
import threading

import pytest

from symtune.errors import SymtuneError
from symtune.files import append_text, cache_folder, in_bytes, locked, write_whole


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
    raise PermissionError(errno.EPERM, "not allowed")

  monkeypatch.setattr(pathlib.Path, "replace", fail)
  with pytest.raises(PermissionError, match="not allowed"):
    write_whole(tmp_path / "a", "new")
  assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.fixture
def small_disk():
  """Files of this process cannot be larger than 100 bytes: the disk is full."""
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
  yield
  resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_files_as_they_were(tmp_path, small_disk):
  path = tmp_path / "a"
  append_text(path, "x" * 60 + "\n")
  before = path.read_bytes()
  expected = r"/a cannot be written: File too large; it needs 300 bytes\. Give"
  with pytest.raises(SymtuneError, match=expected):
    append_text(path, "y" * 300)
  with pytest.raises(SymtuneError, match=expected):
    write_whole(path, "y" * 300)
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]
  append_text(path, "z\n")
  assert path.read_bytes() == before + b"z\n"


def test_sizes_are_written_for_people():
  sizes = [in_bytes(count) for count in (0, 999, 1_000, 1_500_000, 44_210_000_000)]
  assert sizes == ["0 bytes", "999 bytes", "1.0 kB", "1.5 MB", "44.2 GB"]


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
