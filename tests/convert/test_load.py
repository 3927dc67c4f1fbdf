"""Whether a checkpoint is the one that is wanted: its settings and its fingerprint."""

import dataclasses

import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.load import check_config, fingerprint
from symtune.convert.source import open_checkpoint
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
    SymtuneError, match=r"num_heads = 3, mlp_dim = 20; .* = 1, .* = 99"
  ):
    check_config(source, other)


def test_the_fingerprint_is_of_the_parameters_not_of_the_format(source, tmp_path):
  found = fingerprint(source)
  for format_, name in ((Format.T5X, "t5x"), (Format.SYMTUNE, "w.safetensors")):
    written = convert(source, Destination(path=tmp_path / name, format=format_))
    assert fingerprint(open_checkpoint(written)) == found


def test_the_fingerprint_changes_with_a_norm(source):
  name = "decoder/decoder_norm/scale"
  tensor = source.tensors[name]
  changed = tensor.map(tensor.shape, lambda x: x * np.float32(1.0001))
  other = dataclasses.replace(source, tensors={**source.tensors, name: changed})
  assert fingerprint(other) != fingerprint(source)
