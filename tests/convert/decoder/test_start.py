"""Which network may start from which decoder-only checkpoint."""

import dataclasses
import shlex

import pytest

from symtune.convert.decoder.folder import read_decoder
from symtune.convert.load import check_config
from symtune.errors import SymtuneError
from symtune.model.decoder.config import Rotary


def _with(checkpoint, **settings):
  config = dataclasses.replace(checkpoint.config, **settings)
  return dataclasses.replace(checkpoint, config=config)


def test_reading_prompts_both_ways_can_be_learned_but_not_left(golden):
  causal = read_decoder(golden / "llama")
  prefix = _with(causal, attention="prefix")
  check_config(causal, prefix.config)
  check_config(prefix, prefix.config)
  with pytest.raises(SymtuneError, match=r"attention = 'prefix', but .* = 'causal'"):
    check_config(prefix, causal.config)


def test_positions_are_parameters_only_if_they_are_learned(golden):
  rotary, learned = read_decoder(golden / "llama"), read_decoder(golden / "gpt2")
  check_config(rotary, _with(rotary, max_positions=77).config)
  with pytest.raises(SymtuneError, match=r"but this network has max_positions = 77\."):
    check_config(learned, _with(learned, max_positions=77).config)


def test_the_options_that_are_named_can_be_typed(golden):
  checkpoint = read_decoder(golden / "llama")
  other = _with(
    checkpoint, activation="relu", mlp_dim=99, rotary=Rotary(base=7.0)
  ).config
  with pytest.raises(SymtuneError) as caught:
    check_config(checkpoint, other)
  advice = str(caught.value).rpartition("Use the settings of the checkpoint: ")[2]
  options = [word for word in shlex.split(advice) if word.startswith("--gin.")]
  assert options == [
    f"--gin.DecoderConfig.mlp_dim={checkpoint.config.mlp_dim}",
    "--gin.DecoderConfig.activation='silu'",
  ]
  assert "(and rotary as in its file of gin_configs/models/decoder)" in advice
