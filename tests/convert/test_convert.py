"""`symtune convert`: every format into every other, whole or not at all."""

import dataclasses
import io
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rich.console

from symtune.cards.resources import resource_dir
from symtune.convert.convert import Destination, Format, convert
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.convert.tensors import LazyTensor, SourceCheckpoint
from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS
from symtune.train.state import create_state

CONFIG = T5Config(
  vocab_size=16,
  emb_dim=6,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=2,
  head_dim=4,
  mlp_dim=10,
  mlp_activations=("gelu", "linear"),
)


@pytest.fixture(scope="module")
def source(held_tensors) -> SourceCheckpoint:
  params = init_params(Transformer(CONFIG), jax.random.key(0))
  return SourceCheckpoint(
    where="memory", config=CONFIG, tensors=held_tensors(params), step=12
  )


def _destination(folder: pathlib.Path, format_: Format, **kwargs) -> Destination:
  name = "weights.safetensors" if format_ is Format.SYMTUNE else format_.value
  return Destination(path=folder / name, format=format_, **kwargs)


def _assert_equal(left: SourceCheckpoint, right: SourceCheckpoint) -> None:
  assert left.config == right.config
  assert left.tensors.keys() == right.tensors.keys()
  for name, tensor in left.tensors.items():
    np.testing.assert_array_equal(tensor.read(), right.tensors[name].read())


@pytest.mark.parametrize("second", Format)
@pytest.mark.parametrize("first", Format)
def test_every_format_becomes_every_other(first, second, source, tmp_path):
  (tmp_path / "a").mkdir()
  middle = open_checkpoint(convert(source, _destination(tmp_path / "a", first)))
  written = convert(middle, _destination(tmp_path / "b", second))
  _assert_equal(open_checkpoint(written), source)
  assert not list(tmp_path.rglob("*.partial"))


def test_a_run_is_opened_at_its_newest_step(source, tmp_path):
  state = create_state(load_params(source), optax.sgd(0.1), 0)
  values = {f.name: getattr(CONFIG, f.name) for f in dataclasses.fields(CONFIG)}
  model = {**values, "dtype": "float32", "mlp_activations": ["gelu", "linear"]}
  places = [tmp_path, tmp_path / CHECKPOINTS, tmp_path / CHECKPOINTS / "12"]
  for step in (3, 12):
    checkpoint.save(
      places[1],
      state.replace(step=jnp.int32(step)),
      {},
      config_hash="x",
      config={"model": model, "vocab": "microworld/vocab.model"},
    )
  for place in places:
    opened = open_checkpoint(place)
    assert opened.step == 12
    assert opened.vocab == resource_dir("tasks") / "microworld" / "vocab.model"
    _assert_equal(opened, source)
  (places[2] / "run" / "metadata").write_text("{")
  with pytest.raises(SymtuneError, match="metadata is damaged"):
    open_checkpoint(tmp_path)


def test_t5x_folders_are_named_after_their_step(source, tmp_path):
  written = convert(source, _destination(tmp_path, Format.T5X))
  assert written == tmp_path / "t5x" / "checkpoint_12"
  assert open_checkpoint(tmp_path / "t5x").step == 12
  again = convert(source, _destination(tmp_path, Format.T5X, step=13))
  assert again.name == "checkpoint_13"


@pytest.mark.parametrize("format_", Format)
def test_bfloat16_rounds_every_tensor(format_, source, tmp_path):
  written = convert(source, _destination(tmp_path, format_, dtype="bfloat16"))
  for name, tensor in open_checkpoint(written).tensors.items():
    assert tensor.dtype == jnp.bfloat16
    wanted = source.tensors[name].read().astype(jnp.bfloat16)
    np.testing.assert_array_equal(tensor.read(), wanted)


def test_float16_is_refused_with_the_reason(source, tmp_path):
  with pytest.raises(SymtuneError, match="exceed float16's 65,504"):
    _destination(tmp_path, Format.T5X, dtype="float16")
  with pytest.raises(SymtuneError, match="exceed float16's 65,504"):
    load_params(source, dtype="float16")
  with pytest.raises(SymtuneError, match="expected one of"):
    load_params(source, dtype="int32")


