"""Addresses: the hub, buckets and local folders, and one line for what is none."""

import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import types
import urllib.parse

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.convert.t5x.read import open_t5x
from symtune.errors import SymtuneError
from symtune.model.axes import SHARDED_PARAMS_RULES
from symtune.model.network import Transformer, param_axes, param_shapes
from symtune.train.partition import make_mesh, param_shardings


def _hub(folder: pathlib.Path, calls: list) -> types.ModuleType:
  def snapshot_download(repository, *, revision, allow_patterns, ignore_patterns):
    assert "consolidated*" in ignore_patterns  # Mistral's second copy of its weights
    calls.append((repository, revision, allow_patterns))
    if repository == "no/model":
      raise ValueError("404\nmore")
    return str(folder)

  module = types.ModuleType("huggingface_hub")
  module.snapshot_download = snapshot_download
  return module


def test_the_hub_is_asked_for_what_a_t5_needs(huggingface_golden, monkeypatch):
  calls = []
  folder = huggingface_golden / "t5_1_1"
  monkeypatch.setitem(sys.modules, "huggingface_hub", _hub(folder, calls))
  source = open_checkpoint("hf://google/flan-t5-small@main")
  assert source.where == "hf://google/flan-t5-small@t5_1_1"
  repository, revision, patterns = calls[0]
  assert (repository, revision) == ("google/flan-t5-small", "main")
  assert not [p for p in patterns if p.endswith((".bin", ".h5", ".msgpack", "*"))]
  with pytest.raises(SymtuneError, match=r"\(ValueError: 404\).*HF_HUB_OFFLINE"):
    open_checkpoint("hf://no/model")


def test_offline_the_real_library_finds_what_is_in_its_cache(
  huggingface_golden, tmp_path
):
  """In a process of its own: the library reads its settings when it is imported."""
  pytest.importorskip("huggingface_hub", reason="needs pip install 'symtune[hub]'")
  commit = "0123456789abcdef0123456789abcdef01234567"
  model = tmp_path / "cache" / "hub" / "models--org--tiny"
  shutil.copytree(huggingface_golden / "t5_1_1", model / "snapshots" / commit)
  (model / "refs").mkdir()
  (model / "refs" / "main").write_text(commit)
  settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
  code = """
import sys
from symtune.convert.source import open_checkpoint
from symtune.errors import SymtuneError
for address in sys.argv[1:]:
  try:
    print(open_checkpoint(address).where)
  except SymtuneError as error:
    print(error)
"""
  addresses = [f"hf://org/tiny@{name}" for name in ("main", commit, "other")]
  done = subprocess.run(
    [sys.executable, "-c", code, *addresses],
    env={**os.environ, **settings},
    capture_output=True,
    text=True,
    timeout=300,
    check=True,
  )
  first, second, third = done.stdout.splitlines()
  assert first == second == f"hf://org/tiny@{commit}"
  assert third.startswith("hf://org/tiny@other cannot be downloaded")


@pytest.mark.parametrize("address", ["hf://", "hf://a/b/c", "hf://../x", "hf://a b"])
def test_bad_hub_addresses(address):
  with pytest.raises(SymtuneError, match="expected hf://ORGANISATION/MODEL"):
    open_checkpoint(address)


def test_without_the_library_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  with pytest.raises(SymtuneError, match=r"pip install 'symtune\[hub\]'"):
    open_checkpoint("hf://google/flan-t5-small")


