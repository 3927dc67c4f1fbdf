"""Answers: what ends them, and the log-probabilities that they were sampled with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.align.answers import (
  answer_logits,
  describe,
  last_vectors,
  sample,
  token_log_probs,
)
from symtune.model.decoder.cache import empty_cache
from symtune.model.decoder.generate import Ends
from symtune.model.decoder.network import Decoder
from symtune.model.generate import empty_cache as t5_cache

SAMPLES = 3
KEY = jax.random.key(3)


def test_what_ends_an_answer():
  tokens = jnp.array(
    [[5, 1, -1, -1], [5, 6, 7, -1], [6, 5, 9, 7], [1, -1, -1, -1], [6, 7, -1, -1]]
  )
  found = describe(tokens, Ends(1, ((6, 7),)))
  assert found.lengths.tolist() == [2, 3, 4, 1, 2]
  assert found.is_ended.tolist() == [True, True, False, True, True]
  assert found.contents.tolist() == [1, 1, 4, 0, 0]
  found = describe(tokens, Ends(1))
  assert found.is_ended.tolist() == [True, False, False, True, False]


@pytest.fixture(scope="module")
def seen(world):
  """What one program finds out about some answers."""
  policy = world.policy
  from_cache = _decoder_cache if isinstance(policy.network, Decoder) else _t5_cache

  @jax.jit
  def look(params, prompts, lengths):
    answers = sample(policy, params, prompts, lengths, KEY, SAMPLES)
    logits = answer_logits(policy, params, prompts, lengths, answers)
    three = jnp.array([[5, 1, -1, -1], [9, 1, -1, -1], [5, 1, 8, 9]])
    last = last_vectors(
      policy, params, prompts[:1], lengths[:1], describe(three, policy.ends)
    )
    asked = [jnp.repeat(x, SAMPLES, axis=0) for x in (prompts, lengths)]
    tokens = answers.tokens.clip(0)
    cached = from_cache(policy.network, params, asked[0], asked[1], tokens)
    return answers, logits, last, cached, _redraw(logits)

  return look(world.params, world.prompts, world.lengths)


def _redraw(logits):
  """The tokens that the sampler's keys draw from these logits."""

  def draw(row, step):
    key = jax.random.fold_in(jax.random.fold_in(KEY, row), step)
    return jax.random.categorical(key, logits[row, step])

  rows, length, _ = logits.shape
  steps = jax.vmap(draw, in_axes=(None, 0))
  return jax.vmap(steps, in_axes=(0, None))(jnp.arange(rows), jnp.arange(length))


def _decoder_cache(network, params, prompts, lengths, tokens):
  """Logits of the second token and later ones, read off the cache."""
  width, length = prompts.shape[1], tokens.shape[1]
  cache = empty_cache(network.config, batch=len(tokens), slots=width + length)
  places = jnp.broadcast_to(jnp.arange(width)[None], prompts.shape)
  variables, is_token = {"params": params}, places < lengths[:, None]
  _, cache = network.apply(variables, prompts, cache, places, is_token, method="extend")
  positions = lengths[:, None] + jnp.arange(length)[None]
  found, _ = network.apply(variables, tokens, cache, positions, method="extend")
  return found[:, :-1]


def _t5_cache(network, params, prompts, lengths, tokens):
  """Logits of the second token, read off the cache."""
  variables, parts = {"params": params}, []
  cache = t5_cache(network, params, prompts, tokens.shape[1])
  encoded = network.apply(variables, prompts, enable_dropout=False, method="encode")
  for last in (jnp.zeros((len(tokens), 1), jnp.int32), tokens[:, :1]):
    part, updated = network.apply(
      {**variables, "cache": cache},
      encoded,
      prompts,
      last,
      last,
      enable_dropout=False,
      decode=True,
      max_decode_length=tokens.shape[1],
      mutable=["cache"],
      method="decode",
    )
    cache = updated["cache"]
    parts.append(part)
  return parts[1]


def test_tokens_were_drawn_with_the_log_probabilities_that_are_trained_on(world, seen):
  """With the sampler's keys, the training logits give every sampled token again."""
  answers, again = seen[0], seen[4]
  assert len(answers.tokens) == SAMPLES * len(world.prompts)
  is_token = np.asarray(answers.is_token)
  np.testing.assert_array_equal(
    np.asarray(again)[is_token], np.asarray(answers.tokens)[is_token]
  )
  assert is_token.sum() > len(is_token)  # some have several tokens


def test_the_cache_gives_the_logits_that_are_trained_on(seen):
  answers, logits, cached = (np.asarray(x) for x in (seen[0].tokens, seen[1], seen[3]))
  wanted = logits[:, 1 : 1 + cached.shape[1]]
  real = answers[:, 1 : 1 + cached.shape[1]] >= 0
  assert real.any()
  shift = (cached - wanted).mean(axis=-1, keepdims=True)
  assert np.abs(cached - wanted - shift)[real].max() < 1e-5


def test_padding_has_no_log_probability(seen):
  answers, logits, *_ = seen
  found = np.asarray(token_log_probs(logits, answers))
  is_token = np.asarray(answers.is_token)
  assert (found[is_token] < 0.0).all()
  assert (found[~is_token] == 0.0).all()


def test_the_last_vector_has_read_the_whole_answer(seen):
  short, other, long = np.asarray(seen[2])
  assert np.abs(short - other).max() > 1e-3
  assert np.abs(short - long).max() > 1e-3
