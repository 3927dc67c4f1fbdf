"""Reads and writes safetensors files one tensor at a time.

The safetensors library maps the whole file into memory to read it, and writes all
tensors at once; for an 11B checkpoint both take too much memory. The format is simple:
eight bytes with the length of a JSON header, the header, and the bytes of the tensors,
row-major and little-endian.
Source: https://github.com/huggingface/safetensors, README, "Format".
"""

import dataclasses
import json
import math
import mmap
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TypeGuard

import ml_dtypes
import numpy as np

from symtune.bounded import parse_json
from symtune.convert.folders import local_file
from symtune.convert.tensors import LazyTensor
from symtune.errors import SymtuneError

_DTYPES = {
  "F32": np.dtype(np.float32),
  "BF16": np.dtype(ml_dtypes.bfloat16),
  "F16": np.dtype(np.float16),
  "F64": np.dtype(np.float64),
  # Masks that older models stored as buffers; never parameters.
  "U8": np.dtype(np.uint8),
  "BOOL": np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_HEADER = 100_000_000  # the library's own limit
_MAX_AXES = 32
_MAX_COUNT = 2**63
_ALIGNMENT = 8
_BLOCK_BYTES = 16 * 2**20


def read_header(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, str]]:
  """Reads the header of a file and checks it against the file's size.

  Returns:
    For each name (dtype, shape, first byte, last byte + 1), with bytes counted from the
    start of the file and tensors in the order of their bytes; and the metadata.

  Raises:
    SymtuneError: no such file, not a safetensors file, or truncated; bytes belong to
      two tensors or to none.
  """
  if not path.exists():
    raise SymtuneError(f"no file at {path}, expected safetensors.")
  local_file(path.parent, path.name)  # a pipe would never end
  try:
    with path.open("rb") as file:
      size = path.stat().st_size
      length = int.from_bytes(file.read(8), "little")
      if not 2 <= length <= min(_MAX_HEADER, size - 8):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
      content = file.read(length)
    header = parse_json(content) if content.startswith(b"{") else None
    if not isinstance(header, dict):
      raise ValueError("the header is no JSON object")
    metadata = header.pop("__metadata__", {})
    _check_metadata(metadata)
    tensors = {
      name: _check_entry(name, entry, 8 + length) for name, entry in header.items()
    }
    tensors = dict(sorted(tensors.items(), key=lambda item: item[1][2:]))
    _check_bytes(tensors, 8 + length, size)
  except (ValueError, SymtuneError) as error:
    raise SymtuneError(
      f"{path} is not a complete safetensors file: {error}. Copy or download it again."
    ) from error
  return tensors, metadata


def _check_metadata(metadata: Any) -> None:
  values = metadata.values() if isinstance(metadata, dict) else [None]
  if not all(isinstance(value, str) for value in values):
    raise ValueError("its __metadata__ is not text by key")


def _check_entry(
  name: str, entry: Any, base: int
) -> tuple[np.dtype, tuple[int, ...], int, int]:
  """The type and shape of a tensor, and where its bytes start and end in the file."""
  entry = entry if isinstance(entry, dict) else {}
  kind = entry.get("dtype")
  dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
  if dtype is None:
    raise ValueError(f"tensor {name} is {kind!r}, expected {list(_DTYPES)}")
  shape, offsets = entry.get("shape"), entry.get("data_offsets")
  if not _are_counts(shape) or len(shape) > _MAX_AXES:
    raise ValueError(f"tensor {name} has a shape that is no list of sizes")
  if not _are_counts(offsets) or len(offsets) != 2:
    raise ValueError(f"tensor {name} has data_offsets that are no two numbers")
  start, end = offsets
  if end - start != dtype.itemsize * math.prod(shape):
    raise ValueError(f"tensor {name} of shape {shape} has {end - start} bytes")
  return dtype, tuple(shape), base + start, base + end


def _are_counts(value: Any) -> TypeGuard[list[int]]:
  return isinstance(value, list) and all(
    type(n) is int and 0 <= n < _MAX_COUNT for n in value
  )


