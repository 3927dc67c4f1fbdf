"""Transformers and symtune continue prompts alike."""

import dataclasses
import pathlib

import pytest
from family_models import write_model

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.source import open_checkpoint
from symtune.experiment.tokens import Reader
from symtune.instruct.generate.generators import Ended, Sampling
from symtune.instruct.generate.models.open import open_generator
from symtune.instruct.generate.models.server import ServerSettings
from symtune.model.decoder.config import DecoderConfig

pytestmark = pytest.mark.hf

_MICROWORLD = pathlib.Path(__file__).parents[2] / "tasks" / "microworld"
_PROMPTS = ("Input: a pear\nOutput:", "1. Name a hen.\n2.", "a")
_CONFIG = DecoderConfig(
  vocab_size=352,
  emb_dim=16,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  mlp_dim=16,
  max_positions=64,
  logits_via_embedding=True,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
  pytest.importorskip("torch", reason="needs the extra [hf]")
  folder = tmp_path_factory.mktemp("model")
  write_model(folder, _CONFIG, 0.3)
  return [
    open_generator(name, ServerSettings(), Reader())
    for name in (str(folder), f"transformers:{folder}")
  ]


@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_the_likeliest_tokens_are_the_same(both, penalty):
  sampling = Sampling(max_tokens=12, presence_penalty=penalty)
  native, other = (one.complete(_PROMPTS, sampling, 0) for one in both)
  assert native == other


def test_a_penalty_changes_the_tokens(both):
  for one in both:
    free, penalized = (
      one.complete(_PROMPTS, Sampling(max_tokens=12, presence_penalty=penalty), 0)
      for penalty in (0.0, 3.0)
    )
    assert [c.text for c in free] != [c.text for c in penalized]


def test_a_stop_string_ends_both(both):
  free = both[0].complete(_PROMPTS, Sampling(max_tokens=12), 0)
  stop = free[0].text[len(free[0].text) // 2 :][:1]
  sampling = Sampling(max_tokens=12, stops=(stop,))
  native, other = (one.complete(_PROMPTS, sampling, 0) for one in both)
  assert [one.text for one in native] == [one.text for one in other]
  assert native[0].ended is other[0].ended is Ended.STOP


def test_draws_follow_their_seed(both):
  sampling = Sampling(max_tokens=12, temperature=1.5, top_p=0.9)
  first, again, last = (both[1].complete(_PROMPTS, sampling, s) for s in (1, 1, 2))
  assert first == again
  assert first != last


def test_a_t5_writes_alike(tmp_path):
  source = open_checkpoint(_MICROWORLD / "base.safetensors")
  folder = convert(
    dataclasses.replace(source, vocab=_MICROWORLD / "vocab.model"),
    Destination(path=tmp_path / "t5", format=Format.HUGGINGFACE),
  )
  sampling = Sampling(max_tokens=12, presence_penalty=2.0)
  native, other = (
    open_generator(name, ServerSettings(), Reader())
    for name in (str(folder), f"transformers:{folder}")
  )
  prompts = ("Input: a pear\nOutput:", "a hen and", "is it a fruit or a tool?")
  assert native.complete(prompts, sampling, 0) == other.complete(prompts, sampling, 0)
  assert not native.writes_lines
  assert not other.writes_lines
