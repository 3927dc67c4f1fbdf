"""Folders that hold checkpoints: local ones and gs:// buckets, read the same way.

A checkpoint that somebody else made must not reach files outside of its folder: links
that lead out of it are refused, and so are pipes and devices.
"""

import dataclasses
import functools
import os
import pathlib
import re
import stat
from typing import Any

import tensorstore

from symtune.bounded import local_size, read_bytes
from symtune.errors import SymtuneError

_GS = re.compile(r"gs://([^/]+)/?(.*)", re.DOTALL)
_HUB_CACHE = "models--"
# Few reads at a time, since each holds its own buffers.
_CONTEXT = {
  "file_io_concurrency": {"limit": 4},
  "gcs_request_concurrency": {"limit": 8},
  # Without a network, an answer within seconds.
  "gcs_request_retries": {
    "max_retries": 3,
    "initial_delay": "500ms",
    "max_delay": "2s",
  },
  "data_copy_concurrency": {"limit": 2},
}
# The files that are read whole are lists of arrays, and small arrays themselves.
_MAX_BYTES = 2_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
  """A folder, given as a TensorStore specification.

  Attributes:
    where: path or address, for messages.
    spec: a key-value store without its path, such as {"driver": "file"}.
    path: path in the store; empty, or ends with "/".
  """

  where: str
  spec: dict[str, Any]
  path: str

  def store(self, name: str = "") -> dict[str, Any]:
    """The specification of a folder inside this one, or of this one.

    Raises:
      SymtuneError: the name points outside this folder.
    """
    parts = [part for part in name.split("/") if part]
    if name.startswith("/") or ".." in parts or "\\" in name:
      raise SymtuneError(
        f"{self.where} refers to {name!r}, which is outside the folder; expected names "
        "inside it. Get the checkpoint from where it was published."
      )
    inside = "".join(f"{part}/" for part in parts)
    return {**self.spec, "path": self.path + inside}

  def read(self, name: str) -> bytes | None:
    """The bytes of a file, or None if there is no such file.

    Raises:
      SymtuneError: the storage cannot be reached, or the file is a link that leads out
        of the folder, or no regular file.
    """
    folder, _, file = name.rpartition("/")
    store = self.store(folder)
    if self.spec["driver"] == "file":
      path = local_file(pathlib.Path(self.path), name)
      return None if path is None else read_bytes(path, _MAX_BYTES)
    try:
      opened = tensorstore.KvStore.open(store, context=context()).result()
      found = opened.read(file).result()
    except Exception as error:  # the storage's own kinds
      raise self.unreachable(error) from error
    return found.value if found.state == "value" else None

  def files(self, name: str = "") -> list[str]:
    """The paths of all files inside a folder, relative to it, sorted.

    Raises:
      SymtuneError: the storage cannot be reached.
    """
    try:
      store = tensorstore.KvStore.open(self.store(name), context=context()).result()
      return sorted(key.decode() for key in store.list().result())
    except Exception as error:
      raise self.unreachable(error) from error

  def folders(self) -> list[str]:
    """The names of the folders in this one, sorted.

    Raises:
      SymtuneError: the storage cannot be reached.
    """
    if self.spec["driver"] == "file":
      return sorted(p.name for p in pathlib.Path(self.path).iterdir() if p.is_dir())
    return sorted({name.split("/")[0] for name in self.files() if "/" in name})

  def check_files(self) -> None:
    """Refuses links that lead out of a local folder, and what is no regular file.

    Raises:
      SymtuneError: there is such a file; names it.
    """
    if self.spec["driver"] != "file":
      return
    root = pathlib.Path(self.path)
    for place, folders, files in os.walk(root):
      for path in (pathlib.Path(place, name) for name in (*folders, *files)):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
          _check_link(path, root)
        elif not stat.S_ISDIR(mode):
          local_file(root, str(path.relative_to(root)))

  def inside(self, name: str) -> "Folder":
    """A folder inside this one."""
    where = f"{self.where.rstrip('/')}/{name}"
    return Folder(where=where, spec=self.spec, path=self.store(name)["path"])

  def unreachable(self, error: Exception) -> SymtuneError:
    """Turns an error of the storage into a SymtuneError."""
    first = (str(error).splitlines() or [""])[0]
    return SymtuneError(
      f"{self.where} cannot be read ({type(error).__name__}: {first}). Check the "
      "address and the network, or copy the folder to this machine and give its path."
    )


def local_file(folder: pathlib.Path, name: str) -> pathlib.Path | None:
  """A file of a checkpoint in a local folder, or None if there is none.

  Args:
    folder: the checkpoint's folder.
    name: path of the file in it.

  Raises:
    SymtuneError: it is a link that leads out of the folder, or no regular file.
  """
  path = folder / name
  if not os.path.lexists(path):
    return None
  _check_link(path, folder)
  try:
    local_size(path)  # refuses pipes and devices
  except FileNotFoundError:  # a link to nothing
    return None
  return path


def _check_link(path: pathlib.Path, folder: pathlib.Path) -> None:
  try:
    target, inside = path.resolve(), [folder.resolve()]
  except (OSError, RuntimeError) as error:  # a link to itself; the class has changed
    raise SymtuneError(
      f"{path} is a link without an end; expected a file. Get the checkpoint again."
    ) from error
  # The hub's cache keeps the files of a model in one place, and links to them.
  for place in (folder.absolute(), *folder.absolute().parents):
    if place.name.startswith(_HUB_CACHE):
      inside.append(place.resolve())
  if not any(target.is_relative_to(place) for place in inside):
    raise SymtuneError(
      f"{path} is a link to {target}, which is outside of the checkpoint's folder; "
      "expected files inside it. If you trust it, put the file itself there."
    )


def open_folder(path: str) -> Folder:
  """Opens a folder by its path or its gs:// address.

  Args:
    path: a local folder, or gs://bucket/folder. TensorStore reads buckets anonymously,
      or with Google's application default credentials if they are set.

  Raises:
    SymtuneError: a local path is not a folder, or an address has no bucket.
  """
  if path.startswith("gs://"):
    match = _GS.fullmatch(path)
    if match is None:
      raise SymtuneError(f"got {path!r}, expected gs://BUCKET/FOLDER.")
    inside = match[2].strip("/")
    spec = {"driver": "gcs", "bucket": match[1]}
    return Folder(where=path, spec=spec, path=f"{inside}/" if inside else "")
  local = pathlib.Path(path).resolve()
  if not local.is_dir():
    raise SymtuneError(f"{path} is not a folder; expected a checkpoint's folder.")
  return Folder(where=path, spec={"driver": "file"}, path=f"{local}/")


@functools.cache
def context() -> tensorstore.Context:
  """Limits how many reads and copies run at once; shared, to reuse connections."""
  return tensorstore.Context(_CONTEXT)