def test_what_is_no_checkpoint(tmp_path):
  with pytest.raises(SymtuneError, match=r"no checkpoint at .*/none; expected hf://"):
    open_checkpoint(tmp_path / "none")
  with pytest.raises(SymtuneError, match="holds no known checkpoint format"):
    open_checkpoint(tmp_path)
  (tmp_path / "x.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
  with pytest.raises(SymtuneError, match="without a symtune config"):
    open_checkpoint(tmp_path / "x.safetensors")
  with pytest.raises(SymtuneError, match="expected gs://BUCKET"):
    open_checkpoint("gs://")


def test_the_vocabulary_beside_a_t5x_checkpoint_is_found(t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")
  assert open_checkpoint(folder).vocab is None
  vocab = folder.parent / "spiece.model"
  vocab.write_bytes(b"x")
  assert open_checkpoint(folder).vocab == vocab


@pytest.mark.parametrize("format_", Format)
def test_paths_with_two_dots_are_read_and_written(
  format_, huggingface_golden, monkeypatch
):
  (huggingface_golden / "here").mkdir()
  monkeypatch.chdir(huggingface_golden / "here")
  source = open_checkpoint("../t5_1_1")
  name = "w.safetensors" if format_ is Format.SYMTUNE else "out"
  place = pathlib.Path("../below/..") / name
  written = convert(source, Destination(path=place, format=format_))
  found = open_checkpoint(written)
  assert found.config == source.config
  for key, tensor in source.tensors.items():
    np.testing.assert_array_equal(found.tensors[key].read(), tensor.read())


@pytest.mark.parametrize("name", ["params", "run", "run/checkpoints"])
def test_a_run_is_read_by_a_path_with_two_dots(name, small_run, monkeypatch):
  (small_run / "here").mkdir()
  folders = {"params": small_run, "run/checkpoints": small_run.parent}
  path = folders.get(name, small_run.parents[1])
  monkeypatch.chdir(small_run / "here")
  assert open_checkpoint(os.path.relpath(path)).step == 0


@pytest.mark.parametrize("name", ["spiece.model", "sentencepiece.model"])
def test_tokenizers_beside_a_file_or_a_model_are_found(
  name, t5x_golden, huggingface_golden, tmp_path
):
  folder = t5x_golden.folder("plain", "msgpack")
  model = huggingface_golden / "t5_1_1"
  weights = convert(
    open_checkpoint(model),
    Destination(path=tmp_path / "own" / "w.safetensors", format=Format.SYMTUNE),
  )
  for opened, place in (
    (folder / "checkpoint", folder),
    (folder.parent, folder.parent),
    (model, model),
    (weights, weights.parent),
  ):
    assert open_checkpoint(opened).vocab is None
    (place / name).write_bytes(b"x")
    assert open_checkpoint(opened).vocab == place / name
    (place / name).unlink()


class _Bucket(http.server.BaseHTTPRequestHandler):
  """As much of Google Cloud Storage's JSON API as reading takes."""

  root: pathlib.Path

  def do_GET(self):
    url = urllib.parse.urlparse(self.path)
    _, _, name = url.path.partition("/o/")
    path = self.root / urllib.parse.unquote(name)
    if url.path.endswith("/o"):
      self._list(urllib.parse.parse_qs(url.query))
    elif path.is_file():
      self._send(path.read_bytes())
    else:
      self.send_error(404)

  def _list(self, query):
    import json

    prefix = query.get("prefix", [""])[0]
    files = [p for p in sorted(self.root.rglob("*")) if p.is_file()]
    names = [str(p.relative_to(self.root)) for p in files]
    items = [{"name": n, "size": "1"} for n in names if n.startswith(prefix)]
    self._send(json.dumps({"items": items}).encode())

  def _send(self, body: bytes):
    self.send_response(200)
    self.send_header("Content-Length", str(len(body)))
    self.send_header("x-goog-generation", "1")
    self.end_headers()
    self.wfile.write(body)

  def log_message(self, *_):
    pass


class _Server(http.server.ThreadingHTTPServer):
  request_queue_size = 128  # the client opens many connections at once


@pytest.fixture
def bucket(t5x_golden, monkeypatch):
  """A local stand-in for gs://bucket, which TensorStore's own client talks to."""
  handler = type("Handler", (_Bucket,), {"root": t5x_golden.root})
  server = _Server(("127.0.0.1", 0), handler)
  monkeypatch.setenv(
    "TENSORSTORE_GCS_HTTP_URL", f"http://127.0.0.1:{server.server_port}"
  )
  monkeypatch.setenv("NO_GCE_CHECK", "true")
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  yield t5x_golden
  server.shutdown()
  thread.join()
  server.server_close()


@pytest.mark.parametrize("layout", ["msgpack", "orbax"])
def test_buckets_are_read_like_folders(layout, bucket):
  address = f"gs://bucket/plain/{layout}/checkpoint_1000"
  found = open_checkpoint(address)
  local = open_t5x(str(bucket.folder("plain", layout)))
  assert found.step == 1000
  name = "decoder/layers_1/mlp/wo/kernel"
  np.testing.assert_array_equal(found.tensors[name].read(), local.params[name].read())


def test_a_tokenizer_in_a_bucket_is_copied_here(bucket, monkeypatch, tmp_path):
  monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
  (tmp_path / "temporary").mkdir()
  address = "gs://bucket/plain/msgpack/checkpoint_1000"
  assert open_checkpoint(address).vocab is None
  above = bucket.folder("plain", "msgpack").parent
  (above / "sentencepiece.model").write_bytes(b"pieces")
  assert open_checkpoint(address).vocab.read_bytes() == b"pieces"
  (above / "sentencepiece.model").write_bytes(b"others")
  assert open_checkpoint(address).vocab.read_bytes() == b"others"


def test_parameters_are_loaded_onto_a_mesh_part_by_part(huggingface_golden):
  source = open_checkpoint(huggingface_golden / "t5_1_0")
  network = Transformer(source.config)
  mesh = make_mesh()
  shardings = param_shardings(
    param_shapes(network), param_axes(network), mesh, SHARDED_PARAMS_RULES
  )
  placed = load_params(source, dtype=jnp.bfloat16, shardings=shardings)
  kernel = placed["encoder"]["layers_0"]["mlp"]["wi"]["kernel"]
  assert kernel.addressable_shards[0].data.shape == (6, 20)
  plain = load_params(source, dtype=jnp.bfloat16)
  jax.tree.map(np.testing.assert_array_equal, placed, plain)
