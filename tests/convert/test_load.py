"""Whether a checkpoint is the one that is wanted: its settings and its fingerprint."""

import dataclasses

import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.load import check_config, fingerprint
from symtune.convert.source import open_checkpoint
from symtune.convert.t5x.read import open_t5x
from symtune.convert.t5x.tree import infer_config, unscan
from symtune.convert.tensors import SourceCheckpoint
from symtune.errors import SymtuneError


@pytest.fixture
def source(huggingface_golden):
  return open_checkpoint(huggingface_golden / "t5_1_1")


def test_how_a_network_computes_may_differ(source):
  free = {"dtype": "bfloat16", "dropout_rate": 0.0, "remat_policy": "full"}
  check_config(source, source.config.replace(**free))


def test_every_other_setting_that_differs_is_named(source):
  other = source.config.replace(mlp_dim=99, num_heads=1)
  with pytest.raises(
    SymtuneError, match=r"num_heads = 3, mlp_dim = 20, but .* = 1, .* = 99"
  ):
    check_config(source, other)


def test_the_fingerprint_is_of_the_parameters_not_of_the_format(source, tmp_path):
  found = fingerprint(source)
  for format_, name in ((Format.T5X, "t5x"), (Format.SYMTUNE, "w.safetensors")):
    written = convert(source, Destination(path=tmp_path / name, format=format_))
    assert fingerprint(open_checkpoint(written)) == found


def test_bfloat16_parameters_have_one_fingerprint_in_every_format(source, tmp_path):
  hashes = set()
  for format_, name in zip(Format, ("a", "b", "c.safetensors"), strict=True):
    place = Destination(path=tmp_path / name, format=format_, dtype="bfloat16")
    hashes.add(fingerprint(open_checkpoint(convert(source, place))))
  assert len(hashes) == 1
  assert fingerprint(source) not in hashes


def test_the_fingerprint_of_stacked_layers_holds_one_array_at_a_time(
  t5x_golden, monkeypatch
):
  """Layers are read as the file stacks them, and a stack is read once."""
  reads, found = [], open_t5x(str(t5x_golden.folder("scanned", "msgpack")))

  def counted(name, tensor):
    return tensor.map(tensor.shape, lambda value: reads.append(name) or value)

  stacked = {name: counted(name, tensor) for name, tensor in found.params.items()}
  tensors = unscan("x", stacked)
  config = infer_config("x", tensors)
  reads.clear()
  other = dict(sorted(tensors.items()))
  source = SourceCheckpoint(where="x", config=config, tensors=tensors)
  wanted = fingerprint(source)
  assert len(reads) == len(set(reads))
  # And in another order the same, with nothing held afterwards.
  assert fingerprint(dataclasses.replace(source, tensors=other)) == wanted
  held = [name for name in set(reads) if reads.count(name) != 2]
  assert not held


def test_the_fingerprint_changes_with_a_norm(source):
  name = "decoder/decoder_norm/scale"
  tensor = source.tensors[name]
  changed = tensor.map(tensor.shape, lambda x: x * np.float32(1.0001))
  other = dataclasses.replace(source, tensors={**source.tensors, name: changed})
  assert fingerprint(other) != fingerprint(source)
