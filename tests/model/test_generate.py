import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.model.generate import generate_greedy, generate_sampled
from symtune.model.network import Transformer, init_params

MAX_LENGTH = 7
INPUTS = jnp.asarray([[5, 6, 7, 2, 1, 0], [2, 3, 1, 0, 0, 0], [4, 3, 4, 1, 0, 0]])
GENERATE = jax.jit(generate_greedy, static_argnums=(0, 3))


@pytest.fixture(scope="module")
def lively(tiny_config):
  """A network that ends two rows early, at different positions, and one never."""
  config = tiny_config.replace(vocab_size=8)
  network = Transformer(config)
  return network, init_params(network, jax.random.key(26))


def _naive(logits_of, network, params) -> list[list[int]]:
  """Runs everything again for each position; no cache, no loop in the program."""
  output = np.zeros((len(INPUTS), MAX_LENGTH), np.int32)
  for step in range(MAX_LENGTH):
    # Unknown targets are 2, which no position up to this one sees.
    targets = jnp.asarray(output).at[:, step:].set(2)
    logits = logits_of(network, params, INPUTS, targets)
    output[:, step] = jnp.argmax(logits[:, step], axis=-1)
    for row in output:
      if 1 in row[:step]:
        row[step] = 0
  return output.tolist()


def test_greedy_output_equals_a_naive_argmax_loop(lively, logits_of):
  network, params = lively
  output = GENERATE(network, params, INPUTS, MAX_LENGTH)
  assert output.dtype == jnp.int32
  assert output.tolist() == _naive(logits_of, network, params)


def test_rows_end_with_eos_and_padding_or_at_max_length(lively):
  network, params = lively
  rows = GENERATE(network, params, INPUTS, MAX_LENGTH).tolist()
  assert [row.index(1) if 1 in row else None for row in rows] == [2, 3, None]
  assert rows[0][3:] == [0] * 4
  assert rows[1][4:] == [0] * 3


def test_length_beyond_the_last_eos_is_padding(lively):
  network, params = lively
  rows = GENERATE(network, params, INPUTS[:2], 4)
  longer = GENERATE(network, params, INPUTS[:2], 6)
  assert longer.tolist() == [[*row, 0, 0] for row in rows.tolist()]


def test_max_length_must_be_positive(network):
  with pytest.raises(SymtuneError, match="max_length is 0"):
    generate_greedy(network, {}, INPUTS, 0)


SAMPLE = jax.jit(
  generate_sampled, static_argnums=(0, 3), static_argnames=("temperature", "top_k")
)


def test_top_1_is_greedy(lively):
  network, params = lively
  greedy = GENERATE(network, params, INPUTS, MAX_LENGTH)
  drawn = SAMPLE(network, params, INPUTS, MAX_LENGTH, jax.random.key(3), top_k=1)
  assert drawn.tolist() == greedy.tolist()


def test_a_row_is_drawn_alike_whatever_follows_it(lively):
  network, params = lively
  key = jax.random.key(3)
  all_rows = SAMPLE(network, params, INPUTS, MAX_LENGTH, key)
  fewer = SAMPLE(network, params, INPUTS[:2], MAX_LENGTH, key)
  assert all_rows[:2].tolist() == fewer.tolist()
  other = SAMPLE(network, params, INPUTS, MAX_LENGTH, jax.random.key(4))
  assert all_rows.tolist() != other.tolist()


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (2.0, 3)])
def test_first_tokens_are_drawn_with_the_networks_probabilities(
  temperature, top_k, lively, logits_of
):
  network, params = lively
  rows = 4000
  inputs = jnp.tile(INPUTS[:1], (rows, 1))
  drawn = SAMPLE(
    network, params, inputs, 1, jax.random.key(0), temperature=temperature, top_k=top_k
  )
  logits = np.array(logits_of(network, params, INPUTS[:1], jnp.full((1, 1), 2)))[0, 0]
  logits /= temperature
  if top_k is not None:
    logits[logits < np.sort(logits)[-top_k]] = -np.inf
  wanted = np.exp(logits) / np.exp(logits).sum()
  found = np.bincount(np.asarray(drawn)[:, 0], minlength=8) / rows
  # Five standard errors of a share.
  np.testing.assert_array_less(
    np.abs(found - wanted), 5 * np.sqrt(wanted * (1 - wanted) / rows) + 1e-9
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [({"temperature": 0.0}, "temperature is 0"), ({"top_k": 9}, "top_k is 9")],
)
def test_sampling_settings_out_of_range(changes, message, lively):
  network, params = lively
  with pytest.raises(SymtuneError, match=message):
    generate_sampled(network, params, INPUTS, 2, jax.random.key(0), **changes)
