"""Damaged and hostile T5X checkpoints give one line, and soon."""

import json

import flax.serialization
import numpy as np
import pytest

from symtune.convert.source import open_checkpoint
from symtune.convert.t5x.read import open_t5x
from symtune.convert.t5x.tree import t5x_source
from symtune.errors import SymtuneError


def _edited(folder, edit):
  """The msgpack layout with its tree changed."""
  file = folder / "checkpoint"
  content = flax.serialization.msgpack_restore(file.read_bytes())
  file.write_bytes(flax.serialization.msgpack_serialize(edit(content)))
  return str(folder)


def _kernel(content):
  return content["optimizer"]["target"]["encoder"]["layers_0"]["mlp"]["wi_0"]["kernel"]


def _norm(content, value):
  content["optimizer"]["target"]["encoder"]["encoder_norm"]["scale"] = value
  return content


def _spec(**changes):
  def edit(content):
    _kernel(content).update(changes)
    return content

  return edit


BAD = {
  "list": (lambda _: [1], "checkpoint cannot be read"),
  "number": (lambda _: 7, "checkpoint cannot be read"),
  "version": (lambda c: {**c, "version": "new"}, "checkpoint cannot be read"),
  "no version": (lambda c: {"optimizer": c["optimizer"]}, "checkpoint cannot be read"),
  "tree": (lambda c: {**c, "optimizer": 5}, "checkpoint cannot be read"),
  "kvstore": (_spec(kvstore="gs://x"), "expected a specification"),
  "path": (_spec(kvstore={"path": 5}), "expected a specification"),
  "metadata": (_spec(metadata=None), "expected a specification"),
  "shape": (_spec(metadata={"shape": "12"}), "expected a specification"),
  "sizes": (_spec(metadata={"shape": [1.5, "x"]}), "expected a specification"),
  "driver": (_spec(driver=5), "expected a specification"),
  "other driver": (_spec(driver="json"), "expected a specification"),
  "text leaf": (lambda c: _norm(c, "text"), "expected an array"),
  "bytes leaf": (lambda c: _norm(c, b"\0"), "expected an array"),
  "complex leaf": (lambda c: _norm(c, 1j), "expected an array"),
  "whole numbers": (
    lambda c: _norm(c, np.ones(12, np.int32)),
    "is int32, expected floating-point numbers",
  ),
  "step": (
    lambda c: c["optimizer"]["state"].update(step=np.zeros(3)) or c,
    "state/step is float64",
  ),
  "step text": (lambda c: c["optimizer"]["state"].update(step="9") or c, "state/step"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_types_in_the_msgpack_file_are_named(name, t5x_golden):
  edit, message = BAD[name]
  folder = _edited(t5x_golden.folder("plain", "msgpack"), edit)
  with pytest.raises(SymtuneError, match=message):
    t5x_source(folder)


@pytest.mark.parametrize(
  "content",
  [
    b"[]",
    b'{"tree_metadata": 5}',
    b'{"tree_metadata": {"a": 5}}',
    b'{"tree_metadata": {"a": {"key_metadata": [{}]}}}',
    b"[" * 100_000,
    b"\xff",
  ],
)
def test_wrong_types_in_the_metadata_of_orbax_are_named(content, t5x_golden):
  folder = t5x_golden.folder("plain", "orbax")
  (folder / "state" / "_METADATA").write_bytes(content)
  with pytest.raises(SymtuneError, match="_METADATA cannot be read"):
    open_t5x(str(folder))


@pytest.mark.parametrize("shape", [[10**18, 12], [10**9, 10**9], "text", None, [1.5]])
def test_shapes_that_no_memory_holds_are_refused_before_any_is_taken(shape, t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")
  path = folder / "target.token_embedder.embedding" / ".zarray"
  about = {**json.loads(path.read_text()), "shape": shape}
  path.write_text(json.dumps(about))

  def edit(content):
    spec = content["optimizer"]["target"]["token_embedder"]["embedding"]
    if isinstance(shape, list):
      spec["metadata"]["shape"] = shape
    return content

  with pytest.raises(SymtuneError, match="token_embedder/embedding"):
    t5x_source(_edited(folder, edit))


def test_a_bucket_that_cannot_be_reached_is_named_within_seconds(monkeypatch):
  """Nothing listens on this port."""
  monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", "http://127.0.0.1:9")
  monkeypatch.setenv("NO_GCE_CHECK", "true")
  with pytest.raises(SymtuneError, match=r"gs://bucket/x cannot be read .*network"):
    open_checkpoint("gs://bucket/x")


@pytest.mark.parametrize("address", ["s3://bucket/x", "https://host/x", "file:///x"])
def test_other_storage_is_named(address):
  with pytest.raises(SymtuneError, match=f"got '{address}', expected hf://.* Copy a"):
    open_checkpoint(address)
