"""Sampled answers, and what a network says of them: log-probabilities and vectors.

Answers are sampled through the decode cache from all tokens, without top-k or top-p and
at temperature 1, and scored by the network that reads them whole, without dropout. So
the probabilities that are trained on are those that were sampled from.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from symtune.model import generate as t5
from symtune.model.decoder import generate as decoder
from symtune.model.decoder.config import PromptAttention
from symtune.model.decoder.generate import NO_TOKEN, Ends
from symtune.model.decoder.network import Decoder
from symtune.model.network import Params
from symtune.model.networks import Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
  """A network that answers prompts, without its parameters.

  Attributes:
    network: the network.
    ends: what ends an answer: EOS, and a blank line for decoder-only models.
    max_length: most tokens of an answer, with those that end it.
  """

  network: Network
  ends: Ends
  max_length: int


class Answers(NamedTuple):
  """Answers as ids.

  Attributes:
    tokens: ids, with those that end the answer, and then `NO_TOKEN`.
    lengths: tokens of each answer, at least 1.
    contents: tokens without those that end the answer.
    is_ended: whether the answer ends, or was cut off.
  """

  tokens: Int[Array, "answers length"]
  lengths: Int[Array, " answers"]
  contents: Int[Array, " answers"]
  is_ended: Bool[Array, " answers"]

  @property
  def is_token(self) -> Bool[Array, "answers length"]:
    """Which places hold a token."""
    return self.tokens != NO_TOKEN


def describe(tokens: Int[Array, "answers length"], ends: Ends) -> Answers:
  """Answers from their ids.

  Args:
    tokens: ids with those that end the answer, and then `NO_TOKEN`.
    ends: what ends an answer.
  """
  lengths = jnp.sum(tokens != NO_TOKEN, axis=1)
  end = jnp.zeros_like(lengths)
  for stop in (*ends.stops, (ends.eos_id,)):
    end = jnp.where(_ends_with(tokens, lengths, stop), len(stop), end)
  return Answers(tokens, lengths, lengths - end, end > 0)


def _ends_with(
  tokens: Int[Array, "answers length"],
  lengths: Int[Array, " answers"],
  stop: tuple[int, ...],
) -> Bool[Array, " answers"]:
  """Whether the last tokens of each answer are these."""
  before = jnp.full((len(tokens), len(stop)), NO_TOKEN, tokens.dtype)
  padded = jnp.concatenate([before, tokens], axis=1)
  places = lengths[:, None] + jnp.arange(len(stop))[None, :]
  last = jnp.take_along_axis(padded, places, axis=1)
  return jnp.all(last == jnp.asarray(stop)[None, :], axis=1)


def sample(
  policy: Policy,
  params: Params,
  prompts: Int[Array, "prompts prompt_length"],
  lengths: Int[Array, " prompts"],
  key: Key[Array, ""],
  samples: int,
) -> Answers:
  """Draws answers, several for each prompt, one after another; each is read once.

  Args:
    policy: the network.
    params: its parameters.
    prompts: ids, padded on the right with 0.
    lengths: tokens of each prompt.
    key: random key.
    samples: answers to each prompt.
  """
  network, ends = policy.network, policy.ends
  if isinstance(network, Decoder):
    tokens = decoder.generate_sampled(
      network, params, prompts, lengths, ends, policy.max_length, key, samples=samples
    )
    return describe(tokens, ends)
  tokens = t5.generate_sampled(
    network, params, prompts, policy.max_length, key, samples=samples
  )
  is_end = (tokens == ends.eos_id).astype(jnp.int32)
  is_after = jnp.cumsum(is_end, axis=1) - is_end > 0
  return describe(jnp.where(is_after, NO_TOKEN, tokens), ends)


def answer_logits(
  policy: Policy,
  params: Params,
  prompts: Int[Array, "prompts prompt_length"],
  lengths: Int[Array, " prompts"],
  answers: Answers,
) -> Float[Array, "answers length vocab"]:
  """Logits of every token of the answers, in float32; those of padding mean nothing.

  Args:
    policy: the network.
    params: its parameters.
    prompts: ids, padded on the right with 0.
    lengths: tokens of each prompt.
    answers: as many for each prompt, one after another.
  """
  network, samples = policy.network, len(answers.tokens) // len(prompts)
  tokens = jnp.maximum(answers.tokens, 0)
  variables = {"params": params}
  if isinstance(network, Decoder):
    prompts, lengths = (jnp.repeat(x, samples, axis=0) for x in (prompts, lengths))
    rows, about = _join(network, prompts, lengths, tokens)
    select = lengths[:, None] - 1 + jnp.arange(tokens.shape[1])[None, :]
    return _array(network.apply(variables, rows, **about, select=select))
  encoded, prompts = _encode(network, params, prompts, samples)
  logits = network.apply(
    variables,
    encoded,
    prompts,
    jnp.pad(tokens, ((0, 0), (1, 0)))[:, :-1],
    answers.is_token.astype(jnp.int32),
    enable_dropout=False,
    method="decode",
  )
  return _array(logits)


def last_vectors(
  policy: Policy,
  params: Params,
  prompts: Int[Array, "prompts prompt_length"],
  lengths: Int[Array, " prompts"],
  answers: Answers,
) -> Float[Array, "answers embed"]:
  """The network's vector of the last token of each answer; arguments as above."""
  network, samples = policy.network, len(answers.tokens) // len(prompts)
  tokens = jnp.maximum(answers.tokens, 0)
  variables = {"params": params}
  if isinstance(network, Decoder):
    prompts, lengths = (jnp.repeat(x, samples, axis=0) for x in (prompts, lengths))
    rows, about = _join(network, prompts, lengths, tokens)
    vectors = _array(network.apply(variables, rows, **about, method="read"))
    last = lengths + answers.lengths - 1
  else:
    encoded, prompts = _encode(network, params, prompts, samples)
    is_read = jnp.pad(answers.is_token, ((0, 0), (1, 0)), constant_values=True)
    read = jnp.pad(tokens, ((0, 0), (1, 0)))
    vectors = _array(
      network.apply(variables, encoded, prompts, read, is_read, method="read")
    )
    last = answers.lengths
  return jnp.take_along_axis(vectors, last[:, None, None], axis=1)[:, 0]


