"""Safetensors files: what the reference library refuses is refused, in one line."""

import json
import os

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from symtune.convert.safetensors_file import read_header, read_safetensors
from symtune.errors import SymtuneError


def _file(path, header, data=b"\0" * 16):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  path.write_bytes(len(text).to_bytes(8, "little") + text + data)
  return path


def _entry(start, end, shape=None, dtype="F32"):
  shape = [(end - start) // 4] if shape is None else shape
  return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


BAD = {
  "overlapping": ({"a": _entry(0, 12), "b": _entry(8, 16)}, "b overlaps the tensor"),
  "same bytes": ({"a": _entry(0, 16), "b": _entry(0, 16)}, "overlaps the tensor"),
  "gap": ({"a": _entry(0, 4), "b": _entry(8, 16)}, "b follows a gap"),
  "gap at the start": ({"a": _entry(4, 16)}, "a follows a gap"),
  "trailing bytes": ({"a": _entry(0, 8)}, "8 bytes follow the last tensor"),
  "truncated": ({"a": _entry(0, 32)}, "it is truncated"),
  "backwards": ({"a": _entry(16, 0, [0])}, "has -16 bytes"),
  "negative": ({"a": _entry(0, 16, [-4])}, "no list of sizes"),
  "size": ({"a": _entry(0, 16, [5])}, "of shape .5. has 16 bytes"),
  "overflow": ({"a": _entry(0, 16, [2**62, 4])}, "has 16 bytes"),
  "beyond numbers": ({"a": _entry(0, 16, [2**80])}, "no list of sizes"),
  "axes": ({"a": _entry(0, 16, [4] + [1] * 99)}, "no list of sizes"),
  "float": ({"a": _entry(0, 16, [4.0])}, "no list of sizes"),
  "bool": ({"a": _entry(0, 16, [True, 4])}, "no list of sizes"),
  "no shape": ({"a": _entry(0, 16, "4")}, "no list of sizes"),
  "offsets": ({"a": {**_entry(0, 16), "data_offsets": [0]}}, "no two numbers"),
  "no offsets": ({"a": {"dtype": "F32", "shape": [4]}}, "no two numbers"),
  "type": ({"a": _entry(0, 16, dtype="I8")}, "is 'I8', expected"),
  "types": ({"a": _entry(0, 16, dtype=["F32"])}, "expected"),
  "entry": ({"a": 3}, "is None, expected"),
  "metadata": ({"a": _entry(0, 16), "__metadata__": {"x": 1}}, "__metadata__ is not"),
  "list": (b"[]", "the header is no JSON object"),
  "infinite": (b'{"a":{"shape":[1e999]}}', "expected a finite one"),
  "digits": (b'{"a":{"shape":[' + b"9" * 5000 + b"]}}", "too long"),
  "deep": (b'{"a":' + b"[" * 100_000, "nested too deeply"),
  "twice": (b'{"a":1,"a":2}', "'a' occurs twice"),
  "encoding": (b'{"\xff":1}', "not UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_safetensors_file_is_refused(name, tmp_path):
  header, message = BAD[name]
  path = _file(tmp_path / "x.safetensors", header)
  with pytest.raises(
    SymtuneError, match=f"not a complete safetensors file: .*{message}"
  ):
    read_header(path)


@pytest.mark.parametrize(
  "name", ["overlapping", "gap", "gap at the start", "trailing bytes", "size", "list"]
)
def test_the_reference_library_refuses_them_too(name, tmp_path):
  path = _file(tmp_path / "x.safetensors", BAD[name][0])
  with pytest.raises(safetensors.SafetensorError):
    safetensors.numpy.load_file(path)


def test_tensors_in_any_order_and_empty_ones_are_read(tmp_path):
  values = {"b": np.arange(4.0), "a": np.zeros((0, 3)), "c": np.float32(7)}
  safetensors.numpy.save_file(
    {name: np.asarray(v, np.float32) for name, v in values.items()},
    tmp_path / "x.safetensors",
  )
  found = read_safetensors(tmp_path / "x.safetensors")
  for name, value in values.items():
    np.testing.assert_array_equal(found[name].read(), value)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_before_it_is_opened(kind, tmp_path):
  path = tmp_path / "model.safetensors"
  if kind == "pipe":
    os.mkfifo(path)
  elif kind == "folder":
    path.mkdir()
  else:
    path.symlink_to("/dev/zero")
  with pytest.raises(SymtuneError, match=r"expected a file|outside of"):
    read_header(path)
