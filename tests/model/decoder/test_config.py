import dataclasses

import jax.numpy as jnp
import pytest

from symtune.errors import SymtuneError
from symtune.model.decoder.config import Block, DecoderConfig, Rotary


def test_names_become_members_and_lists_tuples(tiny_decoder):
  config = dataclasses.replace(
    tiny_decoder, block="parallel", dtype="bfloat16", window=2, windowed_layers=[1]
  )
  assert config.block is Block.PARALLEL
  assert config.dtype == jnp.bfloat16
  assert config.windowed_layers == (1,)
  assert hash(config) == hash(dataclasses.replace(config))


def test_logits_are_scaled_by_the_head_width_unless_told_otherwise(tiny_decoder):
  assert tiny_decoder.logit_scale == 0.5  # heads of 4
  assert dataclasses.replace(tiny_decoder, query_scale=3.0).logit_scale == 3.0


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_layers": 0}, "num_layers is 0; expected a positive integer"),
    ({"num_layers": 1001}, "num_layers is 1001; expected at most 1,000"),
    ({"emb_dim": True}, "emb_dim is True"),
    ({"num_kv_heads": 3}, "num_kv_heads is 3; expected a divisor of num_heads"),
    ({"dtype": "float16"}, "dtype is 'float16'; expected float32 or bfloat16"),
    ({"dtype": "int32"}, "dtype is 'int32'"),
    ({"dtype": "no type"}, "dtype is 'no type'"),
    ({"norm": "batch"}, "norm is 'batch'; expected one of rms, rms_plus_one, layer"),
    ({"norm_epsilon": 0.0}, "norm_epsilon is 0.0; expected a positive number"),
    ({"query_scale": float("nan")}, "query_scale is nan"),
    ({"remat_policy": "some"}, "remat_policy is 'some'; expected one of none"),
    ({"window": 3}, "window is 3 and windowed_layers is .*expected both or neither"),
    ({"windowed_layers": (0,)}, "window is None"),
    ({"window": 0, "windowed_layers": (0,)}, "window is 0"),
    ({"window": 3, "windowed_layers": (2,)}, "rising numbers from 0 to 1"),
    ({"window": 3, "windowed_layers": (1, 0)}, "rising numbers"),
    ({"head_dim": 5}, "5 numbers of a head are rotated; expected an even"),
    ({"rotary": Rotary(share=0.1)}, "0 numbers of a head"),
  ],
)
def test_contradictions_are_refused_by_name(changes, message, tiny_decoder):
  with pytest.raises(SymtuneError, match=message):
    dataclasses.replace(tiny_decoder, **changes)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"base": 0.0}, "Rotary.base is 0"),
    ({"share": 1.5}, "Rotary.share is 1.5; expected at most 1"),
    ({"scaling": "yarn"}, "scaling is 'yarn'; expected one of none, linear, llama3"),
    ({"low_frequency": 4.0}, "expected less than high_frequency"),
    ({"original_length": 0}, "original_length is 0"),
  ],
)
def test_rotations_out_of_range_are_refused(settings, message):
  with pytest.raises(SymtuneError, match=message):
    Rotary(**settings)


def test_widths_without_rotation_may_be_odd(tiny_decoder):
  assert dataclasses.replace(tiny_decoder, head_dim=5, positions="none").head_dim == 5


def test_sizes_have_no_defaults():
  sizes = {f.name for f in dataclasses.fields(DecoderConfig) if f.kw_only}
  required = {
    f.name
    for f in dataclasses.fields(DecoderConfig)
    if f.default is dataclasses.MISSING
  }
  assert required < sizes
  assert required == {
    "vocab_size",
    "emb_dim",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "mlp_dim",
  }