def token_log_probs(
  logits: Float[Array, "answers length vocab"], answers: Answers
) -> Float[Array, "answers length"]:
  """Log-probability of every token, in nats; 0 at padding."""
  chosen = jnp.maximum(answers.tokens, 0)[:, :, None]
  log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), chosen, axis=2)[:, :, 0]
  return jnp.where(answers.is_token, log_p, 0.0)


def _encode(
  network: Any,
  params: Params,
  prompts: Int[Array, "prompts prompt_length"],
  samples: int,
) -> tuple[jax.Array, jax.Array]:
  """The encoder's vectors and tokens, each prompt as often as it has answers."""
  encoded = network.apply(
    {"params": params}, prompts, enable_dropout=False, method="encode"
  )
  return jnp.repeat(encoded, samples, axis=0), jnp.repeat(prompts, samples, axis=0)


def _join(
  network: Decoder,
  prompts: Int[Array, "answers prompt_length"],
  lengths: Int[Array, " answers"],
  tokens: Int[Array, "answers length"],
) -> tuple[Int[Array, "answers _both"], dict[str, Any]]:
  """Rows of a prompt and its answer, and what a decoder-only network asks besides."""
  width, most = prompts.shape[1], tokens.shape[1]
  places = jnp.arange(width + most)[None, :]
  is_prompt = places < lengths[:, None]
  in_answer = jnp.clip(places - lengths[:, None], 0, most - 1)
  of_prompt = jnp.pad(prompts, ((0, 0), (0, most)))
  rows = jnp.where(is_prompt, of_prompt, jnp.take_along_axis(tokens, in_answer, axis=1))
  is_both_ways = network.config.attention is PromptAttention.PREFIX
  return rows, {"is_prefix": is_prompt} if is_both_ways else {}


def _array(value: Any) -> jax.Array:
  assert isinstance(value, jax.Array)  # not a tuple: no collection is mutable
  return value
