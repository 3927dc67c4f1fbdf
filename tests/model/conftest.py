"""Tiny networks for the tests of symtune/model/."""

import functools
from collections.abc import Callable

import jax
import pytest

from symtune.model.config import T5Config
from symtune.model.network import Params, Transformer, init_params
from symtune.model.score import shift_right

# One layer each keeps compiling short; the goldens have two.
TINY = T5Config(
  vocab_size=32,
  emb_dim=8,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=1,
  head_dim=4,
  mlp_dim=16,
  mlp_activations=("gelu", "linear"),
)
PLAIN_TIED = {"mlp_activations": ("relu",), "logits_via_embedding": True}


@pytest.fixture(scope="session")
def tiny_config() -> T5Config:
  return TINY


@pytest.fixture(scope="session")
def network() -> Transformer:
  """T5 1.1 in small: gated and untied."""
  return Transformer(TINY)


@pytest.fixture(scope="session")
def params(network) -> Params:
  return init_params(network, jax.random.key(0))


@pytest.fixture(scope="session", params=["gated_untied", "plain_tied"])
def either_network(request) -> Transformer:
  changes = PLAIN_TIED if request.param == "plain_tied" else {}
  return Transformer(TINY.replace(**changes))


@pytest.fixture(scope="session")
def either_params(either_network) -> Params:
  return init_params(either_network, jax.random.key(0))


@functools.partial(jax.jit, static_argnums=0)
def _logits(network, params, inputs, targets):
  return network.apply(
    {"params": params}, inputs, shift_right(targets), targets, enable_dropout=False
  )


@pytest.fixture(scope="session")
def logits_of() -> Callable[..., jax.Array]:
  """(network, params, inputs, targets) -> logits without dropout; compiled."""
  return _logits
