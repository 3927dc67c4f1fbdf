"""Files are whole or as they were."""

from symtune.files import write_whole


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
