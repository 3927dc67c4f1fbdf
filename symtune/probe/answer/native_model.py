"""Our network with its parameters, as the array functions that a scorer asks for."""

import dataclasses
import hashlib
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Float, Int

from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig
from symtune.model.generate import generate_greedy
from symtune.model.network import Params, Transformer
from symtune.model.score import score_trees
from symtune.model.token_tree import TreeBatch

_jit_score = jax.jit(score_trees, static_argnums=0)
_jit_generate = jax.jit(generate_greedy, static_argnums=(0, 3))


class NativeModel:
  """An `ArrayModel` (`model_scorer.py`).

  Attributes:
    network: the network.
    params: its parameters, on devices.
    identity: SHA-256 of settings and parameters.
    num_parameters: number of parameters.
  """

  def __init__(self, network: Transformer, params: Params):
    """Wraps a network and its parameters, which may be on the host or on devices."""
    self.network = network
    self.params = jax.device_put(params)
    self.identity = fingerprint(network.config, params)
    self.num_parameters = count_parameters(params)

  def score(
    self, inputs: Int[np.ndarray, "prompts length"], trees: TreeBatch
  ) -> Float[np.ndarray, "prompts edges"]:
    """Log p(token) of each edge, in nats."""
    return np.asarray(_jit_score(self.network, self.params, inputs, trees))

  def generate(
    self, inputs: Int[np.ndarray, "prompts length"], max_length: int
  ) -> Int[np.ndarray, "prompts max_length"]:
    """Greedily generated tokens, with EOS."""
    return np.asarray(_jit_generate(self.network, self.params, inputs, max_length))


def native_runtime() -> str:
  """What the last digits of an answer depend on besides the model."""
  precision = jax.config.values["jax_default_matmul_precision"]
  return f"jax {jax.__version__} {jax.default_backend()} {precision}"


def count_parameters(params: Any) -> int:
  """How many numbers a tree of arrays or shapes holds."""
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def fingerprint(config: T5Config | DecoderConfig, params: Params) -> str:
  """SHA-256 of a network's settings and parameters, in hexadecimal."""
  digest = hashlib.sha256(repr(dataclasses.asdict(config)).encode())
  for path, leaf in sorted(flatten_dict(params, sep="/").items()):
    digest.update(f"{path} {leaf.shape} {leaf.dtype}".encode())
    digest.update(np.ascontiguousarray(jax.device_get(leaf)).tobytes())
  return digest.hexdigest()
