"""Folders that hold checkpoints: local ones and gs:// buckets, read the same way."""

import dataclasses
import functools
import pathlib
import re
from typing import Any

import tensorstore

from symtune.errors import SymtuneError

_GS = re.compile(r"gs://([^/]+)/?(.*)", re.DOTALL)
# Few reads at a time, since each holds its own buffers.
_CONTEXT = {
  "file_io_concurrency": {"limit": 4},
  "gcs_request_concurrency": {"limit": 8},
  "data_copy_concurrency": {"limit": 2},
}


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
      SymtuneError: the storage cannot be reached.
    """
    folder, _, file = name.rpartition("/")
    try:
      store = tensorstore.KvStore.open(self.store(folder), context=context()).result()
      found = store.read(file).result()
    except (ValueError, OSError) as error:
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
    except (ValueError, OSError) as error:
      raise self.unreachable(error) from error

  def folders(self) -> list[str]:
    """The names of the folders in this one, sorted.

    Raises:
      SymtuneError: the storage cannot be reached.
    """
    if self.spec["driver"] == "file":
      return sorted(p.name for p in pathlib.Path(self.path).iterdir() if p.is_dir())
    return sorted({name.split("/")[0] for name in self.files() if "/" in name})

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
  local = pathlib.Path(path).absolute()
  if not local.is_dir():
    raise SymtuneError(f"{path} is not a folder; expected a checkpoint's folder.")
  return Folder(where=path, spec={"driver": "file"}, path=f"{local}/")


@functools.cache
def context() -> tensorstore.Context:
  """Limits how many reads and copies run at once; shared, to reuse connections."""
  return tensorstore.Context(_CONTEXT)
