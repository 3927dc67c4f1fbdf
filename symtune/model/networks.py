"""Both kinds of network behind the same functions: encoder-decoder and decoder-only."""

from typing import Any

from jaxtyping import Array, Key, UInt32

from symtune.model import network as t5
from symtune.model.config import T5Config
from symtune.model.decoder import network as decoder
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.network import Decoder
from symtune.model.network import Params, Transformer

Config = T5Config | DecoderConfig
Network = Transformer | Decoder


def make_network(config: Config) -> Network:
  """The network with these settings, without parameters."""
  if isinstance(config, DecoderConfig):
    return Decoder(config)
  return Transformer(config=config)


def init_params(
  network: Network, rng_key: Key[Array, ""] | UInt32[Array, "2"]
) -> Params:
  """Draws the parameters: a nested dict of float32 arrays."""
  if isinstance(network, Decoder):
    return decoder.init_params(network, rng_key)
  return t5.init_params(network, rng_key)


def param_shapes(network: Network) -> dict[str, Any]:
  """The tree of `init_params` with shapes for arrays (jax.ShapeDtypeStruct)."""
  if isinstance(network, Decoder):
    return decoder.param_shapes(network)
  return t5.param_shapes(network)


def param_axes(network: Network) -> dict[str, Any]:
  """The tree of `init_params` with a PartitionSpec of axis names for each array."""
  if isinstance(network, Decoder):
    return decoder.param_axes(network)
  return t5.param_axes(network)
