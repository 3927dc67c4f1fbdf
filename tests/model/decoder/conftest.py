"""A tiny network of every family, with parameters that are far from their start."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.model.decoder.cache import Cache, empty_cache
from symtune.model.decoder.config import (
  Activation,
  Block,
  DecoderConfig,
  Norm,
  Positions,
  Rotary,
  RotaryScaling,
)
from symtune.model.decoder.network import Decoder, Params, param_shapes

LENGTH = 12
TINY = DecoderConfig(
  vocab_size=32,
  emb_dim=8,
  num_layers=2,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=12,
  max_positions=LENGTH,
)
LLAMA3 = Rotary(
  base=100.0,
  scaling=RotaryScaling.LLAMA3,
  factor=4.0,
  high_frequency=2.0,
  original_length=16,
)
WITH_BIASES = {"has_qkv_bias": True, "has_out_bias": True, "has_mlp_bias": True}
FAMILIES: dict[str, dict[str, Any]] = {
  "llama": {},
  "llama3": {"rotary": LLAMA3, "logits_via_embedding": True},
  "mistral": {"window": 3, "windowed_layers": (0, 1)},
  "qwen2": {"has_qkv_bias": True},
  "qwen3": {"has_qk_norm": True, "head_dim": 6},
  "gemma3": {
    "activation": Activation.GELU_TANH,
    "block": Block.SANDWICH,
    "norm": Norm.RMS_PLUS_ONE,
    "has_qk_norm": True,
    "query_scale": 0.25,
    "rotary": Rotary(base=1000.0),
    "window_rotary": Rotary(base=10.0),
    "window": 3,
    "windowed_layers": (0,),
    "scales_embedding": True,
    "logits_via_embedding": True,
  },
  "gpt_neox": {
    "activation": Activation.GELU,
    "is_gated": False,
    "block": Block.PARALLEL,
    "norm": Norm.LAYER,
    "num_kv_heads": 4,
    "head_dim": 8,
    "rotary": Rotary(share=0.25),
    **WITH_BIASES,
  },
  "gpt2": {
    "activation": Activation.GELU_TANH,
    "is_gated": False,
    "norm": Norm.LAYER,
    "num_kv_heads": 4,
    "positions": Positions.LEARNED,
    "logits_via_embedding": True,
    **WITH_BIASES,
  },
  "no_positions": {"positions": Positions.NONE},
}


def _drawn(network: Decoder) -> Params:
  """Parameters large enough that every one of them shows in the logits."""
  leaves, tree = jax.tree.flatten(param_shapes(network))
  rng = np.random.default_rng(7)
  drawn = [rng.normal(0.0, 0.4, leaf.shape).astype(np.float32) for leaf in leaves]
  return jax.tree.unflatten(tree, list(map(jnp.asarray, drawn)))


@pytest.fixture(scope="session")
def tiny_decoder() -> DecoderConfig:
  return TINY


@functools.cache
def _made(name: str) -> tuple[Decoder, Params]:
  network = Decoder(dataclasses.replace(TINY, **FAMILIES[name]))
  return network, _drawn(network)


@pytest.fixture(scope="session")
def make_family() -> Callable[[str], tuple[Decoder, Params]]:
  """(name) -> network and parameters of one family."""
  return _made


@pytest.fixture(scope="session", params=FAMILIES)
def family(request) -> tuple[Decoder, Params]:
  """Network and parameters of each family in turn."""
  return _made(request.param)


@functools.partial(jax.jit, static_argnums=0)
def _logits(network, params, tokens, **about):
  return network.apply({"params": params}, tokens, **about)


@pytest.fixture(scope="session")
def read() -> Callable[..., jax.Array]:
  """(network, params, tokens, ...) -> logits; compiled."""
  return _logits


@functools.partial(jax.jit, static_argnums=0)
def _extend(network, params, tokens, cache, positions, **about):
  return network.apply(
    {"params": params}, tokens, cache, positions, **about, method="extend"
  )


@pytest.fixture(scope="session")
def extend() -> Callable[..., Any]:
  """(network, params, tokens, cache, positions, ...) -> logits, cache; compiled."""
  return _extend


@pytest.fixture(scope="session")
def rows() -> jax.Array:
  """Two rows of tokens that all differ from their neighbours."""
  return jax.random.permutation(jax.random.key(3), 32)[: 2 * LENGTH].reshape(2, LENGTH)


@pytest.fixture(scope="session")
def places() -> jax.Array:
  return jnp.broadcast_to(jnp.arange(LENGTH), (2, LENGTH))


@pytest.fixture(scope="session")
def empty() -> Callable[[Decoder], Cache]:
  """(network) -> a cache for two rows of LENGTH tokens."""
  return lambda network: empty_cache(network.config, batch=2, slots=LENGTH)
