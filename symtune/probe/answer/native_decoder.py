"""Our decoder-only network with its parameters, as functions of arrays for a scorer."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from symtune.model.decoder.cache import Cache, empty_cache
from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.generate import Ends, generate_greedy
from symtune.model.decoder.network import Decoder, Params
from symtune.model.decoder.score import TreeRows, read_prefix, score_rows
from symtune.probe.answer.native_model import count_parameters, fingerprint

_jit_read = jax.jit(read_prefix, static_argnums=(0, 4))
_jit_generate = jax.jit(generate_greedy, static_argnums=(0, 4, 5))
_jit_score = jax.jit(score_rows, static_argnums=0)


class NativeDecoder:
  """An `ArrayDecoder` (`decoder_batches.py`).

  Attributes:
    network: the network.
    params: its parameters, on devices.
    identity: SHA-256 of settings and parameters.
    num_parameters: number of parameters.
    attention: what a prompt's tokens attend to.
  """

  def __init__(self, network: Decoder, params: Params):
    """Wraps a network and its parameters, which may be on the host or on devices."""
    self.network = network
    self.params = jax.device_put(params)
    self.identity = fingerprint(network.config, params)
    self.num_parameters = count_parameters(params)
    self.attention = PromptAttention(network.config.attention)

  def read_prefix(
    self, tokens: Int[np.ndarray, "1 length"], count: int, slots: int
  ) -> Cache:
    """What several prompts have in common; no slots for nothing."""
    if slots == 0:
      return empty_cache(self.network.config, batch=1, slots=0)
    return _jit_read(self.network, self.params, tokens, jnp.int32(count), slots)

  def score(self, prefix: Cache, rows: TreeRows) -> Float[np.ndarray, "prompts edges"]:
    """Log p(token) of each edge, in nats."""
    return np.asarray(_jit_score(self.network, self.params, prefix, rows))

  def generate(
    self,
    inputs: Int[np.ndarray, "prompts length"],
    lengths: Int[np.ndarray, " prompts"],
    ends: Ends,
    max_length: int,
  ) -> Int[np.ndarray, "prompts max_length"]:
    """Greedily generated tokens, with those that end a row, and then -1."""
    return np.asarray(
      _jit_generate(self.network, self.params, inputs, lengths, ends, max_length)
    )
