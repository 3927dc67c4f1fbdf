import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.model.decoder.generate import (
  NO_TOKEN,
  Ends,
  generate_greedy,
  generate_sampled,
)
from symtune.model.decoder.network import Decoder

MAX_LENGTH = 7
INPUTS = np.asarray(
  [[5, 6, 7, 2, 1, 0], [2, 3, 9, 9, 9, 9], [4, 3, 4, 1, 0, 9]], np.int32
)
LENGTHS = np.asarray([6, 2, 5], np.int32)  # 0 is a token, too
NOTHING = Ends(eos_id=99)
_GREEDY = jax.jit(generate_greedy, static_argnums=(0, 4, 5))
_SAMPLED = jax.jit(
  generate_sampled, static_argnums=(0, 4, 5), static_argnames=("temperature", "top_k")
)


def _argmax_loop(read, network, params, prompt, steps) -> list[int]:
  """Reads the whole row again for each token; a prefix network sees all its prompt."""
  row, is_prefix = np.zeros((1, 16), np.int32), None
  if network.config.attention == "prefix":
    is_prefix = jnp.asarray([np.arange(16) < len(prompt)])
  row[0, : len(prompt)] = prompt
  for place in range(len(prompt), len(prompt) + steps):
    logits = read(network, params, row, is_prefix=is_prefix)
    row[0, place] = int(logits[0, place - 1].argmax())
  return row[0, len(prompt) : len(prompt) + steps].tolist()


@pytest.fixture
def expected(read) -> ...:
  """(network, params) -> what each prompt goes on with, without an end."""

  def each(network, params):
    return [
      _argmax_loop(read, network, params, row[:n], MAX_LENGTH)
      for row, n in zip(INPUTS, LENGTHS, strict=True)
    ]

  return each


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt_neox"], indirect=True)
def test_greedy_output_equals_a_loop_over_whole_rows(family, expected):
  network, params = family
  found = _GREEDY(network, params, INPUTS, LENGTHS, NOTHING, MAX_LENGTH)
  assert found.dtype == jnp.int32
  assert found.tolist() == expected(network, params)


def test_padding_may_exceed_the_positions_that_are_learned(make_family):
  network, params = make_family("gpt2")
  padded = np.zeros((3, 32), np.int32)
  padded[:, : INPUTS.shape[1]] = INPUTS
  found = _GREEDY(network, params, padded, LENGTHS, NOTHING, MAX_LENGTH)
  expected = _GREEDY(network, params, INPUTS, LENGTHS, NOTHING, MAX_LENGTH)
  assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("family", ["llama", "qwen2"], indirect=True)
def test_greedy_output_after_a_prompt_seen_in_both_directions(family, expected):
  causal, params = family
  network = Decoder(dataclasses.replace(causal.config, attention="prefix"))
  found = _GREEDY(network, params, INPUTS, LENGTHS, NOTHING, MAX_LENGTH)
  assert found.tolist() == expected(network, params)
  assert found.tolist() != expected(causal, params)


def _cut(tokens, ends) -> list[int]:
  """A row up to its end."""
  for n in range(1, len(tokens) + 1):
    stops = [list(stop) for stop in ends.stops]
    if tokens[n - 1] == ends.eos_id or any(tokens[:n][-len(s) :] == s for s in stops):
      return [*tokens[:n], *[NO_TOKEN] * (len(tokens) - n)]
  return tokens


@pytest.mark.parametrize("reach", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 3])
def test_a_row_ends_with_the_stop_sequence_or_eos(make_family, expected, reach, place):
  network, params = make_family("qwen2")
  free = expected(network, params)
  stop = tuple(free[0][place : place + reach])
  ends = Ends(eos_id=free[1][2], stops=(stop, (98, 98)))
  found = _GREEDY(network, params, INPUTS, LENGTHS, ends, MAX_LENGTH).tolist()
  assert found == [_cut(row, ends) for row in free]
  assert found[0] != free[0]
  assert found[1] != free[1]


def test_a_stop_sequence_of_the_prompt_and_the_answer_does_not_count(
  make_family, expected
):
  """The sequence has to be generated: what a prompt ends with is no part of it."""
  network, params = make_family("qwen2")
  free = expected(network, params)
  ends = Ends(eos_id=99, stops=((int(INPUTS[0, 5]), free[0][0]),))
  found = _GREEDY(network, params, INPUTS, LENGTHS, ends, MAX_LENGTH).tolist()
  assert found[0][0] == free[0][0]
  assert found[0][1] != NO_TOKEN


def test_samples_follow_the_key_of_their_row(make_family):
  network, params = make_family("llama")
  draw = functools.partial(_SAMPLED, network, params)
  key = jax.random.key(3)
  all_rows = draw(INPUTS, LENGTHS, NOTHING, MAX_LENGTH, key)
  some = draw(INPUTS[:2, :7], LENGTHS[:2], NOTHING, 4, key)
  assert some.tolist() == all_rows[:2, :4].tolist()
  other = draw(INPUTS, LENGTHS, NOTHING, MAX_LENGTH, jax.random.key(4))
  assert other.tolist() != all_rows.tolist()


def test_one_likeliest_token_and_a_low_temperature_are_greedy(make_family):
  network, params = make_family("llama")
  greedy = _GREEDY(network, params, INPUTS, LENGTHS, NOTHING, 4).tolist()
  draw = functools.partial(
    _SAMPLED, network, params, INPUTS, LENGTHS, NOTHING, 4, jax.random.key(0)
  )
  assert draw(top_k=1).tolist() == greedy
  assert draw(temperature=1e-5).tolist() == greedy


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"temperature": 0.0}, "temperature is 0.0"),
    ({"top_k": 0}, "top_k is 0"),
    ({"top_k": 33}, "expected 1 to 32"),
    ({"max_length": 0}, "max_length is 0"),
  ],
)
def test_settings_without_sense_are_refused(make_family, options, message):
  network, params = make_family("llama")
  options = {"max_length": 3, **options}
  with pytest.raises(SymtuneError, match=message):
    generate_sampled(
      network,
      params,
      jnp.asarray(INPUTS),
      jnp.asarray(LENGTHS),
      NOTHING,
      rng_key=jax.random.key(0),
      **options,
    )