def _check_bytes(tensors: Mapping[str, tuple], base: int, size: int) -> None:
  """Every byte belongs to one tensor, as the safetensors library requires."""
  last = base
  for name, (_, _, start, end) in tensors.items():
    if start != last:
      fault = "overlaps the tensor before it" if start < last else "follows a gap"
      raise ValueError(f"tensor {name} {fault}: it starts at byte {start}, not {last}")
    if end > size:
      raise ValueError(f"tensor {name} ends at byte {end} of {size}: it is truncated")
    last = end
  if last != size:
    raise ValueError(f"{size - last} bytes follow the last tensor")


def read_safetensors(path: pathlib.Path) -> dict[str, LazyTensor]:
  """The tensors of a file, by name, in the order of their bytes.

  Raises:
    SymtuneError: no such file, not a safetensors file, or truncated.
  """
  header, _ = read_header(path)
  return {name: _lazy(path, name, *entry[:3]) for name, entry in header.items()}


def _lazy(
  path: pathlib.Path, name: str, dtype: np.dtype, shape: tuple[int, ...], start: int
) -> LazyTensor:
  count = math.prod(shape)

  def read() -> np.ndarray:
    if not count:
      return np.empty(shape, dtype)
    end = start + count * dtype.itemsize
    if path.stat().st_size < end:
      raise SymtuneError(
        f"{path}: tensor {name} is truncated. Copy or download the file again."
      )
    # Tensors that are mapped one by one leave memory with their arrays; a map of the
    # whole file would stay and count as memory of this process.
    first = start - start % mmap.ALLOCATIONGRANULARITY
    with path.open("rb") as file:
      mapped = mmap.mmap(
        file.fileno(), end - first, access=mmap.ACCESS_READ, offset=first
      )
    return np.frombuffer(mapped, dtype, count, start - first).reshape(shape)

  return LazyTensor(shape=shape, dtype=dtype, read=read)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedFile:
  """A file to be written; its header is known before any tensor is read.

  Attributes:
    path: where to write the file.
    tensors: the tensors by name, in the order of the file's bytes.
    dtypes: type of each tensor on disk.
    metadata: text by key, stored in the header.
  """

  path: pathlib.Path
  tensors: Mapping[str, LazyTensor]
  dtypes: Mapping[str, np.dtype]
  metadata: Mapping[str, str]


def write_safetensors(plan: PlannedFile) -> Iterator[str]:
  """Writes a file tensor by tensor; yields each name once its bytes are written.

  Not atomic: use a temporary name and rename the file. The same tensors give the same
  bytes.

  Args:
    plan: what to write, and where.

  Raises:
    SymtuneError: a tensor cannot be read, or does not have the planned shape.
  """
  header: dict[str, Any] = {}
  if plan.metadata:
    header["__metadata__"] = dict(sorted(plan.metadata.items()))
  end = 0
  for name, tensor in plan.tensors.items():
    start, dtype = end, plan.dtypes[name]
    end += dtype.itemsize * tensor.size
    header[name] = {
      "dtype": _NAMES[dtype],
      "shape": list(tensor.shape),
      "data_offsets": [start, end],
    }
  text = json.dumps(header, separators=(",", ":")).encode()
  text += b" " * (-len(text) % _ALIGNMENT)
  with plan.path.open("wb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    for name, tensor in plan.tensors.items():
      _write_tensor(file, name, tensor, plan.dtypes[name])
      yield name


def _write_tensor(
  file: BinaryIO, name: str, tensor: LazyTensor, dtype: np.dtype
) -> None:
  value = tensor.read()
  if value.shape != tensor.shape:
    raise SymtuneError(
      f"tensor {name} was read with shape {list(value.shape)}, expected "
      f"{list(tensor.shape)}. The file changed while it was converted: start again."
    )
  rows = value if value.ndim else value.reshape(1)
  row_bytes = max(1, dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64)))
  step = max(1, _BLOCK_BYTES // row_bytes)
  for start in range(0, len(rows), step):
    # Block by block, so that memory never holds a transposed or cast copy of a tensor.
    block = rows[start : start + step].astype(dtype, order="C", copy=False)
    file.write(np.ascontiguousarray(block).view(np.uint8).data)