@pytest.mark.parametrize("format_", Format)
def test_a_damaged_tensor_leaves_nothing(format_, source, tmp_path):
  def fail():
    raise SymtuneError("tensor x is truncated")

  name = list(source.tensors)[-1]
  bad = LazyTensor(shape=source.tensors[name].shape, dtype=np.dtype("f4"), read=fail)
  broken = SourceCheckpoint(
    where="x", config=CONFIG, tensors={**source.tensors, name: bad}
  )
  with pytest.raises(SymtuneError, match="truncated"):
    convert(broken, _destination(tmp_path, format_))
  assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_taken_place_is_left_alone(source, tmp_path):
  (tmp_path / "huggingface").mkdir()
  with pytest.raises(SymtuneError, match="exists already"):
    convert(source, _destination(tmp_path, Format.HUGGINGFACE))


def test_a_tokenizer_that_is_gone_is_named_before_any_work(source, tmp_path):
  gone = dataclasses.replace(source, vocab=tmp_path / "gone.model")
  with pytest.raises(SymtuneError, match=r"is no longer at .*gone\.model"):
    convert(gone, _destination(tmp_path / "out", Format.HUGGINGFACE))
  assert not list(tmp_path.iterdir())


def test_storage_that_fails_names_the_tensor(source, tmp_path, monkeypatch):
  def fail(*_args, **_kwargs):
    raise ValueError("RESOURCE_EXHAUSTED: disk full")

  monkeypatch.setattr("tensorstore.open", fail)
  with pytest.raises(SymtuneError, match=r"tensor target/\S+ cannot be written.*full"):
    convert(source, _destination(tmp_path, Format.T5X))


def test_paths_fit_their_format(tmp_path):
  with pytest.raises(SymtuneError, match=r"must end in \.safetensors"):
    Destination(path=tmp_path / "x", format=Format.SYMTUNE)
  with pytest.raises(SymtuneError, match=r"must end in \.safetensors"):
    Destination(path=tmp_path / "x.safetensors", format=Format.T5X)


# Converts slowly, so that it can be killed in the middle.
SLOW = """
import mmap, signal, sys, time
from symtune.cli.main import main

def slow(function):
  def run(*args, **kwargs):
    time.sleep(0.3)
    return function(*args, **kwargs)
  return run

mmap.mmap = slow(mmap.mmap)  # tensors are read by it, one by one
# A job in the background starts with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.mark.parametrize(
  ("format_", "sent"),
  [
    (Format.HUGGINGFACE, signal.SIGKILL),
    (Format.T5X, signal.SIGKILL),
    (Format.SYMTUNE, signal.SIGKILL),
    (Format.HUGGINGFACE, signal.SIGINT),
  ],
)
def test_a_killed_conversion_leaves_nothing_that_looks_whole(
  format_, sent, source, tmp_path
):
  (tmp_path / "in").mkdir()
  origin = convert(source, _destination(tmp_path / "in", Format.SYMTUNE))
  destination = _destination(tmp_path / "out", format_)
  arguments = ["convert", str(origin), str(destination.path), "--to", format_.value]
  process = subprocess.Popen(
    [sys.executable, "-c", SLOW, *arguments],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
  )
  deadline = time.monotonic() + 300
  while not list(tmp_path.glob("out/**/.*.partial")):
    assert process.poll() is None
    assert time.monotonic() < deadline
    time.sleep(0.05)
  process.send_signal(sent)
  assert process.wait(60) != 0
  with pytest.raises(SymtuneError):
    open_checkpoint(destination.path)
  again = convert(open_checkpoint(origin), destination)
  _assert_equal(open_checkpoint(again), source)
  assert not list(tmp_path.glob("out/**/.*.partial"))


def test_no_more_than_one_tensor_is_alive(source, tmp_path):
  """Streams: each array is let go before the next is read."""
  alive: list[str] = []

  def counted(name: str, tensor: LazyTensor) -> LazyTensor:
    class Tracked(np.ndarray):
      pass

    def read():
      import weakref

      value = np.array(tensor.read()).view(Tracked)
      assert not alive, (name, alive)
      alive.append(name)
      weakref.finalize(value, alive.remove, name)
      return value

    return LazyTensor(shape=tensor.shape, dtype=tensor.dtype, read=read)

  tracked = SourceCheckpoint(
    where="x",
    config=CONFIG,
    tensors={name: counted(name, t) for name, t in source.tensors.items()},
  )
  for format_ in Format:
    convert(tracked, _destination(tmp_path, format_))


@pytest.mark.parametrize("format_", Format)
def test_converting_says_where_it_is(format_, source, tmp_path):
  console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=100)
  convert(source, _destination(tmp_path, format_), console)
  count = len(source.tensors)
  assert f"{count}/{count} tensors" in console.file.getvalue()
