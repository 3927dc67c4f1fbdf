"""Reads and writes safetensors files one tensor at a time.

The safetensors library maps the whole file into memory to read it, and writes all
tensors at once; for an 11B checkpoint both take too much memory. The format is simple:
eight bytes with the length of a JSON header, the header, and the bytes of the tensors,
row-major and little-endian.
Source: https://github.com/huggingface/safetensors, README, "Format".
"""

import dataclasses
import json
import mmap
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from symtune.convert.tensors import LazyTensor
from symtune.errors import SymtuneError

_DTYPES = {
  "F32": np.dtype(np.float32),
  "BF16": np.dtype(ml_dtypes.bfloat16),
  "F16": np.dtype(np.float16),
  "F64": np.dtype(np.float64),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_HEADER = 100_000_000  # the library's own limit
_ALIGNMENT = 8
_BLOCK_BYTES = 16 * 2**20


def read_header(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, str]]:
  """Reads the header of a file and checks it against the file's size.

  Returns:
    For each name (dtype, shape, first byte, last byte + 1), with bytes counted from the
    start of the file and tensors in the order of their bytes; and the metadata.

  Raises:
    SymtuneError: no such file, not a safetensors file, or truncated.
  """
  try:
    with path.open("rb") as file:
      size = path.stat().st_size
      length = int.from_bytes(file.read(8), "little")
      if not 2 <= length <= min(_MAX_HEADER, size - 8):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
      header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    tensors = {
      name: _check_entry(name, entry, 8 + length, size)
      for name, entry in header.items()
    }
  except FileNotFoundError as error:
    raise SymtuneError(f"no file at {path}, expected safetensors.") from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise SymtuneError(
      f"{path} is not a complete safetensors file: {error}. Copy or download it again."
    ) from error
  return dict(sorted(tensors.items(), key=lambda item: item[1][2])), metadata


def _check_entry(name: str, entry: Mapping[str, Any], base: int, size: int) -> tuple:
  if entry["dtype"] not in _DTYPES:
    raise ValueError(f"tensor {name} is {entry['dtype']}, expected {list(_DTYPES)}")
  dtype, shape = _DTYPES[entry["dtype"]], tuple(int(n) for n in entry["shape"])
  start, end = (base + int(offset) for offset in entry["data_offsets"])
  if min(shape, default=0) < 0 or start < base:
    raise ValueError(f"tensor {name} of shape {list(shape)} starts at byte {start}")
  if end - start != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
    raise ValueError(f"tensor {name} of shape {list(shape)} has {end - start} bytes")
  if end > size:
    raise ValueError(f"tensor {name} ends at byte {end} of {size}: it is truncated")
  return dtype, shape, start, end


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
  count = int(np.prod(shape, dtype=np.int64))

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
