"""The safetensors files of a Transformers folder: one, or several shards with an index.

PyTorch pickles (pytorch_model.bin) are not read: loading one can run its author's code.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from symtune.convert.folders import local_file
from symtune.convert.model_folder import read_object
from symtune.convert.safetensors_file import (
  PlannedFile,
  read_safetensors,
  write_safetensors,
)
from symtune.convert.tensors import LazyTensor, list_some
from symtune.errors import SymtuneError
from symtune.files import write_whole

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Transformers' own default (save_pretrained, max_shard_size).
SHARD_BYTES = 5 * 10**9


def open_shards(folder: pathlib.Path) -> dict[str, LazyTensor]:
  """Opens the tensors of all files, by Transformers' names.

  Args:
    folder: a Transformers model.

  Raises:
    SymtuneError: there are none, one is missing or damaged, or the index contradicts
      them; names the file.
  """
  if local_file(folder, WEIGHTS) is not None:
    return read_safetensors(folder / WEIGHTS)
  if local_file(folder, INDEX) is None:
    raise SymtuneError(
      f"{folder} has no {WEIGHTS} and no {INDEX}; expected one of them. A "
      "pytorch_model.bin is not read: loading one can run its author's code. Get the "
      "model's safetensors; a T5 may have a T5X checkpoint instead."
    )
  by_name = read_object(folder / INDEX).get("weight_map")
  if not isinstance(by_name, dict) or not by_name:
    raise SymtuneError(
      f"{folder / INDEX} has no weight_map; expected a map from names to files. "
      "Download it again."
    )
  found: dict[str, LazyTensor] = {}
  for file in dict.fromkeys(map(str, by_name.values())):
    if file in ("", ".", "..") or pathlib.PurePath(file).name != file:
      raise SymtuneError(
        f"{folder / INDEX} names {file!r}, expected a file in the same folder."
      )
    shard = read_safetensors(folder / file)
    twice = sorted(found.keys() & shard.keys())
    if twice:
      raise SymtuneError(
        f"{folder / file} holds tensors that another shard also holds: "
        f"{list_some(twice)}. The folder mixes two models: download it again."
      )
    found |= shard
  absent = [name for name in by_name if name not in found]
  if absent:
    raise SymtuneError(
      f"{folder / INDEX} lists tensors that no shard has: {list_some(absent)}. "
      "Download the model again."
    )
  return found


def are_equal(left: LazyTensor, right: LazyTensor | None) -> bool:
  """Whether two tensors have the same type, shape and numbers."""
  if right is None or left.shape != right.shape or left.dtype != right.dtype:
    return False
  return np.array_equal(left.read(), right.read())


def write_shards(
  folder: pathlib.Path,
  named: Mapping[str, LazyTensor],
  *,
  dtype: np.dtype,
  shard_bytes: int = SHARD_BYTES,
) -> Iterator[str]:
  """Writes tensors and, for several files, their index; yields each name once written.

  Args:
    folder: an existing folder.
    named: the tensors, by Transformers' names.
    dtype: type of the stored numbers.
    shard_bytes: largest size of a file in bytes.

  Raises:
    SymtuneError: a tensor is unreadable.
  """
  shards = _cut_shards(named, dtype.itemsize, shard_bytes)
  files = {}
  for number, names in enumerate(shards, start=1):
    file = WEIGHTS
    if len(shards) > 1:
      file = f"model-{number:05}-of-{len(shards):05}.safetensors"
    files |= dict.fromkeys(names, file)
    yield from write_safetensors(
      PlannedFile(
        path=folder / file,
        tensors={name: named[name] for name in names},
        dtypes=dict.fromkeys(names, dtype),
        metadata={"format": "pt"},
      )
    )
  if len(shards) > 1:
    total = dtype.itemsize * sum(tensor.size for tensor in named.values())
    index = {
      "metadata": {"total_size": total},
      "weight_map": dict(sorted(files.items())),
    }
    write_object(folder / INDEX, index)


def _cut_shards(
  named: Mapping[str, LazyTensor], itemsize: int, limit: int
) -> list[list[str]]:
  """Splits the names, in order; only a single large tensor may exceed the limit."""
  shards: list[list[str]] = [[]]
  filled = 0
  for name, tensor in named.items():
    size = itemsize * tensor.size
    if shards[-1] and filled + size > limit:
      shards.append([])
      filled = 0
    shards[-1].append(name)
    filled += size
  return shards


def write_object(path: pathlib.Path, content: Mapping[str, Any]) -> None:
  """Writes a JSON object as Transformers does, on indented lines."""
  write_whole(path, json.dumps(content, indent=2) + "\n")
