"""The versions that affect a run's results; all its processes must share them."""

import hashlib
import importlib.metadata
import pathlib
import platform
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

import symtune
from symtune.errors import SymtuneError

# Packages that draw, compute or store numbers, or that read and tokenize text.
PACKAGES = (
  "jax",
  "jaxlib",
  "libtpu",
  "jax-cuda12-plugin",
  "jax-cuda13-plugin",
  "flax",
  "optax",
  "orbax-checkpoint",
  "tensorstore",
  "numpy",
  "ml_dtypes",
  "grain",
  "gin-config",
  "pyyaml",
  "safetensors",
  "sentencepiece",
  "wordfreq",
)
_WIDTH = 64  # bytes compared of each version
_MISSING = "not installed"


def versions() -> dict[str, str]:
  """The versions of Python, symtune and `PACKAGES` in this process.

  Symtune's own includes a hash of its source files, because two checkouts may differ
  and still have the same version.
  """
  packages = {name: _version(name) for name in PACKAGES}
  own = f"{symtune.__version__} (sources {_hash_sources()})"
  return {"python": platform.python_version(), "symtune": own, **packages}


def describe_differences(everyone: Sequence[Mapping[str, str]]) -> str | None:
  """The versions that differ between processes, or None if they agree.

  Args:
    everyone: the `versions` of each process, in order.

  Returns:
    For each package that differs, the first process that differs from process 0, and
    both versions.
  """
  first, found = everyone[0], []
  for name, version in first.items():
    others = [(i, mine[name]) for i, mine in enumerate(everyone)]
    other = next((pair for pair in others if pair[1] != version), None)
    if other is not None:
      found.append(f"process {other[0]} has {name} {other[1]}, process 0 has {version}")
  return "; ".join(found) or None


def check_versions() -> None:
  """Refuses processes with different versions; every process must call it.

  Raises:
    SymtuneError: in every process, with the same message, if one differs.
  """
  if jax.process_count() == 1:
    return
  mine = versions()
  cells = [version.encode()[:_WIDTH].ljust(_WIDTH, b"\0") for version in mine.values()]
  table = np.frombuffer(b"".join(cells), np.uint8).reshape(len(mine), _WIDTH)
  gathered = np.asarray(multihost_utils.process_allgather(table))
  problem = describe_differences(
    [
      {
        name: row.tobytes().rstrip(b"\0").decode(errors="replace")
        for name, row in zip(mine, rows, strict=True)
      }
      for rows in gathered
    ]
  )
  if problem is not None:
    raise SymtuneError(
      f"the processes of this run have different versions: {problem}. Install the same "
      f"versions on every host (constraints.txt)."
    )


def _version(name: str) -> str:
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return _MISSING


def _hash_sources() -> str:
  folder = pathlib.Path(__file__).resolve().parents[1]
  digest = hashlib.sha256()
  for path in sorted(folder.rglob("*.py")):
    content = path.read_bytes()
    digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
  return digest.hexdigest()[:12]
